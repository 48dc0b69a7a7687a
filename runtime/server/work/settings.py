"""How the work behind the server is done: bundle, engine, bounds and patience."""

from dataclasses import dataclass, field
from pathlib import Path

from vipx.errors import UsageError
from vipx.images import MAX_PIXELS
from vipx.manifest import Precision
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.server.work.recipes import LoadedRecipe


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a task may take.

    Attributes:
        queue: Tasks that wait at once.
        batch: Most images of one engine run.
        batch_delay_s: How long the engine waits for a batch to fill.
        frame_bytes: Largest image, encoded or as pixels.
        pixels: Largest picture that is decoded.
        decode_bytes: Memory that the child may take beyond what it needed to start; None sets no limit.
            It is set on CPU engines alone, as a GPU's driver maps memory that it does not use.
    """

    queue: int = 16
    batch: int = 1
    batch_delay_s: float = 0.0
    frame_bytes: int = 64 * 2**20
    pixels: int = MAX_PIXELS
    decode_bytes: int | None = 2**30

    def __post_init__(self) -> None:
        for name in ("queue", "batch", "frame_bytes", "pixels"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: expected at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the server waits before it calls a child dead, and before it starts another.

    Attributes:
        run_s: For one engine run; None takes ten times a golden image's, and 2 s at least.
        silence_s: Without a heartbeat.
        decode_s: For one picture. Files are bounded, so only a fault of a decoder takes as long.
        start_s: Until a child has opened its engine and its goldens hold.
        pauses_s: Before the first, second, ... start in a row.
        failures: This many within `window_s` bring the fallback engine.
        window_s: How long a failure counts.
        settle_s: A child that served this long makes the pauses start over.
        goldens_s: How often goldens are checked again, when idle.
        idle_s: Without a task it is idle.
    """

    run_s: float | None = None
    silence_s: float = 1.5
    decode_s: float = 120.0
    start_s: float = 300.0
    pauses_s: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    failures: int = 3
    window_s: float = 60.0
    settle_s: float = 10.0
    goldens_s: float = 3600.0
    idle_s: float = 10.0


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """Everything that a pool is made from.

    Attributes:
        bundle: The folder.
        recipes: At least one; their names are the models' names.
        options: Which engine.
        precision: None takes the recipes', or the one that the bundle names first.
        fallback: Another engine, for when this one fails too often; used only if goldens hold on it.
        engine_hook: `module:function` that opens an engine in the child, for tests of faults. It runs code, so
            it is given by code alone: nothing read from a file, an option or the network may come here.
    """

    bundle: Path
    recipes: tuple[LoadedRecipe, ...]
    options: EngineOptions = EngineOptions()  # noqa: RUF009 - frozen
    precision: Precision | None = None
    fallback: EngineOptions | None = None
    bounds: Bounds = field(default_factory=Bounds)
    patience: Patience = field(default_factory=Patience)
    engine_hook: str | None = None

    def __post_init__(self) -> None:
        if self.engine_hook is not None and self.engine_hook.count(":") != 1:
            raise UsageError(f"engine hook: expected module:function, got {self.engine_hook!r}")
        names = [recipe.name for recipe in self.recipes]
        if not names:
            raise UsageError("recipes: expected at least one")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"recipes: two are called {twice!r}; rename one of them")
        self._check_precisions()

    def _check_precisions(self) -> None:
        asked = {one.recipe.engine.precision for one in self.recipes if one.recipe}
        if len(asked) > 1 and self.precision is None:
            raise UsageError(
                f"recipes: calibrated in {' and '.join(sorted(asked))}; give --precision, or one server each"
            )

    @property
    def chosen_precision(self) -> Precision | None:
        """Give the precision that all recipes are served in."""
        if self.precision is not None:
            return self.precision
        return next((one.recipe.engine.precision for one in self.recipes if one.recipe), None)
