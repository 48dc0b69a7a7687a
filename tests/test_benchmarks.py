"""The measuring scripts run; what they measure is kept in docs/benchmarks/."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import cpu_peaks, gpu_speed, pipeline_speed, tail_latency
from benchmarks.pipeline_speed import Turn, rows
from benchmarks.published_pipeline import Published, open_published
from tests.tiny import noise_images
from vipx.demo import DEMO_BUNDLE, DEMO_WEIGHTS
from vipx.export import BackboneChoice, Overrides, load_detector


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


@pytest.mark.slow
def test_the_gpus_paths_are_timed_in_turns_and_agree() -> None:
    """On the CPU, where nothing is captured; torch.compile is left out, it fails under beartype's hook."""
    options = [str(DEMO_BUNDLE), str(DEMO_WEIGHTS / "demo.ckpt"), "--device=cpu"]
    options += [f"--weights={DEMO_WEIGHTS / 'backbone.safetensors'}", "--paths=published,ort"]
    result = CliRunner().invoke(
        gpu_speed.main, [*options, "--precision=fp32", "--batches=1,2", "--rounds=2"]
    )
    assert result.exit_code == 0, result.output
    for batch, line in enumerate(result.stdout.splitlines(), start=1):
        told = json.loads(line)
        ours = told["paths"]["ort"]
        assert (told["batch"], told["device"]) == (batch, "cpu")
        assert ours["score difference"] <= 1e-5
        assert ours["map difference"] <= 1e-4
        assert ours["against published"] > 0


class Operators(TorchDispatchMode):
    """Notes what PyTorch computes with, and the sizes of batched products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()
        self.products: list[torch.Size] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.names.add(func.name())
        if func.name() == "aten::bmm":
            self.products.append(args[1].shape)
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_the_published_baseline_is_not_slowed_by_the_order_of_its_axes(tmp_path: Path) -> None:
    """With open_clip's order attention is not fused, and a copy of a weight is multiplied for each token."""
    checkpoint, weights = DEMO_WEIGHTS / "demo.ckpt", DEMO_WEIGHTS / "backbone.safetensors"
    image = tmp_path / "part.png"
    Image.fromarray(noise_images(1)[0]).save(image)
    plain = load_detector(checkpoint, BackboneChoice(weights=weights), Overrides())
    named = Published(plain.backbone.eval(), plain.method.eval())
    published = open_published(checkpoint, weights)
    answers, seen = [], []
    for model in (named, published):
        with Operators() as operators:
            answers.append(model(image))
        seen.append(operators)
    assert abs(answers[0][0] - answers[1][0]) <= 1e-6
    np.testing.assert_allclose(answers[1][1], answers[0][1], rtol=0, atol=1e-6)
    tokens = published.backbone.text.context_length
    assert "aten::_native_multi_head_attention" in seen[0].names
    assert any(shape[0] == tokens for shape in seen[0].products)
    assert "aten::_native_multi_head_attention" not in seen[1].names
    assert not any(shape[0] == tokens for shape in seen[1].products)


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
