"""What an INT8 export starts from: pictures of the product, or ranges that were collected before."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import InputError, UsageError
from vipx.images import ListedImage, list_images, read_image, resize_image
from vipx.ranges import LEAST, RangeChoice, Ranges, read_ranges, spread

MOST_HELD_OUT = 64
_EVERY = 4  # one picture in four is held out
_GOOD, _BAD = frozenset({"good", "ok"}), frozenset({"bad", "ng", "anomaly", "defect", "defective"})


@dataclass(frozen=True, slots=True)
class Int8Request:
    """Where the ranges of an INT8 encoder come from.

    Attributes:
        calibration: Folder of pictures; without `ranges` three quarters of them are watched. The others, or
            with `ranges` all of them, are what the drift gate looks at.
        ranges: File of ranges.
        choice: How ranges are found.
    """

    calibration: Path | None = None
    ranges: Path | None = None
    choice: RangeChoice = RangeChoice()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        if self.calibration is None and self.ranges is None:
            raise UsageError(
                "int8 needs to see the product: give --calibration FOLDER with pictures of it, or --ranges FILE"
            )


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures on disk, read one at a time whenever they are walked, at one size in pixels."""

    paths: tuple[Path, ...]
    height: int
    width: int

    def __iter__(self) -> Iterator[UInt8[ndarray, "height width 3"]]:
        for path in self.paths:
            yield resize_image(read_image(path), height=self.height, width=self.width)


@dataclass(frozen=True, slots=True)
class Int8Plan:
    """What was found where the request points.

    Attributes:
        ranges: Collected before; None where they are still to be collected.
        watched: Pictures to take ranges from.
        held_out: Pictures for the drift gate.
        anomalous: Whether each of those shows a defect; None where its folder does not say.
        choice: How ranges are found.
    """

    ranges: Ranges | None
    watched: tuple[Path, ...]
    held_out: tuple[Path, ...]
    anomalous: tuple[bool | None, ...]
    choice: RangeChoice


def plan_of(request: Int8Request) -> Int8Plan:
    """Read the ranges and list the pictures, before anything that takes time.

    Raises:
        InputError: There are too few pictures, or a file cannot be read.
        ArtifactError: The ranges are not understood.
    """
    ranges = None if request.ranges is None else read_ranges(request.ranges)
    listed = () if request.calibration is None else _pictures(request.calibration)
    if ranges is None and len(listed) < LEAST:
        raise InputError(
            f"{request.calibration}: holds {len(listed)} pictures; int8 needs {LEAST} or more of them, the "
            "more typical the better"
        )
    kept = listed if ranges is not None else listed[_EVERY - 1 :: _EVERY]
    watched = [] if ranges is not None else [each for each in listed if each not in set(kept)]
    held = spread(kept, MOST_HELD_OUT)
    return Int8Plan(
        ranges=ranges,
        watched=tuple(image.path for image in spread(watched)),
        held_out=tuple(image.path for image in held),
        anomalous=tuple(_anomalous(image.relative) for image in held),
        choice=request.choice,
    )


def _pictures(folder: Path) -> tuple[ListedImage, ...]:
    """List a folder; the masks of MVTec AD's layout are no pictures of a product."""
    listed = list_images([folder]).images
    return tuple(each for each in listed if "ground_truth" not in each.relative.parts)


def _anomalous(relative: Path) -> bool | None:
    """Read the label from the folders' names: good, ok, bad, ng, defect; below `test` whatever is not good."""
    names = [part.lower() for part in relative.parts[:-1]]
    if _GOOD & set(names):
        return False
    return True if _BAD & set(names) or "test" in names[:-1] else None
