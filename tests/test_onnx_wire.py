"""The scan without the onnx package finds exactly the paths that the onnx package would follow."""

from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from vipx.errors import BundleError
from vipx.onnx_wire import external_data_paths


def tensor(location: str) -> TensorProto:
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    made.data_location = TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location), ("length", "4")):
        entry = made.external_data.add()
        entry.key, entry.value = key, value
    return made


def model(*nodes: onnx.NodeProto, initialisers: list[TensorProto] | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "g", [], [], initializer=initialisers or [])
    return helper.make_model(graph)


def test_every_place_that_can_hold_a_tensor_is_searched(tmp_path: Path) -> None:
    inner = helper.make_graph([], "inner", [], [], initializer=[tensor("subgraph")])
    sparse = onnx.SparseTensorProto(values=tensor("values"), indices=tensor("indices"), dims=[1])
    made = model(
        helper.make_node("Constant", [], ["a"], value=tensor("attribute")),
        helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner),
        helper.make_node("Constant", [], ["s"], sparse_value=sparse),
        initialisers=[tensor("initialiser")],
    )
    made.graph.sparse_initializer.append(
        onnx.SparseTensorProto(values=tensor("sparse"), indices=tensor("places"), dims=[1])
    )
    function = made.functions.add()
    function.name = "f"
    function.node.append(helper.make_node("Constant", [], ["z"], value=tensor("function")))
    training = made.training_info.add()
    training.initialization.initializer.append(tensor("training"))
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    assert external_data_paths(tmp_path / "m.onnx") == {
        "initialiser", "attribute", "subgraph", "values", "indices",
        "sparse", "places", "function", "training",
    }  # fmt: skip


def test_a_graph_without_external_data_names_none(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model().SerializeToString())
    assert external_data_paths(tmp_path / "m.onnx") == set()


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_refused_or_names_nothing_and_never_hangs(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.onnx"
    path.write_bytes(data)
    with suppress(BundleError):
        assert all(isinstance(name, str) for name in external_data_paths(path))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="empty"):
        external_data_paths(tmp_path / "m.onnx")


def test_nesting_has_an_end(tmp_path: Path) -> None:
    graph = b""
    for _ in range(40):
        graph = field(1, field(5, field(6, graph)))  # a node whose attribute is a graph
    (tmp_path / "m.onnx").write_bytes(field(7, graph))
    with pytest.raises(BundleError, match="nested"):
        external_data_paths(tmp_path / "m.onnx")


def field(number: int, payload: bytes) -> bytes:
    """Encode a length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
