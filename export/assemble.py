"""Puts a bundle together: graphs, gate, goldens, card and manifest; whole or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from vipx import __version__
from vipx.bundle import file_records, seal
from vipx.errors import UsageError
from vipx.export.detector import Detector, records
from vipx.export.encoder import Encoder
from vipx.export.folds import ENCODER_FOLDS
from vipx.export.folds.camera import CameraFold
from vipx.export.int8.bundling import Int8Export
from vipx.export.int8.request import Int8Plan, Int8Request, plan_of
from vipx.export.model_card import model_card
from vipx.export.onnx_file import ENCODER, OPSET, write_graph
from vipx.export.onnxruntime_form import write_onnxruntime_form
from vipx.export.parity import GraphFiles, parity_record
from vipx.export.tail import Tail, write_tail
from vipx.folders import whole_folder
from vipx.images import resize_image
from vipx.manifest import (
    DriftRecord,
    EncoderRecord,
    GoldensRecord,
    GraphsRecord,
    Manifest,
    ParityRecord,
    Precision,
)
from vipx.training.methods.method import Prediction, predict

_ENCODER_FILES: dict[Precision, str] = {
    "fp32": "encoder.onnx",
    "fp16": "encoder.fp16.onnx",
    "int8": "encoder.int8.onnx",
}
_CARD = "README.md"
_EXPECTED = "goldens/expected.npz"

Report = Callable[[str], None]
Images = Sequence[UInt8[ndarray, "height width 3"]]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a bundle holds; the first precision is the one that runs by default.

    Attributes:
        precisions: Of the encoder, each once.
        overwrite: Whether an old bundle may be replaced.
        camera: Height and width in pixels of the frames that the encoder resizes itself; None for any pictures.
        int8: Where the ranges of that precision come from; given exactly where it is asked for.
    """

    precisions: tuple[Precision, ...] = ("fp32",)
    overwrite: bool = False
    camera: tuple[int, int] | None = None
    int8: Int8Request | None = None

    def __post_init__(self) -> None:
        if not self.precisions or len(set(self.precisions)) != len(self.precisions):
            raise UsageError(f"precisions: expected each once, got {list(self.precisions)}")
        if ("int8" in self.precisions) != (self.int8 is not None):
            raise UsageError(
                "--precision int8 goes with --calibration or --ranges, and they with it"
            )


def bundle_from_detector(
    detector: Detector,
    path: Path,
    *,
    goldens: Images,
    options: ExportOptions,
    report: Report = lambda _: None,
) -> Manifest:
    """Export a detector.

    Args:
        detector: Method and backbone.
        path: The bundle's folder, by custom `NAME.vipx`.
        goldens: At least two RGB images at the input size, or the camera's, on which the gate compares.
        options: Precisions, camera, and whether an old bundle may be replaced.
        report: Called with the name of each step before it starts.

    Raises:
        GateError: A graph differs from the unfolded model; nothing was written.
        UsageError: `path` exists, or the goldens do not fit.
        ResourceError: The disk is full or read-only.
    """
    batch = _golden_batch(goldens, _taken(detector, options))
    plan = None if options.int8 is None else plan_of(options.int8)
    with whole_folder(path, overwrite=options.overwrite) as folder:
        report("unfolded model on the golden images")
        reference = reference_prediction(detector, _seen(batch, detector))
        _write_goldens(folder, batch, reference)
        tail = write_tail(folder, detector, reference, report)
        graphs = _Graphs(folder, options, detector, tail)
        parity = graphs.write_encoders(batch, reference, report)
        drift = None
        if plan is not None:
            record, drift = graphs.write_int8(plan, batch, reference, report)
            parity.append(record)
        report("hashes and manifest")
        name = path.name.removesuffix(".vipx")
        manifest = graphs.manifest(name, parity, goldens=len(batch))
        manifest = manifest.model_copy(update={"drift": drift})
        (folder / _CARD).write_text(model_card(manifest), encoding="utf-8")
        manifest = manifest.model_copy(update={"files": file_records(folder)})
        seal(folder, manifest)
    return manifest


def reference_prediction(
    detector: Detector, images: UInt8[ndarray, "batch height width 3"]
) -> Prediction:
    """Run the unfolded model image by image, so that memory does not grow with their number."""
    singles = [
        predict(detector.backbone, detector.method, torch.from_numpy(image[None]))
        for image in images
    ]
    names = Prediction.__slots__
    return Prediction(**{n: np.concatenate([getattr(one, n) for one in singles]) for n in names})


def _taken(detector: Detector, options: ExportOptions) -> tuple[int, int]:
    """Give height and width of what the encoder takes."""
    vision = detector.backbone.vision.options
    return options.camera or (vision.height, vision.width)


def _golden_batch(goldens: Images, size: tuple[int, int]) -> UInt8[ndarray, "batch height width 3"]:
    if len(goldens) < 2 or any(image.shape != (*size, 3) for image in goldens):
        raise UsageError(
            f"goldens: expected two or more RGB images of {size[0]}x{size[1]} (height x width)"
        )
    return np.stack(goldens)


def _seen(
    batch: UInt8[ndarray, "batch _ _ 3"], detector: Detector
) -> UInt8[ndarray, "batch _ _ 3"]:
    """Give what the model sees of frames: they themselves, or resized by Pillow."""
    size = detector.backbone.vision.options
    return np.stack([resize_image(i, height=size.height, width=size.width) for i in batch])


def _write_goldens(
    folder: Path, images: UInt8[ndarray, "batch height width 3"], reference: Prediction
) -> None:
    (folder / "goldens").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / _golden_name(number), optimize=True)
    np.savez_compressed(
        folder / _EXPECTED,
        score=reference.scores,
        patch_map=reference.patch_maps,
        anomaly_map=reference.anomaly_maps,
        global_feature=reference.global_feature,
        text_embeddings=reference.text_embeddings,
    )


def _golden_name(number: int) -> str:
    return f"goldens/{number:03}.png"


@dataclass(frozen=True, slots=True)
class _Graphs:
    """What stands in the folder, and what is still to be written."""

    folder: Path
    options: ExportOptions
    detector: Detector
    tail: Tail

    def write_encoders(
        self,
        images: UInt8[ndarray, "batch height width 3"],
        reference: Prediction,
        report: Report,
    ) -> list[ParityRecord]:
        """Write and judge the encoder in both float precisions; float32 first, as it is narrowed in place."""
        floats = sorted(set(self.options.precisions) - {"int8"}, key=list(_ENCODER_FILES).index)
        judged: list[ParityRecord] = []
        if not floats:
            return judged
        encoder = Encoder(self.detector.backbone, self.options.camera)
        for precision in floats:
            file = self.folder / _ENCODER_FILES[precision]
            report(f"{file.name} ({precision})")
            if precision == "fp16":
                encoder.halve()
            write_graph(encoder, (torch.from_numpy(images[:2]),), ENCODER, file)
            own = write_onnxruntime_form(file, heads=encoder.heads) if precision == "fp32" else None
            report(f"parity gate ({precision})")
            judged.append(self._judged(file, own, precision, images, reference))
        return judged

    def write_int8(
        self,
        plan: Int8Plan,
        images: UInt8[ndarray, "batch height width 3"],
        reference: Prediction,
        report: Report,
    ) -> tuple[ParityRecord, DriftRecord | None]:
        """Write and judge the encoder in INT8: both forms on the golden images, the standard one for drift."""
        work = Int8Export(self.detector, self.options.camera, plan)
        standard, own = work.write(self.folder / _ENCODER_FILES["int8"], images, report)
        report("parity gate (int8)")
        record = self._judged(standard, own, "int8", images, reference)
        return record, work.drift(self._files(standard), report)

    def _judged(
        self,
        standard: Path,
        own: Path | None,
        precision: Precision,
        images: UInt8[ndarray, "batch height width 3"],
        reference: Prediction,
    ) -> ParityRecord:
        """Judge an encoder, and ONNX Runtime's form where there is one; gives the standard one's record."""
        if own is not None:
            parity_record(self._files(own), precision, images, reference)
        return parity_record(self._files(standard), precision, images, reference)

    def _files(self, encoder: Path) -> GraphFiles:
        return GraphFiles(encoder, self.folder / self.tail.texts, self.folder / self.tail.heads)

    def manifest(self, name: str, parity: list[ParityRecord], *, goldens: int) -> Manifest:
        """Describe the bundle; the files' hashes are still missing."""
        method, backbone, size = records(self.detector, self.options.camera)
        camera = () if self.options.camera is None else (CameraFold.name,)
        encoders = tuple(
            EncoderRecord(precision=p, file=_ENCODER_FILES[p]) for p in self.options.precisions
        )
        return Manifest(
            schema_version=1,
            vipx_version=__version__,
            created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            name=name,
            method=method,
            backbone=backbone,
            checkpoint=self.detector.checkpoint,
            input=size,
            graphs=GraphsRecord(
                opset=OPSET,
                encoders=encoders,
                prompts=self.tail.texts if method.conditioned else None,
                text_embeddings=None if method.conditioned else self.tail.texts,
                heads=self.tail.heads,
            ),
            folds=camera + tuple(fold.name for fold in ENCODER_FOLDS) + self.tail.folds,
            goldens=GoldensRecord(
                images=tuple(_golden_name(n) for n in range(goldens)), expected=_EXPECTED
            ),
            parity=tuple(parity),
            files={},
        )
