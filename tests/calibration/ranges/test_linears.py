"""The linear layers that are found in a graph are those that export watches, with their weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from tests.tiny import noise_images, tiny_backbone
from vipx.bundle import read_bundle
from vipx.calibration.ranges.linears import linear_inputs
from vipx.errors import BundleError
from vipx.export.encoder import Encoder
from vipx.export.int8.observation import blocks_of, readers
from vipx.export.onnx_file import ENCODER, write_graph
from vipx.manifest import BackboneRecord
from vipx.ranges import input_names
from vipx.training.model.backbone import Backbone


def check(path: Path, record: BackboneRecord, encoder: Encoder) -> None:
    found = linear_inputs(path, record)
    assert tuple(each.name for each in found) == input_names(record.vision_layers)
    assert len({each.tensor for each in found}) == len(found)
    layers = [part for block in blocks_of(encoder) for part in readers(block).values()]
    for each, behind in zip(found, layers, strict=True):
        assert len(each.weights) == len(behind)
        weights = torch.stack([layer.weight.abs().amax(dim=0) for layer in behind]).amax(dim=0)
        np.testing.assert_array_equal(each.most(), weights.numpy())
        assert each.channels == len(weights)


def record_of(backbone: Backbone, tiny_bundle: Path) -> BackboneRecord:
    visual = backbone.vision.visual
    shape = {"vision_width": visual.ln_post.normalized_shape[0]}
    shape |= {"vision_layers": len(visual.transformer.resblocks)}
    return read_bundle(tiny_bundle).manifest.backbone.model_copy(update=shape)


def test_the_layers_of_a_bundle_are_those_of_the_tower(tiny_bundle: Path) -> None:
    record = read_bundle(tiny_bundle).manifest.backbone
    check(tiny_bundle / "encoder.onnx", record, Encoder(tiny_backbone()))


@pytest.mark.slow
def test_a_cameras_resize_is_no_layer(tiny_bundle: Path, tmp_path: Path) -> None:
    backbone, camera = tiny_backbone(), (31, 47)
    encoder = Encoder(backbone, camera)
    frames = torch.from_numpy(np.stack(noise_images(2, *camera)))
    write_graph(encoder, (frames,), ENCODER, tmp_path / "encoder.onnx")
    check(tmp_path / "encoder.onnx", record_of(backbone, tiny_bundle), encoder)


@pytest.mark.parametrize(
    "shape",
    [{"dim": 32}, {"width": 24, "layers": 3, "quick_gelu": False, "layer_scale": 0.1}],
    ids=["projection as wide as the tower", "gelu and layer scale"],
)
@pytest.mark.slow
def test_other_towers_are_understood_too(
    shape: dict[str, Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    backbone = tiny_backbone(**shape)
    encoder = Encoder(backbone)
    images = torch.from_numpy(np.stack(noise_images(2)))
    write_graph(encoder, (images,), ENCODER, tmp_path / "encoder.onnx")
    check(tmp_path / "encoder.onnx", record_of(backbone, tiny_bundle), encoder)


@pytest.mark.parametrize("change", [{"vision_layers": 3}, {"vision_width": 16}])
def test_a_graph_of_other_blocks_is_refused(tiny_bundle: Path, change: dict[str, int]) -> None:
    record = read_bundle(tiny_bundle).manifest.backbone.model_copy(update=change)
    with pytest.raises(BundleError, match="blocks of its vision tower were understood"):
        linear_inputs(tiny_bundle / "encoder.onnx", record)


@pytest.mark.parametrize("broken", ["attention", "mlp"])
def test_matrices_in_a_row_that_do_not_feed_one_another_as_a_block_does_are_none(
    broken: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    whole = onnx.load(tiny_bundle / "encoder.onnx")
    products = [
        node
        for node in whole.graph.node
        if node.op_type == "MatMul" and node.input[1] in {i.name for i in whole.graph.initializer}
    ]
    if broken == "attention":
        products[3].input[0] = products[0].input[0]
    else:
        wide = next(i for i in whole.graph.initializer if i.name == products[5].input[1])
        wide.CopyFrom(numpy_helper.from_array(np.ones((32, 32), np.float32), wide.name))
        products[5].input[0] = products[4].input[0]
    onnx.save(whole, tmp_path / "encoder.onnx")
    record = read_bundle(tiny_bundle).manifest.backbone
    with pytest.raises(BundleError, match="1 of the 2 blocks"):
        linear_inputs(tmp_path / "encoder.onnx", record)


def test_a_graph_without_any_matrix_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [])
    onnx.save(helper.make_model(graph), tmp_path / "encoder.onnx")
    with pytest.raises(BundleError, match="0 of the 2 blocks"):
        linear_inputs(tmp_path / "encoder.onnx", read_bundle(tiny_bundle).manifest.backbone)
