"""A bundle exists whole, checked and described, or not at all."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.golden_case import COMMITTED
from tests.tiny import noise_images, tiny_detector
from vipx.bundle import read_bundle
from vipx.errors import GateError, UsageError
from vipx.export import ExportOptions, bundle_from_detector, onnx_file
from vipx.export.encoder import Encoder
from vipx.export.onnx_file import GraphInterface, write_graph
from vipx.runtime import Inspector, check_goldens


def test_golden_scores_and_maps_pass_through_the_bundle(golden_bundle: Path) -> None:
    expected = COMMITTED.expected
    with Inspector.open(golden_bundle) as inspector:
        results = [inspector.inspect(path) for path in COMMITTED.image_paths()]
    for result, score, anomaly_map in zip(
        results, expected["scores"], expected["maps"], strict=True
    ):
        assert abs(result.score - score) <= 1e-6
        assert np.abs(result.anomaly_map - anomaly_map).max() <= 1e-5


def test_half_precision_stays_close(golden_bundle: Path) -> None:
    expected = COMMITTED.expected
    with Inspector.open(golden_bundle, precision="fp16") as inspector:
        results = [inspector.inspect(path) for path in COMMITTED.image_paths()]
    for result, score, anomaly_map in zip(
        results, expected["scores"], expected["maps"], strict=True
    ):
        assert abs(result.score - score) <= 5e-3
        assert np.abs(result.anomaly_map - anomaly_map).mean() <= 1e-3


def test_the_manifest_tells_what_the_bundle_is(golden_bundle: Path) -> None:
    manifest = read_bundle(golden_bundle).manifest
    assert manifest.method.config["normal_word"] == "damaged"
    assert manifest.method.config["abnormal_word"] == "damaged"
    assert manifest.method.feature_layers == tuple(COMMITTED.config["feature_layers"])
    assert manifest.checkpoint.format == "published"
    assert [e.precision for e in manifest.graphs.encoders] == ["fp32", "fp16"]
    assert all(d.measured <= d.bound for p in manifest.parity for d in p.differences)
    assert set(manifest.files) >= {"encoder.onnx", "prompts.onnx", "heads.onnx", "README.md"}


def test_manifest_is_plain_json_with_a_schema_version(golden_bundle: Path) -> None:
    record = json.loads((golden_bundle / "manifest.json").read_text())
    assert record["schema_version"] == 1
    assert all(len(file["sha256"]) == 64 for file in record["files"].values())


def test_a_bundle_on_a_grid_that_is_not_square(tiny_bundle: Path) -> None:
    with Inspector.open(tiny_bundle) as inspector:
        assert inspector.size == (24, 40)
        result = inspector.inspect(noise_images(1, 50, 60)[0])
        assert result.anomaly_map.shape == (24, 40)
        assert result.patch_map.shape == (3, 5)
        check_goldens(inspector)


@pytest.mark.slow
def test_paper_preset_passes_its_gate(tmp_path: Path) -> None:
    changes = {
        "preset": "paper",
        "image_score": "paper",
        "fgp_scale": "inverse_sqrt",
        "normal_word": "good",
    }
    manifest = bundle_from_detector(
        tiny_detector(**changes),
        tmp_path / "p.vipx",
        goldens=noise_images(2),
        options=ExportOptions(),
    )
    assert manifest.method.preset == "paper"


def test_a_failed_gate_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfaithful = Encoder.__init__

    def wrong(self: Encoder, *args: object) -> None:
        unfaithful(self, *args)  # type: ignore[arg-type]
        self.get_submodule("blocks.0.up").get_parameter("weight").mul_(1.05)

    monkeypatch.setattr(Encoder, "__init__", wrong)
    with pytest.raises(GateError, match="parity gate"):
        bundle_from_detector(
            tiny_detector(), tmp_path / "x.vipx", goldens=noise_images(2), options=ExportOptions()
        )
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "x.vipx").mkdir()
    (tmp_path / "x.vipx/precious").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        bundle_from_detector(
            tiny_detector(), tmp_path / "x.vipx", goldens=noise_images(2), options=ExportOptions()
        )
    assert (tmp_path / "x.vipx/precious").read_text() == "mine"


@pytest.mark.parametrize("goldens", [noise_images(1), noise_images(2, 40, 24)])
def test_goldens_must_fit(tmp_path: Path, goldens: list[np.ndarray]) -> None:
    with pytest.raises(UsageError, match="goldens"):
        bundle_from_detector(
            tiny_detector(), tmp_path / "x.vipx", goldens=goldens, options=ExportOptions()
        )


@pytest.mark.slow
def test_large_weights_lie_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "EXTERNAL_DATA_BYTES", 1000)
    path = tmp_path / "x.vipx"
    bundle_from_detector(tiny_detector(), path, goldens=noise_images(2), options=ExportOptions())
    assert (path / "encoder.onnx.data").stat().st_size > 1000
    with Inspector.open(path) as inspector:
        check_goldens(inspector)


def test_a_graph_that_the_checker_refuses_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Adds(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return a + b, a, b

    def refuse(*args: object, **kwargs: object) -> None:
        raise onnx.checker.ValidationError("made up")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    interface = GraphInterface(("a", "b"), ("c", "d", "e"))
    with pytest.raises(GateError, match="made up"):
        write_graph(Adds(), (torch.ones(2, 3), torch.ones(2, 3)), interface, tmp_path / "x.onnx")
