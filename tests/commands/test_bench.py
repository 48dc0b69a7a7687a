"""`vipx bench` prints what it measured, writes it, and ends with 6 where it got slower."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vipx.commands.bench import bench
from vipx.console import VipxGroup
from vipx.demo import DEMO_BUNDLE

QUICK = [
    "--seconds",
    0,
    "--iterations",
    3,
    "--most-seconds",
    1,
    "--engine",
    "onnxruntime",
    "--device",
    "cpu",
]


def run(*arguments: object) -> Result:
    group = VipxGroup("vipx", commands={"bench": bench})
    return CliRunner().invoke(group, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def baseline(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "baseline.json"
    result = run(tiny_bundle, *QUICK, "--batches", 1, "--out", path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(path.read_text())
    return path


def edited(path: Path, factor: float, out: Path) -> Path:
    """A baseline that was measured on a machine `factor` times as fast."""
    record = json.loads(path.read_text())
    record["latency"]["stages"]["total"]["p50"] /= factor
    out.write_text(json.dumps(record))
    return out


def test_the_table_is_measured_and_the_quoted_figure_stands_apart(tiny_bundle: Path) -> None:
    result = run(tiny_bundle, *QUICK, "--batches", "1,2")
    assert result.exit_code == 0, result.output
    for stage in ("decode", "encoder", "prompts", "heads", "total"):
        assert stage in result.stdout
    quoted = [line for line in result.stdout.splitlines() if "48.69" in line]
    assert len(quoted) == 1
    assert quoted[0].startswith("quoted, not measured here")
    assert "L20" in quoted[0]


def test_a_regression_ends_with_six(baseline: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    fast = edited(baseline, 1000.0, tmp_path / "fast.json")
    result = run(tiny_bundle, *QUICK, "--batches", 1, "--compare", fast, "--max-regression", "5%")
    assert result.exit_code == 6, result.output
    assert "slower than the baseline by more than 5.0%" in result.stderr
    slow = edited(baseline, 0.001, tmp_path / "slow.json")
    options = ["--batches", 2, "--compare", slow]
    assert run(tiny_bundle, *QUICK, *options).exit_code == 0


def test_other_threads_are_not_compared_in_silence(baseline: Path, tiny_bundle: Path) -> None:
    options = [*QUICK, "--batches", 2, "--threads", 1, "--compare", baseline]
    result = run(tiny_bundle, *options)
    assert result.exit_code == 2
    assert "threads: all, now 1" in result.stderr
    allowed = run(tiny_bundle, *options, "--compare-different", "--max-regression", "100000%")
    assert allowed.exit_code == 0, allowed.output
    assert "differs: threads: all, now 1" in allowed.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--max-regression", "5%"], "--compare"),
        (["--compare-different"], "--compare"),
        (["--dataset", "procedural"], "--sweep"),
        (["--sweep", "--limit", "3"], "--dataset"),
        (["--sweep", "--compare", "x.json"], "--sweep"),
        (["--compare", "x.json", "--max-regression", "0.05"], "5%"),
        (["--batches", "0"], "--batches"),
        (["--iterations", "1"], "iterations"),
    ],
)
def test_options_that_contradict_end_with_two(
    tiny_bundle: Path, options: list[str], named: str
) -> None:
    result = run(tiny_bundle, *options)
    assert result.exit_code == 2, result.output
    assert named in result.stderr


def test_what_is_at_out_is_not_replaced_unasked(baseline: Path, tiny_bundle: Path) -> None:
    before = baseline.read_bytes()
    result = run(tiny_bundle, *QUICK, "--out", baseline)
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert baseline.read_bytes() == before


def test_two_bundles_are_a_sweep(tiny_bundle: Path) -> None:
    assert run(tiny_bundle, tiny_bundle).exit_code == 2


@pytest.mark.slow
def test_a_sweep_measures_in_processes_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    options = ["--seconds", 0, "--iterations", 3, "--batches", "1,2", "--device", "cpu"]
    accuracy = ["--dataset", "procedural", "--limit", 4]
    result = run(DEMO_BUNDLE, "--sweep", *options, *accuracy, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record == json.loads((out / "sweep.json").read_text())
    measured = [one for one in record["outcomes"] if one["bench"]]
    assert {(one["engine"], one["precision"]) for one in measured} >= {("onnxruntime", "fp32")}
    assert all(0 <= one["accuracy"]["image_auroc"] <= 1 for one in measured)
    reasons = {one["precision"]: one["reason"] for one in record["outcomes"] if one["reason"]}
    assert "int8" in reasons["int8"]
    assert "<svg" in (out / "sweep.html").read_text()
