"""What calibration keeps of one image: a few numbers, its global feature and its patch map."""

import base64
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from numpy import ndarray

from vipx.runtime.engines.engine import EngineRun
from vipx.runtime.judgement import View

AREAS = tuple(4**power for power in range(8))  # in pixels: 1, 4, ..., 16384


@dataclass(frozen=True, slots=True)
class Measurement:
    """One image, measured.

    Attributes:
        name: Its path below the folder that was given.
        sha256: Of its file.
        size: Height and width in pixels.
        grey: Whether its three channels are the same.
        score: Anomaly score of what counts.
        level: What the minimal defect area reaches on the heat map.
        curve: What areas of AREAS pixels reach; the first is the map's maximum.
        prompts_ms: Time in the prompts graph, 0 where there is none.
        feature: The encoder's global feature, of unit length.
        patch_map: Of the whole image.
    """

    name: str
    sha256: str
    size: tuple[int, int]
    grey: bool
    score: float
    level: float
    curve: tuple[float, ...]
    prompts_ms: float
    feature: Float32[ndarray, " dim"]
    patch_map: Float32[ndarray, "rows columns"]

    def record(self) -> dict[str, Any]:
        """Give plain data for a line of JSON."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        shape = self.patch_map.shape
        return record | {
            "feature": _text(self.feature),
            "patch_map": _text(self.patch_map),
            "shape": shape,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Measurement":
        """Read what `record` gave."""
        shape = tuple(record.pop("shape"))
        feature = _array(record.pop("feature"))
        patch_map = _array(record.pop("patch_map")).reshape(shape)
        size = (record["size"][0], record["size"][1])
        curve = tuple(record["curve"])
        return cls(**record | {"size": size, "curve": curve}, feature=feature, patch_map=patch_map)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file's name, hash and pixels."""

    name: str
    sha256: str
    pixels: UInt8[ndarray, "height width 3"]


def measurement_from_run(picture: Picture, run: EngineRun, view: View) -> Measurement:
    """Read the numbers of one image off its arrays."""
    patch_map = run.arrays["patch_map"][0]
    heat = view.anomaly_map(run.arrays["anomaly_map"][0], patch_map)
    inside = heat.ravel() if view.region is None else heat[view.region.pixels]
    pixels = picture.pixels
    return Measurement(
        name=picture.name,
        sha256=picture.sha256,
        size=(pixels.shape[0], pixels.shape[1]),
        grey=bool(_grey(pixels).all()),
        score=view.score(float(run.arrays["score"][0]), patch_map),
        level=view.level(heat),
        curve=_curve(inside),
        prompts_ms=run.times.prompts,
        feature=run.arrays["global_feature"][0].astype(np.float32),
        patch_map=patch_map.astype(np.float32),
    )


def _grey(pixels: UInt8[ndarray, "height width 3"]) -> Bool[ndarray, "height width"]:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    return (red == green) & (green == blue)


def _curve(inside: Float[ndarray, " pixels"]) -> tuple[float, ...]:
    """Give the highest value that each of AREAS pixels reach; the whole region's lowest where it is smaller."""
    places = [max(0, inside.size - area) for area in AREAS]
    ordered = np.partition(inside, sorted(set(places)))
    return tuple(float(ordered[place]) for place in places)


def _text(array: Float32[ndarray, "..."]) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def _array(text: str) -> Float32[ndarray, " numbers"]:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
