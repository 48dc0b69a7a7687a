"""Without the onnx package a graph is read as the onnx package reads it, and a part of it computes the same."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from vipx.errors import BundleError
from vipx.onnx_graph import Constant, cut_graph, read_graph

A = np.arange(12, dtype=np.float32).reshape(3, 4)
B = np.linspace(-1, 1, 20, dtype=np.float32).reshape(4, 5)
UNUSED = np.ones((2, 2), np.float32)


def small_model() -> onnx.ModelProto:
    """Two products with an activation between them; the second alone has further readers."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["first"], name="n1"),
        helper.make_node("Relu", ["first"], ["between"]),
        helper.make_node("MatMul", ["between", "b"], ["second"]),
        helper.make_node("Reshape", ["second", "shape"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None])
    constants = {"a": A, "b": B, "shape": np.array([-1]), "unused": UNUSED}
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(params=["inside", "beside"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The model with its weights in its own file, or beside it."""
    file = tmp_path / "m.onnx"
    onnx.save(
        small_model(),
        file,
        save_as_external_data=request.param == "beside",
        location="m.onnx.data",
        size_threshold=16,
    )
    return file


def run(model: bytes | Path, x: np.ndarray) -> dict[str, np.ndarray]:
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def test_nodes_and_constants_are_those_of_the_onnx_package(path: Path) -> None:
    graph, expected = read_graph(path), onnx.load(path).graph
    assert [(n.operator, list(n.inputs), list(n.outputs)) for n in graph.nodes] == [
        (n.op_type, list(n.input), list(n.output)) for n in expected.node
    ]
    assert list(graph.constants) == [each.name for each in expected.initializer]
    for each in expected.initializer:
        values = graph.constants[each.name].values()
        np.testing.assert_array_equal(values, numpy_helper.to_array(each, str(path.parent)))
        assert values.dtype == numpy_helper.to_array(each, str(path.parent)).dtype
        assert not values.flags.writeable


def test_a_part_computes_what_the_whole_computes_and_holds_nothing_else(path: Path) -> None:
    x = np.array([[1, -2, 0.5], [-3, 0, 1]], np.float32)
    part = cut_graph(path, ["between"])
    model = onnx.load_from_string(part.model)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Relu"]
    assert [each.name for each in model.graph.initializer] == ["a"]
    assert set(part.weights) <= {"a"}
    for name, values in part.weights.items():
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(values), name))
    found = run(model.SerializeToString(), x)
    np.testing.assert_allclose(found["between"], np.maximum(x @ A, 0), rtol=1e-6)


def test_a_part_may_be_the_whole(path: Path) -> None:
    part = cut_graph(path, ["first", "y"])
    model = onnx.load_from_string(part.model)
    assert [output.name for output in model.graph.output] == ["first", "y"]
    assert len(model.graph.node) == 4


def test_a_tensor_that_is_not_computed_is_an_error(path: Path) -> None:
    with pytest.raises(BundleError, match="computes no 'nothing'"):
        cut_graph(path, ["between", "nothing"])


def test_shapes_may_be_packed(tmp_path: Path) -> None:
    packed = b"\x0a\x02\x03\x04" + b"\x10\x01" + b"\x42\x01a" + b"\x4a\x30" + A.tobytes()
    graph = b"\x2a" + bytes([len(packed)]) + packed
    (tmp_path / "m.onnx").write_bytes(b"\x3a" + bytes([len(graph)]) + graph)
    np.testing.assert_array_equal(read_graph(tmp_path / "m.onnx").constants["a"].values(), A)


def test_weights_that_are_no_plain_bytes_or_not_whole_are_errors(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"1234")
    for constant, message in (
        (Constant("a", (2,), 1, tmp_path / "w", 0), "ends within 'a'"),
        (Constant("a", (1,), 1, tmp_path / "w", None), "not understood"),
        (Constant("a", (1,), 8, tmp_path / "w", 0), "not understood"),
    ):
        with pytest.raises(BundleError, match=message):
            constant.values()


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_refused_or_is_a_graph_and_never_hangs(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.onnx"
    path.write_bytes(data)
    try:
        graph = read_graph(path)
    except BundleError:
        return
    assert len(graph.nodes) <= len(data)
