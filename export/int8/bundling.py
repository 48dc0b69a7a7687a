"""The INT8 encoder as files of a bundle, with its gates."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from vipx.export.detector import Detector, records
from vipx.export.encoder import Encoder
from vipx.export.int8.collection import collect_ranges, smooth
from vipx.export.int8.drift import Answers, drift_record
from vipx.export.int8.qdq import write_int8_graph
from vipx.export.int8.request import Int8Plan, Pictures
from vipx.export.onnxruntime_form import write_onnxruntime_form
from vipx.export.parity import Chain, GraphFiles
from vipx.images import resize_image
from vipx.manifest import DriftRecord
from vipx.ranges import Ranges, encoder_identity, write_ranges
from vipx.training.methods.method import predict

RANGES = "ranges.json"
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Int8Export:
    """One INT8 export.

    Attributes:
        detector: Method and backbone.
        camera: Height and width of the frames that the encoder resizes itself.
        plan: Where ranges come from.
    """

    detector: Detector
    camera: tuple[int, int] | None
    plan: Int8Plan

    @property
    def identity(self) -> str:
        """Name the encoder that ranges belong to."""
        _, backbone, size = records(self.detector)
        return encoder_identity(backbone, size)

    def write(
        self, file: Path, samples: UInt8[ndarray, "batch _ _ 3"], report: Report
    ) -> tuple[Path, Path]:
        """Write the encoder, ONNX Runtime's form of it and the ranges; gives the paths of both graphs."""
        ranges = self._ranges(report)
        write_ranges(file.with_name(RANGES), ranges)
        report(f"{file.name} (int8)")
        encoder = smooth(Encoder(self.detector.backbone, self.camera), ranges, self.identity)
        write_int8_graph(encoder, ranges, (torch.from_numpy(samples[:2]),), file)
        return file, write_onnxruntime_form(file, heads=encoder.heads)

    def drift(self, files: GraphFiles, report: Report) -> DriftRecord | None:
        """Compare with the unfolded model on the pictures that were held out; None where there are none.

        Raises:
            GateError: A figure is beyond its bound.
        """
        if not self.plan.held_out:
            return None
        report(f"drift gate (int8) on {len(self.plan.held_out)} pictures")
        vision = self.detector.backbone.vision.options
        height, width = self.camera or (vision.height, vision.width)
        chain, expected, actual = Chain(files), [], []
        for frame in Pictures(self.plan.held_out, height, width):
            seen = resize_image(frame, height=vision.height, width=vision.width)
            whole = predict(
                self.detector.backbone, self.detector.method, torch.from_numpy(seen[None])
            )
            expected.append((whole.scores, whole.anomaly_maps))
            values = chain(frame[None])
            actual.append((values["score"], values["anomaly_map"]))
        return drift_record(_answers(expected), _answers(actual), self.plan.anomalous)

    def _ranges(self, report: Report) -> Ranges:
        if self.plan.ranges is not None:
            return self.plan.ranges
        report(f"ranges from {len(self.plan.watched)} pictures")
        vision = self.detector.backbone.vision.options
        pictures = Pictures(self.plan.watched, vision.height, vision.width)
        encoder = Encoder(self.detector.backbone)
        return collect_ranges(encoder, pictures, self.identity, self.plan.choice)


def _answers(singles: list[tuple[ndarray, ndarray]]) -> Answers:
    scores, maps = (np.concatenate(column) for column in zip(*singles, strict=True))
    return Answers(scores, maps)
