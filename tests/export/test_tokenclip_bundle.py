"""A bundle of TokenCLIP-R: no prompts graph, constant texts, and the numbers of PyTorch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.tiny import NO_HASH, noise_images, tiny_backbone
from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip
from vipx.export import Detector, ExportOptions, bundle_from_detector
from vipx.manifest import CheckpointRecord, Manifest
from vipx.runtime import Inspector
from vipx.runtime.goldens import check_goldens
from vipx.training.methods.method import predict

pytestmark = pytest.mark.slow  # a whole export


@pytest.fixture(scope="module")
def detector() -> Detector:
    backbone = tiny_backbone()
    record = CheckpointRecord(sha256=NO_HASH, format="vipx")
    return Detector(
        backbone, tiny_tokenclip(backbone, image_score="global+map", iterations=3), record
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> tuple[Path, Manifest]:
    path = tmp_path_factory.mktemp("bundles") / "tokenclip.vipx"
    goldens = noise_images(2)
    return path, bundle_from_detector(detector, path, goldens=goldens, options=ExportOptions())


def test_the_bundle_says_that_it_is_the_reconstruction(made: tuple[Path, Manifest]) -> None:
    _, manifest = made
    assert (manifest.method.name, manifest.method.preset) == ("tokenclip", "reconstruction")


def test_texts_are_constants_of_the_bundle(made: tuple[Path, Manifest], detector: Detector) -> None:
    path, manifest = made
    assert not (path / "prompts.onnx").exists()
    texts = np.load(path / "text_embeddings.npy", allow_pickle=False)
    assert (texts.shape, texts.dtype) == ((2 + 2 * 4, 16), np.float32)
    with torch.no_grad():
        expected = detector.method.text_embeddings(detector.backbone.text, torch.zeros(1, 16))
    assert np.abs(texts - expected[0].numpy()).max() <= 1e-6
    assert {"sinkhorn", "gram", "upsample"} <= set(manifest.folds)
    assert "text-prefix" not in manifest.folds


def test_no_graph_leaves_its_shift_to_the_engine(made: tuple[Path, Manifest]) -> None:
    for graph in made[0].glob("*.onnx"):
        assert "ReduceLogSumExp" not in {node.op_type for node in onnx.load(graph).graph.node}


def test_the_inspector_gives_what_pytorch_gives(
    made: tuple[Path, Manifest], detector: Detector
) -> None:
    images = noise_images(4, seed=9)
    expected = predict(detector.backbone, detector.method, torch.from_numpy(np.stack(images)))
    with Inspector.open(made[0]) as inspector:
        check_goldens(inspector)
        for number, image in enumerate(images):
            result = inspector.inspect(image)
            assert abs(result.score - expected.scores[number]) <= 1e-5
            assert np.abs(result.anomaly_map - expected.anomaly_maps[number]).max() <= 1e-4
