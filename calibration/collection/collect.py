"""Runs good images through the engine, one at a time, and keeps of each only what calibration needs."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float32
from numpy import ndarray

from vipx.calibration.collection.ledger import Ledger
from vipx.calibration.collection.measurement import Measurement, Picture, measurement_from_run
from vipx.errors import EngineError, ImageError, InputError
from vipx.images import MAX_PIXELS, ListedImage, decode_image, list_images, read_image
from vipx.recipe import RegionRecord
from vipx.runtime.engines.engine import Output
from vipx.runtime.inspector import Inspector
from vipx.runtime.judgement import View, view_of

Report = Callable[[str], None]
WANTED: tuple[Output, ...] = ("score", "patch_map", "anomaly_map", "global_feature")


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are measured.

    Attributes:
        region: Where defects count; None for the whole image.
        area: Minimal defect area in pixels of the model's input.
    """

    region: RegionRecord | None = None
    area: int = 1

    def view(self, inspector: Inspector) -> View:
        """Lay it over a bundle's input."""
        return view_of(inspector.bundle.manifest, self.region, self.area)


@dataclass(frozen=True, slots=True)
class Collector:
    """An open inspector, and how images are read off it.

    Attributes:
        inspector: Opened on the bundle.
        view: What counts of each image.
        key: Under which the ledger keeps what was measured.
        ledger: None to keep nothing.
    """

    inspector: Inspector
    view: View
    key: str
    ledger: Ledger | None = None

    @classmethod
    def of(
        cls,
        inspector: Inspector,
        reading: Reading,
        ledger: Ledger | None = None,
        texts: Float32[ndarray, "texts dim"] | None = None,
    ) -> "Collector":
        """Read images off an inspector that was opened with these texts, if any."""
        region = None if reading.region is None else reading.region.model_dump(mode="json")
        folded = "" if texts is None else hashlib.sha256(texts.tobytes()).hexdigest()
        # Everything that a measurement depends on but the image.
        identity = [inspector.bundle.identity, inspector.description.line]
        key = json.dumps([*identity, reading.area, region, folded])
        view = reading.view(inspector)
        return cls(inspector, view, hashlib.sha256(key.encode()).hexdigest(), ledger)

    def collect(self, images: Sequence[ListedImage], report: Report) -> tuple[Measurement, ...]:
        """Measure images in order; those in the ledger are not run again.

        Raises:
            ImageError: One cannot be read.
            EngineError: The engine failed, or gave a number that is none.
        """
        return tuple(
            self._measured(image, f"{place} of {len(images)}", report)
            for place, image in enumerate(images, 1)
        )

    def _measured(self, image: ListedImage, place: str, report: Report) -> Measurement:
        name = image.relative.as_posix()
        report(f"{place}: {name}")
        data = _bytes(image.path)
        sha256 = hashlib.sha256(data).hexdigest()
        known = self.ledger.get(self.key, sha256, name) if self.ledger else None
        if known is not None:
            return known
        pixels = decode_image(data, name=str(image.path))
        run = self.inspector.run(pixels, WANTED)
        measurement = measurement_from_run(Picture(name, sha256, pixels), run, self.view)
        if not (0 <= measurement.score <= 1 and 0 <= measurement.level <= 1):
            raise EngineError(
                f"{image.path}: the engine gave the score {measurement.score} and the level "
                f"{measurement.level}, expected numbers in [0, 1]; check it with `vipx doctor`"
            )
        if self.ledger:
            self.ledger.put(self.key, measurement)
        return measurement


def good_images(folder: Path, left_out: Sequence[str] = ()) -> tuple[ListedImage, ...]:
    """List the pictures of a folder but those that are left out by name.

    Raises:
        InputError: There is no picture, or a name that is left out is not among them.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder of good images")
    images = list_images([folder]).images
    missing = set(left_out) - {image.relative.as_posix() for image in images}
    if missing:
        raise InputError(f"{folder}: {sorted(missing)[0]} is not in it, and cannot be left out")
    kept = tuple(image for image in images if image.relative.as_posix() not in left_out)
    if not kept:
        raise InputError(f"{folder}: every picture was left out")
    return kept


def _bytes(path: Path) -> bytes:
    """Read a file once for its hash and its pixels; what cannot be a picture has its own error."""
    try:
        if path.stat().st_size > 8 * MAX_PIXELS:
            read_image(path)
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
