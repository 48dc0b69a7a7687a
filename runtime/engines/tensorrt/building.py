"""Builds a bundle's plans for this machine, and keeps them only if they give its golden answers."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from vipx.bundle import Bundle, read_bundle
from vipx.errors import EngineError, GateError
from vipx.files import write_atomically
from vipx.folders import whole_folder
from vipx.manifest import Difference, Precision
from vipx.runtime.cuda.choice import open_backend
from vipx.runtime.engines.engine import CudaBackend as CudaBackendName
from vipx.runtime.engines.engine import Engine, EngineOptions, Model
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.tensorrt.builder import Compile, compile_in_child
from vipx.runtime.engines.tensorrt.cache import (
    PLAN,
    RECORD,
    SECONDS,
    Cache,
    CompiledPlan,
    Unusable,
    open_cache,
    seal,
)
from vipx.runtime.engines.tensorrt.compiler import Request
from vipx.runtime.engines.tensorrt.engine import TensorRtEngine
from vipx.runtime.engines.tensorrt.key import (
    Environment,
    Plan,
    Role,
    Settings,
    approval_key,
    environment_of,
    key_of,
    plans_of,
)
from vipx.runtime.engines.tensorrt.library import load_tensorrt, may_type_weakly
from vipx.runtime.engines.tensorrt.stored import weakly_typed
from vipx.runtime.goldens import check_goldens
from vipx.runtime.inspector import Inspector

Report = Callable[[str], None]
_MIB = 1 << 20
_WORKSPACE = 2048 * _MIB


@dataclass(frozen=True, slots=True)
class Wish:
    """What `vipx build` was asked for.

    Attributes:
        precision: Of the encoder; None takes the one that the bundle names first.
        settings: Batch, workspace and level.
        cuda_backend: What reaches the GPU while the result is judged.
        anew: Whether to build again what is there and good.
    """

    precision: Precision | None = None
    settings: Settings = field(default_factory=Settings)
    cuda_backend: CudaBackendName = "auto"
    anew: bool = False


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """One plan: `seconds` is 0 where it was there already."""

    role: Role
    key: str
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Built:
    """What was built, and how far it is from the bundle's golden answers.

    Attributes:
        environment: The machine.
        settings: What was built with; `typing` is what worked.
        plans: Of encoder, prompts and heads.
        parity: Measured on this device, beside the export's bounds.
        fused_attention: Layers of the encoder that are one attention kernel; None where it is not known.
        blocks: Attention blocks that the encoder has.
    """

    environment: Environment
    settings: Settings
    plans: tuple[BuiltPlan, ...]
    parity: tuple[Difference, ...]
    fused_attention: int | None
    blocks: int


def build_engines(
    path: Path, wish: Wish, report: Report, compile_plan: Compile | None = None
) -> Built:
    """Build what a bundle lacks on this machine, one plan a graph, and judge all of them together.

    Plans that are there and unchanged are used; others are built again. Of two builders the second waits.

    Args:
        path: The bundle.
        wish: What to build.
        report: Told the step that runs.
        compile_plan: Compiles one graph; by default in a process of its own.

    Raises:
        BundleError: The bundle cannot be trusted.
        EngineError: There is no GPU or TensorRT, or it refuses a graph.
        GateError: The plans do not give the golden answers within the bounds; none is kept.
        ResourceError: Memory ran out.
    """
    bundle = read_bundle(path)
    model = model_of(bundle, wish.precision)
    library, environment, workspace = _look(wish)
    build = _Build(
        bundle, wish, environment, open_cache(), workspace, compile_plan or compile_in_child
    )
    with build.cache.lock(report):
        try:
            return build.run(model, wish.settings, report)
        except (EngineError, GateError) as error:
            encoder = bundle.manifest.encoder("fp32")
            if encoder is None or model.precision != "fp16" or not may_type_weakly(library):
                raise
            report(f"strongly typed, the engine fails ({error}); building it weakly typed")
            settings = replace(wish.settings, typing="weak")
            return build.run(weakly_typed(model, encoder.file), settings, report)


def _look(wish: Wish) -> tuple[ModuleType, Environment, int]:
    """Look at the machine, and choose the workspace in bytes by what is free."""
    backend = open_backend(wish.cuda_backend)
    try:
        library = load_tensorrt()
        with backend.active():
            share = min(_WORKSPACE, backend.free_memory() // 4)
        asked = wish.settings.workspace
        return library, environment_of(library, backend.facts), asked * _MIB if asked else share
    finally:
        backend.close()


@dataclass(frozen=True, slots=True)
class _Target:
    """A model with the plans that it needs."""

    model: Model
    settings: Settings
    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class _Build:
    """One call of `build_engines`, the lock held."""

    bundle: Bundle
    wish: Wish
    environment: Environment
    cache: Cache
    workspace: int
    compile_plan: Compile

    def run(self, model: Model, settings: Settings, report: Report) -> Built:
        target = _Target(model, settings, plans_of(model, self.environment, settings))
        compiled = {} if self.wish.anew else self._stored(target)
        if len(compiled) == len(target.plans):
            report("all engines are there and unchanged")
        with ExitStack() as whole:
            folders: dict[Role, Path] = {}
            for plan in target.plans:
                if plan.role not in compiled:
                    folders[plan.role] = folder = whole.enter_context(_folder(self.cache, plan))
                    seconds = self._compile(plan, folder / PLAN, settings, report)
                    compiled[plan.role] = CompiledPlan((folder / PLAN).read_bytes(), seconds)
            report("golden images")
            built = self._judged(target, compiled, frozenset(folders))
            for plan in target.plans:
                if plan.role in folders:
                    record = _record(self.bundle, plan, compiled[plan.role], built)
                    write_atomically(folders[plan.role] / RECORD, seal(record))
        key = approval_key(model, self.environment, settings.batch)
        self.cache.approve(key, _approval(self.bundle, target, built))
        return built

    def _stored(self, target: _Target) -> dict[Role, CompiledPlan]:
        """Read the plans that are there; what was changed or belongs elsewhere is as if it were not."""
        stored: dict[Role, CompiledPlan] = {}
        for plan in target.plans:
            with suppress(Unusable):
                stored[plan.role] = self.cache.read(plan)
        return stored

    def _compile(self, plan: Plan, target: Path, settings: Settings, report: Report) -> float:
        request = Request(
            graph=str(plan.graph.resolve()),
            plan=str(target),
            batch=settings.batch,
            typing=plan.typing,
            workspace=self.workspace,
            level=settings.level,
            timings=str(self.cache.timings(key_of(asdict(self.environment)))),
        )
        began = time.monotonic()
        report(plan.role)
        self.compile_plan(
            request, lambda phase, step, steps: report(f"{plan.role}: {phase} {step}/{steps}")
        )
        target.chmod(0o600)
        return time.monotonic() - began

    def _judged(
        self, target: _Target, compiled: Mapping[Role, CompiledPlan], new: Collection[Role]
    ) -> Built:
        """Run the golden images; nothing that fails here is kept."""
        engines: list[TensorRtEngine] = []
        ordered = {plan.role: compiled[plan.role] for plan in target.plans}

        def opened(_: Model, options: EngineOptions) -> Engine:
            engines.append(TensorRtEngine(target.model, options, lambda *_: ordered))
            return engines[0]

        options = EngineOptions(
            engine="tensorrt",
            device="cuda",
            batch=target.settings.batch,
            cuda_backend=self.wish.cuda_backend,
        )
        precision = target.model.precision
        with Inspector.open(
            self.bundle.path, precision=precision, options=options, open_engine=opened
        ) as inspector:
            parity = check_goldens(inspector, precision)
            fused = engines[0].fused_attention
        plans = tuple(
            _told(plan, compiled[plan.role], new=plan.role in new) for plan in target.plans
        )
        blocks = self.bundle.manifest.backbone.vision_layers
        return Built(self.environment, target.settings, plans, parity, fused, blocks)


def _told(plan: Plan, compiled: CompiledPlan, *, new: bool) -> BuiltPlan:
    return BuiltPlan(plan.role, plan.key, len(compiled.content), compiled.seconds if new else 0.0)


def _record(bundle: Bundle, plan: Plan, compiled: CompiledPlan, built: Built) -> dict[str, Any]:
    """Say beside a plan what it is."""
    return {
        "key": plan.key,
        "facts": plan.facts,
        "role": plan.role,
        "plan_sha256": hashlib.sha256(compiled.content).hexdigest(),
        "plan_size": len(compiled.content),
        SECONDS: round(compiled.seconds, 3),
    } | _circumstances(bundle, built)


def _approval(bundle: Bundle, target: _Target, built: Built) -> dict[str, Any]:
    """Say which plans passed together."""
    model, settings = target.model, target.settings
    return {
        "precision": model.precision,
        "batch": settings.batch,
        "encoder": model.encoder.relative_to(model.folder).as_posix(),
        "settings": {
            "typing": settings.typing,
            "level": settings.level,
            "workspace": settings.workspace,
        },
        "plans": {plan.role: plan.key for plan in target.plans},
    } | _circumstances(bundle, built)


def _circumstances(bundle: Bundle, built: Built) -> dict[str, Any]:
    return {
        "bundle": bundle.manifest.name,
        "identity": bundle.identity,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "parity": [difference.model_dump() for difference in built.parity],
    }


@contextmanager
def _folder(cache: Cache, plan: Plan) -> Iterator[Path]:
    """Make a plan's folder, in place only when all of a build is good; what was there and is not good goes."""
    with whole_folder(cache.folder(plan.key), overwrite=True) as folder:
        folder.chmod(0o700)
        yield folder
