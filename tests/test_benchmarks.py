"""The measuring scripts run; what they measure is kept in docs/benchmarks/."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import demo_accuracy, tail_latency
from tests.golden_case import SHARED
from vipx.training.data.procedural import UNSEEN


@pytest.mark.slow
def test_tails_are_timed_in_turns_and_agree() -> None:
    options = ["--width", "64", "--text-layers", "1", "--side", "126", "--rounds", "2"]
    result = CliRunner().invoke(tail_latency.main, options)
    assert result.exit_code == 0, result.output
    assert "ratio, pair by pair" in result.output
    assert float(result.output.split()[-1]) < 1e-5


@pytest.mark.slow
def test_accuracy_of_a_bundle_on_drawn_parts(golden_bundle: Path) -> None:
    result = CliRunner().invoke(demo_accuracy.main, [str(golden_bundle), "--each", "2", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)
    assert {row["category"] for row in rows} == {*UNSEEN, "mean"}
    assert all(0 <= row["metrics"]["aupro"] <= 1 for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="shared data is not here")
def test_accuracy_of_a_bundle_on_a_folder(golden_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "hazelnut_toy").symlink_to(SHARED / "data/industrial/hazelnut_toy")
    options = [str(golden_bundle), "--root", str(tmp_path), "--mvtec-layout"]
    result = CliRunner().invoke(demo_accuracy.main, options)
    assert result.exit_code == 0, result.output
    assert "hazelnut_toy" in result.output
