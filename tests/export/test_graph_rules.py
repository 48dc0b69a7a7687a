"""What every engine asks of an exported graph, checked on the files (shared notes edge.md 1.7)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from tests.golden_case import COMMITTED
from tests.tiny import noise_images
from vipx.export.onnx_file import ENCODER, HEADS_OUTPUTS, PROMPTS, GraphInterface

ENCODERS = ("encoder.onnx", "encoder.fp16.onnx")
GRAPHS = (*ENCODERS, "prompts.onnx", "heads.onnx")


@pytest.fixture(scope="module")
def graphs(golden_bundle: Path) -> dict[str, ModelProto]:
    return {name: onnx.load(golden_bundle / name) for name in GRAPHS}


def nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Walk all nodes, also those of branches and loops."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def counts(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in nodes(model.graph))


@pytest.mark.parametrize("name", GRAPHS)
def test_the_checker_accepts_every_graph(golden_bundle: Path, name: str) -> None:
    onnx.checker.check_model(golden_bundle / name, full_check=True)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph_is_standard_onnx_of_opset_18(graphs: dict[str, ModelProto], name: str) -> None:
    assert {entry.domain: entry.version for entry in graphs[name].opset_import}[""] == 18
    assert all(node.domain == "" for node in nodes(graphs[name].graph))
    assert not graphs[name].functions


@pytest.mark.parametrize("name", ENCODERS)
def test_bytes_meet_a_cast_before_anything_else(graphs: dict[str, ModelProto], name: str) -> None:
    graph = graphs[name].graph
    assert graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert [node.op_type for node in nodes(graph) if "image" in node.input] == ["Cast"]
    assert graph.node[0].op_type == "Cast"


def test_every_layer_norm_is_one_node(graphs: dict[str, ModelProto]) -> None:
    layers, text_layers = COMMITTED.config["vision_layers"], COMMITTED.config["text_layers"]
    levels = len(COMMITTED.config["feature_layers"])
    for name in ENCODERS:
        found = counts(graphs[name])
        # Two for each block, one before them, ln_post for each feature layer.
        assert found["LayerNormalization"] == 2 * layers + 1 + levels
        # A decomposed norm would show by its mean and its square.
        assert not {"ReduceMean", "Pow", "Sqrt", "InstanceNormalization"} & set(found)
    assert counts(graphs["prompts.onnx"])["LayerNormalization"] == 2 * text_layers + 1


@pytest.mark.parametrize("name", GRAPHS)
def test_no_graph_holds_what_an_engine_gets_wrong(graphs: dict[str, ModelProto], name: str) -> None:
    found = set(counts(graphs[name]))
    assert not found & {
        "ReduceLogSumExp",
        "Resize",
        "GridSample",
        "NonZero",
        "Einsum",
        "Shape",
        "Loop",
        "If",
    }
    for node in nodes(graphs[name].graph):
        modes = [a.s for a in node.attribute if a.name == "mode"]
        assert node.op_type != "Pad" or modes in ([], [b"constant"])


def test_top_k_is_sorted_and_small_enough(graphs: dict[str, ModelProto]) -> None:
    graph = graphs["heads.onnx"].graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    found = [node for node in nodes(graph) if node.op_type == "TopK"]
    assert len(found) == 1
    attributes = {a.name: a.i for a in found[0].attribute}
    assert attributes.get("sorted", 1) == 1
    assert attributes.get("largest", 1) == 1
    k = values[found[0].input[1]].item()
    assert k == COMMITTED.config["topk"] <= 3840


def test_attention_holds_no_scale_and_one_softmax_each(graphs: dict[str, ModelProto]) -> None:
    for name in ENCODERS:
        found = counts(graphs[name])
        assert found["Softmax"] == COMMITTED.config["vision_layers"]
        assert found["Conv"] == 1
        # SiLU is x * sigmoid(x): a Mul more than that would be a scale that was not folded.
        assert found["Mul"] == found["Sigmoid"] == COMMITTED.config["vision_layers"]


def test_half_precision_has_islands_of_float32(graphs: dict[str, ModelProto]) -> None:
    graph = onnx.shape_inference.infer_shapes(graphs["encoder.fp16.onnx"]).graph
    types = {v.name: v.type.tensor_type.elem_type for v in [*graph.value_info, *graph.output]}
    types |= {i.name: i.data_type for i in graph.initializer}
    for node in nodes(graph):
        if node.op_type in ("LayerNormalization", "Conv", "ReduceL2", "Div"):
            assert types[node.output[0]] == TensorProto.FLOAT, node.op_type
        if node.op_type == "MatMul":
            assert types[node.output[0]] == TensorProto.FLOAT16
    assert all(types[output.name] == TensorProto.FLOAT for output in graph.output)


def test_half_precision_halves_the_encoder(golden_bundle: Path) -> None:
    sizes = [(golden_bundle / name).stat().st_size for name in ENCODERS]
    assert sizes[1] < 0.7 * sizes[0]


def test_names_of_tensors_are_the_documented_ones(graphs: dict[str, ModelProto]) -> None:
    heads = GraphInterface(("patch_features", "text_embeddings"), HEADS_OUTPUTS)
    interfaces = (ENCODER, ENCODER, PROMPTS, heads)
    for name, interface in zip(GRAPHS, interfaces, strict=True):
        graph = graphs[name].graph
        assert tuple(i.name for i in graph.input) == interface.inputs
        assert tuple(o.name for o in graph.output) == interface.outputs


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_one_file_runs_any_batch(golden_bundle: Path, batch: int) -> None:
    side = COMMITTED.size
    images = np.stack(noise_images(batch, side, side))
    feature, patches = _run(golden_bundle / "encoder.onnx", image=images)
    (texts,) = _run(golden_bundle / "prompts.onnx", global_feature=feature)
    scores, _, maps = _run(
        golden_bundle / "heads.onnx", patch_features=patches, text_embeddings=texts
    )
    assert scores.shape == (batch,)
    assert maps.shape == (batch, side, side)
    alone = _run(golden_bundle / "encoder.onnx", image=images[-1:])[1]
    np.testing.assert_allclose(patches[-1:], alone, atol=2e-6)


def _run(path: Path, **feeds: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)
