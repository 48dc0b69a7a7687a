"""The engines of one bundle: one for its own texts, and one for each set of folded texts."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter

from jaxtyping import Float32
from numpy import ndarray

from vipx.bundle import Bundle
from vipx.images import read_image
from vipx.manifest import Precision
from vipx.runtime.engines.choice import open_engine
from vipx.runtime.engines.engine import Engine, EngineOptions, Model
from vipx.runtime.engines.models import model_of
from vipx.runtime.goldens import check_goldens
from vipx.runtime.inspector import Inspector, OpenEngine, prepared
from vipx.runtime.judgement import Judge
from vipx.runtime.server.work.channel.messages import Start
from vipx.runtime.server.work.child.sharing import SharedEncoder
from vipx.runtime.server.work.recipes import LoadedRecipe, Thresholds


@dataclass(frozen=True, slots=True)
class Served:
    """What answers for one recipe."""

    judge: Judge
    thresholds: Thresholds
    engine: Engine


class Engines:
    """Opens a bundle, checks its goldens, and keeps an engine and a judge for each recipe.

    Attributes:
        golden_s: What one golden image took, on average, from its file to its map.

    Raises:
        VipxError: The bundle, a recipe or the engine cannot be used.
        GateError: The goldens do not hold on this engine.
    """

    def __init__(self, start: Start) -> None:
        self._options = EngineOptions(**start.options)
        self._precision: Precision | None = start.precision  # type: ignore[assignment]
        self._open = _opener(start.engine_hook)
        self._by_texts: dict[bytes, Engine] = {}
        self._inspector = Inspector.open(
            Path(start.bundle),
            precision=self._precision,
            options=self._options,
            open_engine=self._open_own,
        )
        began = perf_counter()
        self.check()
        self.golden_s = (perf_counter() - began) / len(self.bundle.manifest.goldens.images)
        self._recipes: dict[str, Served] = {}
        for record in start.recipes:
            self.exchange(LoadedRecipe.from_record(record))
        self.warm()

    @property
    def bundle(self) -> Bundle:
        """Give the bundle."""
        return self._inspector.bundle

    @property
    def line(self) -> str:
        """Say which engine answers."""
        return self._inspector.description.line

    def check(self) -> None:
        """Compare the golden images' answers with the bundle's.

        Raises:
            GateError: They differ by more than the export's bounds.
        """
        check_goldens(self._inspector, self._precision)

    def warm(self) -> None:
        """Run every engine once, so that the first part waits no longer than the next one."""
        manifest = self.bundle.manifest
        image = read_image(self.bundle.path / manifest.goldens.images[0])
        for texts, engine in self._by_texts.items():
            if texts:  # the goldens have warmed the other
                engine.run(prepared(image, manifest.input)[None])

    def exchange(self, recipe: LoadedRecipe) -> None:
        """Take a recipe in, in place of any of its name.

        Raises:
            RecipeError: It was made for another bundle.
        """
        judge, texts = recipe.judge(self.bundle), recipe.texts
        key = b"" if texts is None else texts.tobytes()
        if texts is not None and key not in self._by_texts:
            self._by_texts[key] = self._open_for(texts)
        # One assignment, so that no run of another thread sees half of a recipe.
        self._recipes[recipe.name] = Served(judge, recipe.thresholds, self._by_texts[key])

    def served(self, recipe: str) -> Served:
        """Give what answers for a recipe."""
        return self._recipes[recipe]

    def _open_own(self, model: Model, options: EngineOptions) -> Engine:
        self._by_texts[b""] = self._open(model, options)
        return self._by_texts[b""]

    def _open_for(self, texts: Float32[ndarray, "texts dim"]) -> Engine:
        model = model_of(self.bundle, self._precision, texts)
        own = self._by_texts[b""]
        if SharedEncoder.works_on(own):
            return SharedEncoder(own, model, self._options)
        return self._open(model, self._options)


def _opener(hook: str | None) -> OpenEngine:
    if hook is None:
        return open_engine
    module, name = hook.split(":")
    opener: OpenEngine = getattr(import_module(module), name)
    return opener
