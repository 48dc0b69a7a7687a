"""What is measured of a bundle, with an engine and a clock whose speed the test sets."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runtime.bench.fakes import FakeOpening
from vipx.demo import DEMO_BUNDLE
from vipx.errors import EngineError, GateError, ImageError, InputError, UsageError
from vipx.runtime.bench import (
    BenchOptions,
    BenchRecord,
    Limits,
    Means,
    compare,
    gate,
    measure,
    read_record,
    upgrades,
)
from vipx.runtime.engines.engine import EngineOptions

QUICK = Limits(seconds=0.1, iterations=20, most_seconds=5.0, warm_up_seconds=0.01, warm_up_runs=2)


def measured(bundle: Path, opening: FakeOpening, *images: Path) -> BenchRecord:
    options = BenchOptions(batches=(1, 4), limits=QUICK)
    return measure(bundle, images, options, Means(opening, opening.clock))


def test_every_stage_has_its_figures(tiny_bundle: Path) -> None:
    record = measured(tiny_bundle, FakeOpening(10.0))
    stages = record.latency.stages
    assert list(stages) == [
        "decode", "resize", "host_to_device", "encoder", "prompts", "heads", "device_to_host", "total",
    ]  # fmt: skip
    assert stages["total"].p50 == pytest.approx(10.0)
    assert stages["encoder"].p99 == pytest.approx(9.0)
    assert stages["heads"].mean == pytest.approx(1.0)
    assert stages["prompts"].max == 0.0
    assert stages["decode"].min > 0.0  # the goldens are files, and these marks are real
    assert record.latency.iterations == 20


def test_throughput_counts_images_and_not_runs(tiny_bundle: Path) -> None:
    one, four = measured(tiny_bundle, FakeOpening(10.0)).throughput
    assert one.images_per_second == pytest.approx(100.0)
    assert four.images_per_second == pytest.approx(100.0)
    assert four.run is not None
    assert four.run.p50 == pytest.approx(40.0)


def test_every_engine_is_opened_for_its_batch_and_closed(tiny_bundle: Path) -> None:
    opening = FakeOpening(10.0)
    measured(tiny_bundle, opening)
    assert [engine.options.batch for engine in opening.opened] == [1, 1, 4]
    assert all(engine.closed for engine in opening.opened)


def test_a_batch_that_cannot_be_run_is_told_with_its_reason(tiny_bundle: Path) -> None:
    one, four = measured(tiny_bundle, FakeOpening(10.0, most=2)).throughput
    assert one.reason is None
    assert four.run is None
    assert four.reason == "no memory for a batch of 4"


def test_load_build_and_memory_stand_beside_the_figures(tiny_bundle: Path) -> None:
    record = measured(tiny_bundle, FakeOpening(10.0))
    assert record.load.open == pytest.approx(2.0)
    assert record.load.verify == pytest.approx(0.0)
    assert record.load.build == 7.5
    held = record.memory
    if held.host_peak is not None:
        assert held.host_before is not None
        assert held.host_peak_batches is not None
        assert 0 < held.host_before <= held.host_peak <= held.host_peak_batches
    assert held.device is None
    assert record.machine.cores >= 1
    assert "numpy" in record.machine.packages


def test_noise_is_said(tiny_bundle: Path) -> None:
    noisy = measured(tiny_bundle, FakeOpening(10.0, 20.0)).noise
    assert any("vary" in reason for reason in noisy)
    assert not any("vary" in reason for reason in measured(tiny_bundle, FakeOpening(10.0)).noise)


def test_pictures_of_the_user_take_turns(tiny_bundle: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(2)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((50, 60, 3), number, np.uint8)).save(path)
    record = measured(tiny_bundle, FakeOpening(10.0), *paths)
    assert record.subject.images == 2
    assert record.latency.stages["resize"].min > 0.0
    other = measured(tiny_bundle, FakeOpening(10.0), *reversed(paths))
    assert record.subject.images_sha256 != other.subject.images_sha256


def test_an_unreadable_picture_ends_the_benchmark(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        measured(tiny_bundle, FakeOpening(10.0), tmp_path / "nothing.png")


def test_an_engine_that_is_not_here_is_an_error(tiny_bundle: Path) -> None:
    options = BenchOptions(engine=EngineOptions(engine="openvino", device="cuda"))
    with pytest.raises(EngineError):
        measure(tiny_bundle, (), options)


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--batches"):
        BenchOptions(batches=(1, 0))


def test_a_record_survives_its_file(tiny_bundle: Path, tmp_path: Path) -> None:
    record = measured(tiny_bundle, FakeOpening(10.0))
    path = tmp_path / "bench.json"
    path.write_text(record.model_dump_json())
    assert read_record(path) == record
    broken = json.loads(path.read_text())
    del broken["engine"]
    path.write_text(json.dumps(broken))
    with pytest.raises(InputError, match="engine"):
        read_record(path)
    with pytest.raises(InputError, match=r"none\.json"):
        read_record(tmp_path / "none.json")


def test_the_gate_trips_beyond_the_bound_and_not_before(tiny_bundle: Path) -> None:
    before = measured(tiny_bundle, FakeOpening(10.0))
    slower = measured(tiny_bundle, FakeOpening(10.4))
    changes = compare(before, slower)
    assert changes[0].name == "total"
    assert changes[0].worse == pytest.approx(0.04)
    gate(changes, 0.05)
    with pytest.raises(GateError, match=r"total 10 -> 10\.4 ms, \+4\.0%"):
        gate(changes, 0.03)
    gate(compare(slower, before), 0.0)
    rates = [change for change in changes if change.unit == "images/s"]
    assert [change.name for change in rates] == ["batch 1", "batch 4"]
    assert rates[1].worse == pytest.approx(0.04)


def test_noise_is_named_where_the_gate_trips(tiny_bundle: Path) -> None:
    before, slower = (measured(tiny_bundle, FakeOpening(ms)) for ms in (10.0, 20.0))
    with pytest.raises(GateError, match="noisy: the fan"):
        gate(compare(before, slower), 0.05, ("the fan",))


def test_what_cannot_be_compared_is_refused_with_what_differs(
    tiny_bundle: Path,
) -> None:
    before = measured(tiny_bundle, FakeOpening(10.0))
    elsewhere = before.machine.model_copy(update={"processor": "Z80", "cores": 1})
    other = before.model_copy(update={"machine": elsewhere})
    with pytest.raises(UsageError, match=r"processor: .*, now Z80; cores: .*, now 1"):
        compare(before, other)
    assert compare(before, other, even_so=True)[0].worse == 0.0
    with pytest.raises(UsageError, match="bundle: tiny"):
        compare(before, measured(DEMO_BUNDLE, FakeOpening(10.0)))


def test_another_version_may_be_compared_and_is_named(tiny_bundle: Path) -> None:
    before = measured(tiny_bundle, FakeOpening(10.0))
    newer = before.engine.model_copy(update={"version": "10.0"})
    after = before.model_copy(update={"engine": newer})
    assert compare(before, after)
    assert upgrades(before, after) == ("engine: 9.9, now 10.0",)


def test_a_real_engine_is_measured(tiny_bundle: Path) -> None:
    limits = Limits(
        seconds=0.0, iterations=3, most_seconds=1.0, warm_up_seconds=0.0, warm_up_runs=1
    )
    options = BenchOptions(batches=(2,), limits=limits, engine=EngineOptions("onnxruntime", "cpu"))
    start = time.perf_counter()
    record = measure(tiny_bundle, (), options)
    spent = 1000 * (time.perf_counter() - start)
    stages = record.latency.stages
    assert record.engine.engine == "onnxruntime"
    assert 0 < stages["encoder"].p50 < stages["total"].p50 < spent
    parts = sum(each.mean for name, each in stages.items() if name != "total")
    assert parts <= stages["total"].mean * 1.001
