"""Methods whose texts no image changes: no prompts graph, an array instead, and the same numbers."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import noise_images, tiny_detector
from vipx.bundle import file_records, read_bundle, seal
from vipx.errors import BundleError
from vipx.export import ExportOptions, bundle_from_detector
from vipx.runtime import Inspector
from vipx.runtime.goldens import check_goldens
from vipx.training.methods.method import predict

ABLATIONS: dict[str, dict[str, Any]] = {
    "without Meta-Net": {"prompts": "learned"},
    "written": {"prompts": "written"},
    "without FGP": {"prompts": "learned", "fgp": False},
    "nothing learned": {"prompts": "written", "fgp": False, "image_score": "global"},
    "conditioned without FGP": {"fgp": False},
    "dual branch": {"image_score": "global"},
}


@pytest.mark.parametrize(
    "name",
    [
        name if name == "nothing learned" else pytest.param(name, marks=pytest.mark.slow)
        for name in ABLATIONS
    ],
)
def test_every_ablation_is_exported_exactly(tmp_path: Path, name: str) -> None:
    detector = tiny_detector(**ABLATIONS[name])
    path = tmp_path / "x.vipx"
    manifest = bundle_from_detector(
        detector, path, goldens=noise_images(2), options=ExportOptions()
    )
    static = not detector.method.conditioned
    assert (path / "text_embeddings.npy").exists() == static
    assert (path / "prompts.onnx").exists() != static
    assert manifest.method.conditioned != static
    assert ("fgp" in manifest.folds) == detector.method.config.fgp
    assert ("text-prefix" in manifest.folds) != static
    images = noise_images(3, seed=9)
    expected = predict(detector.backbone, detector.method, torch.from_numpy(np.stack(images)))
    with Inspector.open(path) as inspector:
        check_goldens(inspector)
        for image, score, anomaly_map in zip(
            images, expected.scores, expected.anomaly_maps, strict=True
        ):
            result = inspector.inspect(image)
            assert abs(result.score - score) <= 1e-5
            assert np.abs(result.anomaly_map - anomaly_map).max() <= 1e-4


@pytest.fixture(scope="module")
def static_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("static") / "x.vipx"
    detector = tiny_detector(prompts="learned")
    bundle_from_detector(detector, path, goldens=noise_images(2), options=ExportOptions())
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.zeros((2, 5), np.float32), "expected a float32 array"),
        (np.zeros((2, 16)), "expected a float32 array"),
        (np.zeros(16, np.float32), "expected a float32 array"),
        (np.full((2, 16), np.nan, np.float32), "not finite"),
        (b"not numpy", "not an array"),
    ],
)
def test_text_embeddings_that_cannot_be_are_refused(
    static_bundle: Path, tmp_path: Path, content: np.ndarray | bytes, reason: str
) -> None:
    path = tmp_path / "x.vipx"
    shutil.copytree(static_bundle, path)
    if isinstance(content, bytes):
        (path / "text_embeddings.npy").write_bytes(content)
    else:
        np.save(path / "text_embeddings.npy", content)
    manifest = read_bundle(static_bundle).manifest
    seal(path, manifest.model_copy(update={"files": file_records(path)}))
    with pytest.raises(BundleError, match=reason):
        Inspector.open(path)


def test_a_pickled_array_is_not_unpickled(static_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.vipx"
    shutil.copytree(static_bundle, path)
    np.save(path / "text_embeddings.npy", np.array([{}], dtype=object), allow_pickle=True)
    manifest = read_bundle(static_bundle).manifest
    seal(path, manifest.model_copy(update={"files": file_records(path)}))
    with pytest.raises(BundleError, match="not an array"):
        Inspector.open(path)


def test_a_manifest_names_one_source_of_texts(static_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.vipx"
    shutil.copytree(static_bundle, path)
    manifest = read_bundle(static_bundle).manifest
    both = manifest.graphs.model_copy(update={"prompts": "heads.onnx"})
    seal(path, manifest.model_copy(update={"graphs": both}))
    with pytest.raises(BundleError, match="either prompts or text_embeddings"):
        read_bundle(path)
