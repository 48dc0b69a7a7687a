"""Inspects many images: one row for each, in input order, whether or not it can be read."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vipx.errors import InputError
from vipx.images import ImageListing, ListedImage, read_image
from vipx.runtime.heatmaps import overlay, write_npy_atomically, write_png_atomically
from vipx.runtime.inspector import Inspection, Inspector
from vipx.verdict import Verdict

MapFormat = Literal["npy", "png", "both"]


@dataclass(frozen=True, slots=True)
class Row:
    """The answer for one image; `map` and `overlay` are paths of files written, if any.

    `time` is that of the inspection, in UTC as ISO 8601; `camera` what the user named. `product`, `causes` and
    `area` (pixels that reach the heat map's limit) come of a recipe. `features` is the encoder's global
    feature, of unit length, if it was asked for.
    Where there is no score, `verdict` is ERROR and `failure` says whose fault it was: `input` for an image that
    cannot be read, `engine` for a score that is not a number.
    """

    path: str
    score: float | None
    verdict: str
    threshold: float | None
    reason: str
    time: str
    camera: str | None = None
    map: str | None = None
    overlay: str | None = None
    timings_ms: dict[str, float] | None = None
    failure: Literal["input", "engine"] | None = None
    product: str | None = None
    causes: tuple[str, ...] = ()
    area: int | None = None
    features: tuple[float, ...] | None = None

    def record(self) -> dict[str, Any]:
        """Give the row as plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows hold beside the answer.

    Attributes:
        maps: Where heat maps go; None writes none.
        camera: Name of the camera that took the images.
        features: Whether to give global features.
    """

    maps: "MapWriter | None" = None
    camera: str | None = None
    features: bool = False


class MapWriter:
    """Writes heat maps below a folder, named after their images.

    A map is `NAME.EXT.npy` (float32, [height, width] at the model's input size), an overlay
    `NAME.EXT.png` (at the image's own size). Images of a folder keep their place below it; where two images
    would share a name, the later one gets `-2`, `-3`, ... .
    """

    def __init__(self, folder: Path, kind: MapFormat) -> None:
        _make_folder(folder)
        self._folder, self._kind = folder, kind
        self._taken: set[Path] = set()

    def write(
        self, image: ListedImage, pixels: np.ndarray, result: Inspection
    ) -> tuple[str | None, str | None]:
        """Write what was asked for; gives the paths of map and overlay."""
        stem = self._unique(image.relative)
        _make_folder(stem.parent)
        map_path = overlay_path = None
        if self._kind in ("npy", "both"):
            map_path = stem.with_name(f"{stem.name}.npy")
            write_npy_atomically(map_path, result.anomaly_map)
        if self._kind in ("png", "both"):
            overlay_path = stem.with_name(f"{stem.name}.png")
            write_png_atomically(overlay_path, overlay(pixels, result.anomaly_map))
        return _text(map_path), _text(overlay_path)

    def _unique(self, relative: Path) -> Path:
        candidate, number = relative, 1
        while candidate in self._taken:
            number += 1
            candidate = relative.with_name(f"{relative.name}-{number}")
        self._taken.add(candidate)
        return self._folder / candidate


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot hold heat maps ({error.strerror})") from error


def inspect_images(
    inspector: Inspector,
    listing: ImageListing,
    wanted: Wanted = Wanted(),
) -> Iterator[Row]:
    """Inspect images one after the other; one that cannot be read gives a row with its error."""
    for image in listing.images:
        try:
            row = _inspect(inspector, image, wanted)
        except InputError as error:
            row = _failure(image, inspector, str(error), "input")
        yield replace(row, camera=wanted.camera)


def _inspect(inspector: Inspector, image: ListedImage, wanted: Wanted) -> Row:
    start = perf_counter()
    pixels = read_image(image.path)
    decode = 1000 * (perf_counter() - start)
    result = inspector.inspect(pixels, features=wanted.features)
    if result.verdict is Verdict.ERROR:
        return _failure(image, inspector, result.reason, "engine")
    written = wanted.maps.write(image, pixels, result) if wanted.maps else (None, None)
    timings = replace(result.timings, decode=decode)
    return Row(
        path=str(image.path),
        score=result.score,
        verdict=result.verdict.value,
        threshold=result.threshold,
        reason=result.reason,
        time=_now(),
        map=written[0],
        overlay=written[1],
        timings_ms=timings.record(),
        product=_product(inspector),
        causes=result.causes,
        area=None if result.evidence.level is None else result.evidence.pixels,
        features=None if result.feature is None else _plain(result.feature),
    )


def _failure(
    image: ListedImage, inspector: Inspector, reason: str, failure: Literal["input", "engine"]
) -> Row:
    return Row(
        path=str(image.path),
        score=None,
        verdict=Verdict.ERROR.value,
        threshold=inspector.threshold,
        reason=reason,
        time=_now(),
        failure=failure,
        product=_product(inspector),
    )


def _product(inspector: Inspector) -> str | None:
    return None if inspector.recipe is None else inspector.recipe.product


def _now() -> str:
    """Give the moment to a microsecond, so that images keep their order."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(feature: Float[ndarray, " dim"]) -> tuple[float, ...]:
    """Give the shortest numbers that are the same in float32."""
    return tuple(float(str(number)) for number in feature.astype(np.float32))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
