"""What stands in a recipe."""

import base64
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray
from pydantic import Field, JsonValue, model_validator

from vipx.manifest import Precision, Record, Sha256
from vipx.recipe.thresholds import ThresholdsRecord, Unit

Point = tuple[Unit, Unit]
Side = Annotated[int, Field(ge=1, le=2**15)]


class ArrayRecord(Record):
    """An array inside a recipe: little-endian float32, or bits packed row after row."""

    dtype: Literal["float32", "bit"]
    shape: tuple[Side, Side]
    data: str

    @classmethod
    def of(cls, array: Float32[ndarray, "a b"] | Bool[ndarray, "a b"]) -> "ArrayRecord":
        """Pack an array."""
        is_mask = array.dtype == np.bool_
        data = np.packbits(array).tobytes() if is_mask else array.astype("<f4").tobytes()
        shape = (array.shape[0], array.shape[1])
        text = base64.b64encode(data).decode()
        return cls(dtype="bit" if is_mask else "float32", shape=shape, data=text)

    @model_validator(mode="after")
    def _holds_its_shape(self) -> "ArrayRecord":
        count = self.shape[0] * self.shape[1]
        expected = (count + 7) // 8 if self.dtype == "bit" else 4 * count
        if len(base64.b64decode(self.data, validate=True)) != expected:
            raise ValueError(f"expected {expected} bytes for {self.shape} of {self.dtype}")
        if self.dtype == "float32" and not np.isfinite(self.array()).all():
            raise ValueError("expected finite numbers")
        return self

    def array(self) -> Float32[ndarray, "a b"] | Bool[ndarray, "a b"]:
        """Unpack; a mask is bool, everything else float32."""
        data = base64.b64decode(self.data)
        if self.dtype == "float32":
            return np.frombuffer(data, "<f4").astype(np.float32).reshape(self.shape)
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=self.shape[0] * self.shape[1])
        return bits.astype(np.bool_).reshape(self.shape)


class RegionRecord(Record):
    """Where defects count: inside any of the polygons, or where the mask is true.

    Attributes:
        polygons: Corners as (x, y), shares of the image's width and height.
        mask: At any size; it is stretched over the image.
    """

    polygons: tuple[Annotated[tuple[Point, ...], Field(min_length=3)], ...] = ()
    mask: ArrayRecord | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "RegionRecord":
        if bool(self.polygons) == (self.mask is not None):
            raise ValueError("expected either polygons or a mask")
        if self.mask is not None and self.mask.dtype != "bit":
            raise ValueError("expected a mask of bits")
        return self


class FoldRecord(Record):
    """Text embeddings folded for the product, and what that changed on its good images.

    Attributes:
        texts: [texts, dim], in place of the bundle's prompts graph.
        images: How many were averaged.
        smallest_cosine: Of any image's own text direction with the folded one.
        score_difference: Largest between exact and folded.
        map_difference: Largest of any pixel.
        rank_correlation: Spearman's, of the scores; None where it is undefined.
        auroc: Exact and folded, where defects were given.
        milliseconds: Median time of the prompts graph that each image no longer needs.
        graph_bytes: Of the graph file that is no longer loaded.
    """

    texts: ArrayRecord
    images: int
    smallest_cosine: float
    score_difference: float
    map_difference: float
    rank_correlation: float | None
    auroc: tuple[float, float] | None
    milliseconds: float
    graph_bytes: int


class BundleRecord(Record):
    """The one bundle that the recipe is for."""

    identity: Sha256
    name: str


class ImageSetRecord(Record):
    """The good images.

    Attributes:
        count: All of them.
        distinct: Those that do not repeat another one.
        fingerprint: sha256 over the sorted sha256 of their files.
        left_out: Names that the user excluded.
        warnings: What was odd about them, in sentences.
    """

    count: Annotated[int, Field(ge=1)]
    distinct: Annotated[int, Field(ge=1)]
    fingerprint: Sha256
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class EngineRecord(Record):
    """What the thresholds were measured with."""

    engine: str
    version: str
    device: str
    precision: Precision
    arithmetic: str
    detail: dict[str, str] = Field(default_factory=dict)


class SummaryRecord(Record):
    """The good images' distribution, for drift: plain data of `vipx.calibration.drift`."""

    scores: dict[str, JsonValue]
    features: dict[str, JsonValue] | None = None


class MadeRecord(Record):
    """Who made it, when (UTC), and with which versions."""

    author: str
    created: str
    versions: dict[str, str]


class PastRecord(Record):
    """A recipe that this one replaced."""

    sha256: Sha256
    author: str
    created: str
    thresholds: ThresholdsRecord


class RecipeContent(Record):
    """Everything in a recipe but its own hash."""

    schema_version: Literal[1] = 1
    product: Annotated[str, Field(min_length=1)]
    bundle: BundleRecord
    thresholds: ThresholdsRecord
    region: RegionRecord | None = None
    fold: FoldRecord | None = None
    images: ImageSetRecord
    summary: SummaryRecord
    engine: EngineRecord
    made: MadeRecord
    history: tuple[PastRecord, ...] = ()


class Recipe(RecipeContent):
    """A recipe whose hash was verified.

    Attributes:
        sha256: Of its content, which names it in results.
    """

    sha256: Sha256

    def texts(self) -> Float32[ndarray, "texts dim"] | None:
        """Give the folded text embeddings, if any."""
        return None if self.fold is None else self.fold.texts.array()
