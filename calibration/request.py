"""What a user asks of calibration."""

from dataclasses import dataclass, field
from pathlib import Path

from vipx.calibration.limits import Wish
from vipx.calibration.thresholds.costs import Costs
from vipx.errors import UsageError
from vipx.manifest import Precision
from vipx.recipe import RegionRecord
from vipx.runtime.engines.engine import EngineOptions


@dataclass(frozen=True, slots=True)
class Request:
    """What is calibrated, with what, and how.

    Attributes:
        bundle: The bundle's folder.
        good: Folder of good images.
        recipe: File to write.
        product: Name in the recipe.
        author: Who calibrates.
        wish: Rate, confidence and what decides.
        region: Where defects count; None for the whole image.
        left_out: Good images to pass over, by their path below the folder.
        defects: Folder of defective images, to measure detection with; they change no threshold without costs.
        costs: What mistakes cost, if limits are to be chosen by that; needs `defects`.
        fold: Whether to fold the prompts.
        stress: Whether to perturb the good images.
        overwrite: Whether to replace a recipe, which goes into the new one's history.
        precision: Which encoder; None takes the bundle's first.
        options: Engine, device and threads.
    """

    bundle: Path
    good: Path
    recipe: Path
    product: str
    author: str
    wish: Wish = field(default_factory=Wish)
    region: RegionRecord | None = None
    left_out: tuple[str, ...] = ()
    defects: Path | None = None
    costs: Costs | None = None
    fold: bool = False
    stress: bool = False
    overwrite: bool = False
    precision: Precision | None = None
    options: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        if self.costs is not None and self.defects is None:
            raise UsageError("costs: expected defective images to weigh them by; pass --defects")
