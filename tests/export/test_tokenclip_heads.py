"""The exported heads of TokenCLIP-R give what PyTorch gives, from a graph that every engine gets right."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from tests.tiny import noise_images, tiny_backbone
from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip
from vipx.errors import UsageError
from vipx.export.folds.fold import relative_difference
from vipx.export.onnx_file import HEADS_OUTPUTS, GraphInterface, write_graph
from vipx.export.tokenclip_heads import TokenClipHeads
from vipx.training.methods.method import Prediction, predict

# Few iterations, and two cases: the exporter takes its time over each.
CASES: Mapping[str, dict[str, Any]] = {
    "transport": {"iterations": 4},
    "softmax": {
        "assignment": "softmax",
        "image_score": "global+map",
        "map_patches": 3,
        "tie_width": 0.0,
        "top_k": 1,
    },
}


@dataclass(frozen=True)
class Exported:
    path: Path
    reference: Prediction


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Exported]:
    backbone = tiny_backbone()
    images = torch.from_numpy(np.stack(noise_images(5)))
    made = {}
    for name, changes in CASES.items():
        method = tiny_tokenclip(backbone, **changes)
        reference = predict(backbone, method, images)
        heads = TokenClipHeads(method, backbone.vision.options, backbone.vision.grid)
        path = tmp_path_factory.mktemp("heads") / "heads.onnx"
        samples = tuple(torch.from_numpy(v) for v in feeds(reference, 2).values())
        write_graph(heads, samples, GraphInterface(heads.inputs, HEADS_OUTPUTS), path)
        made[name] = Exported(path, reference)
    return made


def feeds(reference: Prediction, batch: int) -> dict[str, np.ndarray]:
    names = ("patch_features", "text_embeddings", "global_feature")
    return {name: np.ascontiguousarray(getattr(reference, name)[:batch]) for name in names}


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("name", CASES)
def test_one_graph_gives_pytorchs_numbers_at_any_batch(
    exported: Mapping[str, Exported], name: str, batch: int
) -> None:
    case = exported[name]
    session = ort.InferenceSession(case.path, providers=["CPUExecutionProvider"])
    score, patch_map, anomaly_map = session.run(None, feeds(case.reference, batch))
    assert np.abs(score - case.reference.scores[:batch]).max() <= 1e-5
    assert np.abs(patch_map - case.reference.patch_maps[:batch]).max() <= 1e-4
    assert np.abs(anomaly_map - case.reference.anomaly_maps[:batch]).max() <= 1e-4
    assert np.ptp(case.reference.anomaly_maps) > 0.01, "a flat map would agree with anything"


def test_the_cases_differ(exported: Mapping[str, Exported]) -> None:
    maps = [case.reference.anomaly_maps for case in exported.values()]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_the_graph_holds_no_node_that_an_engine_gets_wrong(
    exported: Mapping[str, Exported], name: str
) -> None:
    graph = onnx.load(exported[name].path).graph
    found = Counter(node.op_type for node in graph.node)
    assert not set(found) & {
        "ReduceLogSumExp",
        "LogSoftmax",
        "ScatterElements",
        "ScatterND",
        "GatherElements",
        "Einsum",
        "Expand",
        "Shape",
        "Loop",
        "Scan",
        "If",
        "Resize",
        "NonZero",
    }
    assert all(node.domain == "" for node in graph.node)
    assert tuple(i.name for i in graph.input) == tuple(feeds(exported[name].reference, 1))
    assert tuple(o.name for o in graph.output) == HEADS_OUTPUTS


def test_the_iterations_stand_in_the_graph_one_by_one(exported: Mapping[str, Exported]) -> None:
    counts = {
        name: Counter(node.op_type for node in onnx.load(case.path).graph.node)
        for name, case in exported.items()
    }
    # One softmax an iteration; over the tokens, one shifted log-sum-exp in all.
    assert counts["transport"]["Softmax"] == counts["transport"]["Log"] == 4
    assert counts["transport"]["Exp"] == counts["transport"]["ReduceMax"] == 1
    assert (counts["softmax"]["Softmax"], counts["softmax"]["Log"]) == (1, 0)
    assert (counts["transport"]["TopK"], counts["softmax"]["TopK"]) == (1, 2)
    assert (counts["transport"]["GreaterOrEqual"], counts["softmax"]["GreaterOrEqual"]) == (0, 1)
    assert sum(counts["transport"].values()) <= 90


def test_top_k_is_sorted(exported: Mapping[str, Exported]) -> None:
    for case in exported.values():
        for node in onnx.load(case.path).graph.node:
            if node.op_type == "TopK":
                attributes = {a.name: a.i for a in node.attribute}
                assert attributes.get("sorted", 1) == attributes.get("largest", 1) == 1


def test_heads_in_float64_are_the_method() -> None:
    """All folds together; graphs differ from this by precision alone."""
    backbone = tiny_backbone().double()
    images = torch.from_numpy(np.stack(noise_images(2)))
    for changes in CASES.values():
        method = tiny_tokenclip(backbone, **changes).double()
        heads = TokenClipHeads(method, backbone.vision.options, backbone.vision.grid).double()
        with torch.no_grad():
            features = backbone(images)
            texts = method.text_embeddings(backbone.text, features.global_feature)
            score, patch_map, _ = heads(features.patch_features, texts, features.global_feature)
            expected = method(backbone.text, features)
        probability = expected.alignment.probabilities[..., 1].mean(dim=1)
        assert relative_difference(expected.scores(), score) <= 1e-10
        assert relative_difference(probability, patch_map.flatten(1)) <= 1e-10


def test_more_map_patches_than_the_grid_has_are_refused() -> None:
    backbone = tiny_backbone()
    method = tiny_tokenclip(backbone, image_score="global+map", map_patches=16)
    with pytest.raises(UsageError, match="at most the image's 15 patches, got 16"):
        TokenClipHeads(method, backbone.vision.options, backbone.vision.grid)
