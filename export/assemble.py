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
from vipx.export.model_card import model_card
from vipx.export.onnx_file import ENCODER, OPSET, write_graph
from vipx.export.parity import GraphFiles, parity_record
from vipx.export.tail import Tail, write_tail
from vipx.folders import whole_folder
from vipx.manifest import (
    EncoderRecord,
    GoldensRecord,
    GraphsRecord,
    Manifest,
    ParityRecord,
    Precision,
)
from vipx.training.methods.method import Prediction, predict

_ENCODER_FILES: dict[Precision, str] = {"fp32": "encoder.onnx", "fp16": "encoder.fp16.onnx"}
_CARD = "README.md"
_EXPECTED = "goldens/expected.npz"

Report = Callable[[str], None]
Images = Sequence[UInt8[ndarray, "height width 3"]]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a bundle holds; the first precision is the one that runs by default."""

    precisions: tuple[Precision, ...] = ("fp32",)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.precisions or len(set(self.precisions)) != len(self.precisions):
            raise UsageError(f"precisions: expected each once, got {list(self.precisions)}")


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
        goldens: At least two RGB images at the input size, on which the gate compares.
        options: Precisions, and whether an old bundle may be replaced.
        report: Called with the name of each step before it starts.

    Raises:
        GateError: A graph differs from the unfolded model; nothing was written.
        UsageError: `path` exists, or the goldens do not fit.
        ResourceError: The disk is full or read-only.
    """
    batch = _golden_batch(goldens, detector)
    with whole_folder(path, overwrite=options.overwrite) as folder:
        report("unfolded model on the golden images")
        reference = reference_prediction(detector, batch)
        _write_goldens(folder, batch, reference)
        tail = write_tail(folder, detector, reference, report)
        graphs = _Graphs(folder, options, detector, tail)
        parity = graphs.write_encoders(batch, reference, report)
        report("hashes and manifest")
        name = path.name.removesuffix(".vipx")
        manifest = graphs.manifest(name, parity, goldens=len(batch))
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


def _golden_batch(goldens: Images, detector: Detector) -> UInt8[ndarray, "batch height width 3"]:
    size = detector.backbone.vision.options
    shape = (size.height, size.width, 3)
    if len(goldens) < 2 or any(image.shape != shape for image in goldens):
        raise UsageError(f"goldens: expected two or more RGB images of {size.height}x{size.width}")
    return np.stack(goldens)


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
        """Write and judge the encoder in every precision; float32 first, as it is narrowed in place."""
        encoder, judged = Encoder(self.detector.backbone), []
        for precision in sorted(self.options.precisions, key=list(_ENCODER_FILES).index):
            file = self.folder / _ENCODER_FILES[precision]
            report(f"{file.name} ({precision})")
            if precision == "fp16":
                encoder.halve()
            write_graph(encoder, (torch.from_numpy(images[:2]),), ENCODER, file)
            report(f"parity gate ({precision})")
            files = GraphFiles(file, self.folder / self.tail.texts, self.folder / self.tail.heads)
            judged.append(parity_record(files, precision, images, reference))
        return judged

    def manifest(self, name: str, parity: list[ParityRecord], *, goldens: int) -> Manifest:
        """Describe the bundle; the files' hashes are still missing."""
        method, backbone, size = records(self.detector)
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
            folds=tuple(fold.name for fold in ENCODER_FOLDS) + self.tail.folds,
            goldens=GoldensRecord(
                images=tuple(_golden_name(n) for n in range(goldens)), expected=_EXPECTED
            ),
            parity=tuple(parity),
            files={},
        )
