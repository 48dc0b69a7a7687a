"""What stands behind the encoder, for each method: where the texts come from, and the heads."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vipx.errors import UsageError
from vipx.export.detector import Detector
from vipx.export.folds import PROMPT_FOLDS
from vipx.export.heads import Heads
from vipx.export.onnx_file import HEADS_OUTPUTS, PROMPTS, GraphInterface, write_graph
from vipx.export.prompts import Prompts
from vipx.export.tokenclip_heads import TokenClipHeads
from vipx.export.vip2clip_heads import Vip2ClipHeads
from vipx.training.methods.method import Prediction
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.methods.vip2clip.ica import ICA
from vipx.training.methods.vip2clip.method import Vip2Clip

_PROMPTS_FILE, _TEXTS_FILE, _HEADS_FILE = "prompts.onnx", "text_embeddings.npy", "heads.onnx"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tail:
    """Names of the written files, and of the folds that made them."""

    texts: str
    heads: str
    folds: tuple[str, ...]


def write_tail(folder: Path, detector: Detector, reference: Prediction, report: Report) -> Tail:
    """Write prompts (or text embeddings) and heads, which every precision of the encoder shares."""
    texts, folds = _write_texts(folder, detector, reference, report)
    report(_HEADS_FILE)
    heads = _heads(detector)
    samples = tuple(
        torch.from_numpy(np.ascontiguousarray(getattr(reference, name)[:2]))
        for name in heads.inputs
    )
    interface = GraphInterface(heads.inputs, HEADS_OUTPUTS)
    write_graph(heads, samples, interface, folder / _HEADS_FILE)
    return Tail(texts, _HEADS_FILE, folds + heads.folds)


def _write_texts(
    folder: Path, detector: Detector, reference: Prediction, report: Report
) -> tuple[str, tuple[str, ...]]:
    method = detector.method
    if isinstance(method, Vip2Clip) and isinstance(method.ica, ICA) and method.conditioned:
        report(_PROMPTS_FILE)
        prompts = Prompts(method.ica, detector.backbone.text)
        feature = torch.from_numpy(reference.global_feature[:2])
        write_graph(prompts, (feature,), PROMPTS, folder / _PROMPTS_FILE)
        return _PROMPTS_FILE, tuple(fold.name for fold in PROMPT_FOLDS)
    report(_TEXTS_FILE)
    np.save(folder / _TEXTS_FILE, reference.text_embeddings[0], allow_pickle=False)
    return _TEXTS_FILE, ()


def _heads(detector: Detector) -> Heads:
    method, vision = detector.method, detector.backbone.vision
    if isinstance(method, Vip2Clip):
        return Vip2ClipHeads(method, vision.options, vision.grid)
    if isinstance(method, TokenClip):
        return TokenClipHeads(method, vision.options, vision.grid)
    raise UsageError(f"{method.name} cannot be exported yet")
