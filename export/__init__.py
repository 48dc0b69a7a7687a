"""Checkpoint in, bundle out: exact folds, three ONNX graphs, and the gate that they must pass."""

from vipx.export.assemble import ExportOptions, bundle_from_detector
from vipx.export.detector import BackboneChoice, Detector, Overrides, load_detector
from vipx.export.int8.request import Int8Request

__all__ = [
    "BackboneChoice",
    "Detector",
    "ExportOptions",
    "Int8Request",
    "Overrides",
    "bundle_from_detector",
    "load_detector",
]
