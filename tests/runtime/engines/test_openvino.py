"""OpenVINO's graphs: keys are multiplied as they lie, and nothing else is changed by it."""

from collections import Counter
from pathlib import Path

import numpy as np
import openvino as library
import pytest

from tests.tiny import noise_images
from vipx.runtime.engines.openvino import Request, compile_graph, settings_of, with_keys_by_rows

LAYERS = 2  # blocks of the tiny tower


def kinds(model: library.Model) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ordered_ops())


@pytest.fixture
def encoder(tiny_bundle: Path) -> Path:
    return tiny_bundle / "encoder.onnx"


def by_rows(model: library.Model) -> int:
    """Count products of four axes whose second factor is transposed."""
    return sum(
        node.get_type_name() == "MatMul"
        and node.get_attributes()["transpose_b"]
        and len(node.get_output_partial_shape(0)) == 4
        for node in model.get_ordered_ops()
    )


def test_every_attention_of_the_encoder_takes_its_keys_by_rows(encoder: Path) -> None:
    model = library.Core().read_model(encoder)
    before = kinds(model)
    assert by_rows(model) == 0
    with_keys_by_rows(model)
    assert by_rows(model) == LAYERS
    assert kinds(model) == before
    orders = [
        list(node.input_value(1).get_node().get_vector())
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Transpose"
    ]
    assert [0, 2, 3, 1] not in orders


@pytest.mark.parametrize("batch", [1, 3])
def test_the_answers_are_the_same(encoder: Path, batch: int) -> None:
    core, images = library.Core(), library.Tensor(np.stack(noise_images(batch)))
    plain = compile_graph(core, encoder, settings_of("f32", 1)).create_infer_request()
    plain.set_tensor("image", images)
    plain.infer()
    found = Request(core, encoder, "f32", 1).run({"image": images})
    for name, tensor in found.items():
        np.testing.assert_allclose(
            tensor.data, plain.get_tensor(name).data, rtol=0, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("name", ["prompts.onnx", "heads.onnx"])
def test_other_graphs_are_left_as_they_are(tiny_bundle: Path, name: str) -> None:
    """A text tower adds a mask to its logits; what heads normalise is no attention of that form."""
    model = library.Core().read_model(tiny_bundle / name)
    before = [node.get_type_name() for node in model.get_ordered_ops()]
    assert [node.get_type_name() for node in with_keys_by_rows(model).get_ordered_ops()] == before
