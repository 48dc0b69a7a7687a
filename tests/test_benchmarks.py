"""The measuring scripts run; what they measure is kept in docs/benchmarks/."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import pipeline_speed, tail_latency
from benchmarks.pipeline_speed import Turn, rows
from vipx.demo import DEMO_BUNDLE, DEMO_WEIGHTS


@pytest.mark.slow
def test_tails_are_timed_in_turns_and_agree() -> None:
    options = ["--width", "64", "--text-layers", "1", "--side", "126", "--rounds", "2"]
    result = CliRunner().invoke(tail_latency.main, options)
    assert result.exit_code == 0, result.output
    assert "ratio, pair by pair" in result.output
    assert float(result.output.split()[-1]) < 1e-5


def test_speed_is_a_median_of_neighbouring_turns() -> None:
    """A machine that is slow in one turn is slow for all paths: the ratio does not see it."""
    slow = [Turn(wall, 2 * wall, 1) for wall in (8.0, 80.0, 8.0)]
    fast = [Turn(turn.wall / 4, turn.cpu / 2, 2) for turn in slow]
    answer = (0.5, np.arange(6.0).reshape(2, 3))
    first, second = rows(
        {"published": slow, "ort-int8": fast}, dict.fromkeys(("published", "ort-int8"), answer)
    )
    assert first.against_published == (1.0, 1.0)
    assert second.against_published == (4.0, 2.0)
    assert second.against_medium is None
    assert (second.wall, second.least, second.map_difference) == (2.0, 2.0, 0.0)


@pytest.mark.slow
def test_paths_are_timed_in_turns_and_agree() -> None:
    options = [
        str(DEMO_BUNDLE),
        str(DEMO_WEIGHTS / "demo.ckpt"),
        "--rounds=1",
        "--threads=1",
        "--json",
    ]
    options += [
        "--paths=published,ort-fp32,ov-fp32",
        f"--weights={DEMO_WEIGHTS / 'backbone.safetensors'}",
    ]
    result = CliRunner().invoke(pipeline_speed.main, options)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [row["path"] for row in told] == ["published", "ort-fp32", "ov-fp32"]
    assert all(row["map_difference"] <= 1e-4 and row["score_difference"] <= 1e-5 for row in told)
