"""The manifest of a bundle: what is in it, where it came from, and what it was measured to do."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Precision = Literal["fp32", "fp16", "int8"]
Statistic = Literal["max", "mean", "p99.9"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A name inside the bundle: no separators but '/', no leading dot, never upwards.
FileName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?$")
]


class Record(BaseModel):
    """A strict, frozen record: unknown keys and wrong types are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def first_fault(error: ValidationError) -> str:
    """Say in one line where text is no such record, and why: `graphs.heads: Field required`."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(map(str, fault["loc"])) or "the file"
    return f"{where}: {fault['msg']}"


class FileRecord(Record):
    """Hash and size in bytes of one file."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class BackboneRecord(Record):
    """The CLIP that the bundle was made from."""

    name: str
    sha256: Sha256
    activation: Literal["quick_gelu", "gelu"]
    pos_embed_resample: Literal["bilinear", "bicubic", "bicubic-antialias"]
    cls_ln_post: bool
    patch_size: tuple[int, int]
    vision_width: int
    vision_layers: int
    text_width: int
    text_layers: int
    embed_dim: int
    pixel_mean: tuple[float, float, float]
    pixel_deviation: tuple[float, float, float]


class CheckpointRecord(Record):
    """The learned parameters that the bundle was made from."""

    sha256: Sha256
    format: Literal["vipx", "published"]
    notes: str = ""


class MethodRecord(Record):
    """What is learned and how patches are scored.

    Attributes:
        name: The method.
        preset: Whose numbers its configuration started from.
        conditioned: Whether the texts depend on the image, and a prompts graph makes them.
        temperature: Divisor of every cosine.
        sigma: Deviation in pixels of the Gaussian that smooths the anomaly map.
        feature_layers: Blocks of the vision tower, counted from 1, whose patches are scored.
        config: Every setting of the method, by name.
    """

    name: Literal["vip2clip", "tokenclip"]
    preset: str
    conditioned: bool
    temperature: float
    sigma: float
    feature_layers: tuple[int, ...]
    config: dict[str, bool | int | float | str]


class CameraRecord(Record):
    """The frames of one camera, in pixels."""

    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class InputRecord(Record):
    """The image that the model sees: RGB of height x width px, as every anomaly map is.

    The encoder takes it as uint8 [batch, height, width, 3]; with a `camera` it takes the camera's frames
    [batch, camera.height, camera.width, 3] and resizes them itself, as Pillow does.
    """

    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]
    resize: Literal["pillow-bicubic"] = "pillow-bicubic"
    camera: CameraRecord | None = None

    @property
    def camera_size(self) -> tuple[int, int] | None:
        """Height and width of the frames that the encoder resizes itself; None where it resizes nothing."""
        return None if self.camera is None else (self.camera.height, self.camera.width)


class EncoderRecord(Record):
    """One precision of the vision encoder."""

    precision: Precision
    file: FileName


class GraphsRecord(Record):
    """The ONNX files; one precision or more of the encoder, and one tail for all of them.

    Texts come from a graph where the image conditions them, and from a float32 array [texts, dim] where not.
    """

    opset: int
    encoders: Annotated[tuple[EncoderRecord, ...], Field(min_length=1)]
    prompts: FileName | None
    text_embeddings: FileName | None
    heads: FileName

    @model_validator(mode="after")
    def _one_source_of_texts(self) -> "GraphsRecord":
        if (self.prompts is None) == (self.text_embeddings is None):
            raise ValueError("expected either prompts or text_embeddings")
        return self

    @property
    def texts(self) -> str:
        """Name the file that the texts come from."""
        return self.prompts or self.text_embeddings or ""


class Difference(Record):
    """One measured difference beside its bound.

    `chain` runs encoder, prompts and heads on one image at a time, `batch` on all at once; `alone` runs prompts
    and heads on the reference's own features.
    """

    output: str
    statistic: Statistic
    run: Literal["chain", "batch", "alone"]
    measured: float
    bound: float


class ParityRecord(Record):
    """What the parity gate measured for one precision, on the golden images."""

    precision: Precision
    runtime: str
    differences: tuple[Difference, ...]


class DriftRecord(Record):
    """What rounding to INT8 changed on pictures of the user's product that no range was taken from.

    Attributes:
        images: How many.
        anomalous: How many of them show a defect; None where no folder said so.
        map_correlation: Pearson's coefficient of all pixels of all maps with those of the float32 model.
        score_mean: Mean difference of the scores.
        score_most: Largest one; it has no bound, as it grows with the number of pictures.
        auroc_fp32: Image AUROC of the float32 model; None without both good and defective pictures.
        auroc_int8: The same in INT8.
        auroc_bound: Most that it may lose.
    """

    precision: Literal["int8"]
    runtime: str
    images: Annotated[int, Field(ge=1)]
    anomalous: int | None
    map_correlation: float
    least_map_correlation: float
    score_mean: float
    score_mean_bound: float
    score_most: float
    auroc_fp32: float | None
    auroc_int8: float | None
    auroc_bound: float


class GoldensRecord(Record):
    """Images at the input size (PNG) and what the unfolded model answers to them (npz)."""

    images: Annotated[tuple[FileName, ...], Field(min_length=1)]
    expected: FileName


class Manifest(Record):
    """The whole manifest; `files` lists every file of the bundle but the manifest and its hash."""

    schema_version: Literal[1]
    vipx_version: str
    created: str
    name: str
    method: MethodRecord
    backbone: BackboneRecord
    checkpoint: CheckpointRecord
    input: InputRecord
    graphs: GraphsRecord
    folds: tuple[str, ...]
    goldens: GoldensRecord
    parity: tuple[ParityRecord, ...]
    drift: DriftRecord | None = None
    files: dict[FileName, FileRecord]

    def encoder(self, precision: Precision | None) -> EncoderRecord | None:
        """Find the encoder of a precision; without one, the first, which the exporter asked for first."""
        if precision is None:
            return self.graphs.encoders[0]
        return next((e for e in self.graphs.encoders if e.precision == precision), None)
