"""ONNX Runtime's own form of the float32 encoder: one operator for each attention, the same numbers."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from tests.golden_case import COMMITTED
from tests.tiny import noise_images, tiny_backbone
from vipx.bundle import onnxruntime_form_of, read_bundle
from vipx.errors import GateError
from vipx.export import onnx_file
from vipx.export.encoder import Encoder
from vipx.export.onnx_file import ENCODER, write_graph
from vipx.export.onnxruntime_form import write_onnxruntime_form
from vipx.onnx_wire import external_data_paths

FILE = "encoder.onnx"
FORM = onnxruntime_form_of(FILE)


def run(path: Path, images: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(list(ENCODER.outputs), {"image": images}))


def test_the_float32_encoder_has_one_and_the_half_precision_one_has_none(
    golden_bundle: Path,
) -> None:
    files = read_bundle(golden_bundle).manifest.files
    assert FORM in files
    assert onnxruntime_form_of("encoder.fp16.onnx") not in files


@pytest.mark.parametrize("batch", [1, 3])
def test_it_gives_the_standard_graphs_numbers(golden_bundle: Path, batch: int) -> None:
    images = np.stack(noise_images(batch, COMMITTED.size, COMMITTED.size))
    for standard, own in zip(
        run(golden_bundle / FILE, images), run(golden_bundle / FORM, images), strict=True
    ):
        np.testing.assert_allclose(own, standard, rtol=0, atol=2e-6)


def test_attention_is_one_operator_and_nothing_else_is_changed(golden_bundle: Path) -> None:
    layers = COMMITTED.config["vision_layers"]
    standard, own = (
        Counter(node.op_type for node in onnx.load(golden_bundle / name).graph.node)
        for name in (FILE, FORM)
    )
    assert own["MultiHeadAttention"] == layers
    gone = {"MatMul": 2, "Softmax": 1, "Transpose": 4, "Reshape": 4}
    expected = standard - Counter({kind: count * layers for kind, count in gone.items()})
    assert own - Counter(MultiHeadAttention=layers) == expected


def test_weights_in_a_file_of_their_own_stand_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "EXTERNAL_DATA_BYTES", 1)
    backbone = tiny_backbone()
    encoder = Encoder(backbone)
    images = np.stack(noise_images(2))
    write_graph(encoder, (torch.from_numpy(images),), ENCODER, tmp_path / FILE)
    form = write_onnxruntime_form(tmp_path / FILE, heads=encoder.heads)
    assert set(external_data_paths(form)) == {f"{FILE}.data"}
    assert form.stat().st_size < (tmp_path / f"{FILE}.data").stat().st_size
    for standard, own in zip(run(tmp_path / FILE, images), run(form, images), strict=True):
        np.testing.assert_allclose(own, standard, rtol=0, atol=2e-6)


def test_an_attention_of_another_form_is_an_error(tmp_path: Path) -> None:
    encoder = Encoder(tiny_backbone())
    images = torch.from_numpy(np.stack(noise_images(2)))
    write_graph(encoder, (images,), ENCODER, tmp_path / FILE)
    model = onnx.load(tmp_path / FILE)
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    logits = next(node for node in model.graph.node if node.output[0] == softmax.input[0])
    logits.op_type = "Add"
    onnx.save(model, tmp_path / FILE)
    with pytest.raises(GateError, match="unknown form"):
        write_onnxruntime_form(tmp_path / FILE, heads=encoder.heads)
    assert not (tmp_path / FORM).exists()
