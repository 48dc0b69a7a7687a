"""What INT8 rounds and what it leaves alone, read off the written graphs."""

import copy
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from tests.tiny import noise_images, tiny_backbone
from vipx.bundle import onnxruntime_form_of, read_bundle
from vipx.errors import GateError
from vipx.export.encoder import Encoder
from vipx.export.int8 import qdq
from vipx.export.int8.collection import linears_of
from vipx.export.int8.qdq import Weights, quantise

pytestmark = pytest.mark.slow  # a whole export

LAYERS = 2  # blocks of the tiny tower
FILE = "encoder.int8.onnx"


@pytest.fixture(scope="module")
def graph(int8_bundle: Path) -> ModelProto:
    return onnx.load(int8_bundle / FILE)


def makers(model: ModelProto) -> dict[str, NodeProto]:
    return {node.output[0]: node for node in model.graph.node}


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_the_checker_accepts_the_graph_as_standard_opset_18(
    int8_bundle: Path, graph: ModelProto
) -> None:
    onnx.checker.check_model(int8_bundle / FILE, full_check=True)
    assert {entry.domain: entry.version for entry in graph.opset_import} == {"": 18}


def test_weights_in_a_file_of_their_own_may_be_read_by_whom_the_graph_may(
    graph: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdq, "EXTERNAL_DATA_BYTES", 1)
    qdq.save_graph(copy.deepcopy(graph), tmp_path / "graph.onnx")
    weights = tmp_path / "graph.onnx.data"
    assert weights.stat().st_size > 1000
    assert weights.stat().st_mode == (tmp_path / "graph.onnx").stat().st_mode


def test_every_linear_layer_has_both_inputs_rounded_and_nothing_else_has(graph: ModelProto) -> None:
    made = makers(graph)
    rounded = []
    for node in graph.graph.node:
        before = [made[name].op_type for name in node.input if name in made]
        if "DequantizeLinear" in before and node.op_type != "DequantizeLinear":
            assert node.op_type == "MatMul"
            assert before == ["DequantizeLinear", "DequantizeLinear"]
            rounded.append(node)
    linears = list(linears_of(Encoder(tiny_backbone())))
    assert len(rounded) == len(linears) == 6 * LAYERS


def test_attention_products_stay_float32(graph: ModelProto) -> None:
    made = makers(graph)
    softmaxes = [node for node in graph.graph.node if node.op_type == "Softmax"]
    assert len(softmaxes) == LAYERS
    for softmax in softmaxes:
        logits = made[softmax.input[0]]
        (mix,) = (node for node in graph.graph.node if softmax.output[0] in node.input)
        inputs = [*logits.input, *mix.input]
        assert all(made[name].op_type in ("Transpose", "Softmax") for name in inputs)


def test_integers_are_symmetric_with_a_scale_for_each_output(graph: ModelProto) -> None:
    values, weights = constants(graph), 0
    for node in graph.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = values[node.input[1]], values[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (scale > 0).all()
        if node.input[0] in values:
            integers = values[node.input[0]]
            weights += 1
            assert integers.dtype == np.int8
            assert scale.shape == integers.shape[1:]
            assert np.abs(integers).max(axis=0).min() == 127
            assert [a.i for a in node.attribute if a.name == "axis"] == [1]
        else:
            assert scale.shape == ()
    assert weights == 6 * LAYERS


def test_what_follows_the_blocks_is_float32(int8_bundle: Path, graph: ModelProto) -> None:
    """No tensor behind the last block's sum has another type, and the tail's graphs know no integers."""
    types = {output.name: output.type.tensor_type.elem_type for output in graph.graph.output}
    assert set(types.values()) == {TensorProto.FLOAT}
    made = makers(graph)
    names, seen = list(types), set()
    while names:
        name = names.pop()
        node = made.get(name)
        if node is None or name in seen or node.op_type == "Add":
            continue
        seen.add(name)
        assert node.op_type not in ("QuantizeLinear", "DequantizeLinear")
        names.extend(node.input)
    for tail in ("prompts.onnx", "heads.onnx"):
        found = Counter(node.op_type for node in onnx.load(int8_bundle / tail).graph.node)
        assert not {"QuantizeLinear", "DequantizeLinear"} & set(found)


def test_inputs_that_layers_share_are_rounded_once(graph: ModelProto) -> None:
    found = Counter(node.op_type for node in graph.graph.node)
    assert found["QuantizeLinear"] == 4 * LAYERS
    assert found["DequantizeLinear"] == 4 * LAYERS + 6 * LAYERS


def test_no_float_copy_of_the_weights_is_left(int8_bundle: Path, graph: ModelProto) -> None:
    widest = max(t.dims[0] * t.dims[1] for t in graph.graph.initializer if len(t.dims) == 2)
    floats = [
        tensor.name
        for tensor in graph.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) == widest
    ]
    assert floats == []
    assert not list(int8_bundle.glob("wide-*"))


def test_onnxruntimes_form_gives_the_same_numbers(int8_bundle: Path) -> None:
    form = onnxruntime_form_of(FILE)
    assert form in read_bundle(int8_bundle).manifest.files
    images = np.stack(noise_images(3, seed=5))
    outputs = []
    for name in (FILE, form):
        session = ort.InferenceSession(int8_bundle / name, providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, {"image": images}))
    # The integers are the same; a float sum in another order may round to a neighbour now and then.
    for standard, own in zip(*outputs, strict=True):
        assert np.abs(standard - own).max() <= 5e-3
        assert np.abs(standard - own).mean() <= 5e-4


def test_onnxruntimes_form_holds_its_fused_operators(int8_bundle: Path) -> None:
    model = onnx.load(int8_bundle / onnxruntime_form_of(FILE))
    found = Counter(node.op_type for node in model.graph.node)
    assert found["MatMulIntegerToFloat"] == 6 * LAYERS
    assert found["MultiHeadAttention"] == LAYERS
    assert not {"DequantizeLinear", "Softmax"} & set(found)


def test_weights_that_the_graph_does_not_hold_are_an_error(graph: ModelProto) -> None:
    stranger = Weights("blocks.9.up", "blocks.9.up", np.ones((3, 5), np.float32), 0.1)
    with pytest.raises(GateError, match=r"blocks\.9\.up"):
        quantise(graph, [stranger])
