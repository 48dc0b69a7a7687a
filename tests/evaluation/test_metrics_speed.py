"""The benchmark of the metrics: its loop is the published one, and its ways agree."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks import metrics_speed
from vipx.training.metrics import measurement


def test_the_loops_and_the_published_metric_agree(tmp_path: Path) -> None:
    metrics_speed.draw(tmp_path, images=3, side=70)
    masks, maps = np.load(tmp_path / "masks.npy"), np.load(tmp_path / "maps.npy")
    expected = measurement(None, None, masks, maps).metrics()
    for way in (metrics_speed.loop_way, metrics_speed.lean_way):
        assert way(masks, maps)()["aupro_official"] == pytest.approx(expected.aupro, abs=1e-9)
    assert metrics_speed.vipx_way(masks, maps)() == {
        "pixel_auroc": expected.pixel_auroc,
        "pixel_f1": expected.pixel_f1_max,
        "aupro": expected.aupro_exact,
    }


def test_a_way_is_timed_with_its_memory(tmp_path: Path) -> None:
    metrics_speed.draw(tmp_path, images=2, side=40)
    timed = metrics_speed.measure("vipx", tmp_path)
    assert timed.seconds > 0
    assert timed.peak_bytes > 1e6
    assert set(asdict(timed)["values"]) == {"pixel_auroc", "pixel_f1", "aupro"}
