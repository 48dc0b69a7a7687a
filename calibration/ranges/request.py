"""What a user asks of ranges."""

from dataclasses import dataclass, field
from pathlib import Path

from vipx.errors import InputError, UsageError
from vipx.ranges import RangeChoice
from vipx.runtime.engines.engine import EngineOptions

# ViT-L/14 at 518 px gives 943 MB of such tensors for one picture.
FETCHED_BYTES = 256 * 10**6


@dataclass(frozen=True, slots=True)
class RangesRequest:
    """Which encoder is watched, on what, and how.

    Attributes:
        bundle: The bundle's folder.
        good: Folder of good pictures.
        file: To write.
        choice: How ranges are found.
        left_out: Pictures to pass over, by their path below the folder.
        overwrite: Whether to replace a file.
        options: Engine, device and threads.
        fetched_bytes: Most bytes of inner tensors to hold at a time; a single tensor may be more.
    """

    bundle: Path
    good: Path
    file: Path
    choice: RangeChoice = field(default_factory=RangeChoice)
    left_out: tuple[str, ...] = ()
    overwrite: bool = False
    options: EngineOptions = field(default_factory=EngineOptions)
    fetched_bytes: int = FETCHED_BYTES

    def check_file(self) -> None:
        """Refuse a file that could not be written, before minutes of watching.

        Raises:
            UsageError: It exists and may not be replaced.
            InputError: Its folder does not exist.
        """
        if self.file.exists() and not self.overwrite:
            raise UsageError(
                f"{self.file}: already exists; choose another name, or pass --overwrite"
            )
        if not self.file.parent.is_dir():
            raise InputError(
                f"{self.file}: its folder does not exist; make it, or choose another place"
            )
