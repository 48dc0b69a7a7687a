"""The measuring scripts run; what they measure is kept in docs/benchmarks/."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import cpu_peaks, pipeline_speed, tail_latency
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


def test_what_a_chip_allows_is_no_less_than_one_thread_times_their_number() -> None:
    one = dict.fromkeys(cpu_peaks.KINDS, 100.0) | {"ort int8": 300.0, "ov int8": 400.0}
    starved = dict.fromkeys(cpu_peaks.KINDS, 150.0) | {"ort int8": 700.0}
    rates = cpu_peaks.bounds({1: one, 2: starved})
    assert (rates["ov f32"], rates["ort int8"], rates["ov int8"]) == (200.0, 700.0, 800.0)
    allowed = cpu_peaks.chips(rates)
    assert (allowed["ort int8"], allowed["ort f32"]) == (800.0, 200.0)
    least = cpu_peaks.floors(allowed)
    work = cpu_peaks.FOLDED
    expected = work.linears / 800 + (work.attention + work.rest) / 200
    assert least["ort-int8"] == pytest.approx(expected)
    assert least["ort-int8"] < cpu_peaks.floors(rates)["ort-int8"]


def test_the_work_of_an_image_is_what_was_counted_by_hand() -> None:
    """perf.md B1: 206.9 + 68.9 + 551.6 for the linears, 184.5 for attention, 1061.9 and 1023.9 in all."""
    for work, total in ((cpu_peaks.PUBLISHED, 1061.9), (cpu_peaks.FOLDED, 1023.9)):
        assert work.linears == pytest.approx(827.4, abs=0.1)
        assert work.attention == pytest.approx(184.5, abs=0.1)
        assert work.linears + work.attention + work.rest == pytest.approx(total, abs=0.3)


def test_a_processor_is_told_by_family_and_flags() -> None:
    told = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: X\nflags\t\t: sse avx512_vnni avx2\n"
    assert cpu_peaks.chip(f"{told}\n{told}") == cpu_peaks.Chip("X", 25, 17, ("avx2", "avx512_vnni"))
    assert cpu_peaks.chip("processor : 0\nFeatures : asimd").family == 0


def test_peaks_of_a_small_shape_are_measured() -> None:
    options = ["--threads=1", "--rounds=1", "--shape", "40", "32", "64"]
    result = CliRunner().invoke(cpu_peaks.main, [*options, "--json"])
    assert result.exit_code == 0, result.output
    peaks = json.loads(result.stdout)["peaks"]["1"]
    assert set(peaks) == set(cpu_peaks.KINDS)
    assert all(rate > 0 for rate in peaks.values())
    told = CliRunner().invoke(cpu_peaks.main, [*options, "--measured", "published=8.0"])
    assert "most against published" in told.output
    refused = CliRunner().invoke(cpu_peaks.main, [*options, "--measured", "fastest=1"])
    assert refused.exit_code == 2
