"""A sweep lists every combination: figures, or the reason why there are none."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.bench.fakes import FakeOpening
from vipx.benchmarking import child
from vipx.benchmarking.cells import AccuracyRecord, planned
from vipx.benchmarking.chart import Point, bars, front, scatter
from vipx.benchmarking.child import Answer, Request
from vipx.benchmarking.page import sweep_page
from vipx.benchmarking.sweep import SweepOptions, SweepRecord, run_in_child, sweep
from vipx.errors import EngineError
from vipx.runtime.bench import BenchOptions, Limits, Means, measure
from vipx.runtime.engines.engine import EngineOptions

LIMITS = Limits(seconds=0.0, iterations=3, most_seconds=1.0, warm_up_seconds=0.0, warm_up_runs=1)


def faked(request: Request) -> Answer:
    """Faster in fp16 than in fp32, and better in fp32 than in fp16."""
    fast = request.precision == "fp16"
    opening = FakeOpening(10.0 if fast else 20.0, most=2)
    options = BenchOptions(request.precision, batches=request.batches, limits=LIMITS)
    bench = measure(Path(request.bundle), (), options, Means(opening, opening.clock))
    share = 0.9 if fast else 0.95
    accuracy = AccuracyRecord(dataset="x", images=4, image_auroc=share, pixel_auroc=None, aupro=0.5)
    return Answer(bench=bench, accuracy=accuracy)


@pytest.fixture(scope="module")
def record(tiny_bundle: Path) -> SweepRecord:
    options = BenchOptions(batches=(1, 4), engine=EngineOptions(engine="onnxruntime"))
    return sweep([tiny_bundle], SweepOptions(options), run=faked)


def test_every_precision_and_engine_is_listed(tiny_bundle: Path) -> None:
    cells = planned([tiny_bundle], BenchOptions())
    names = {(c.precision, c.engine.engine, c.engine.device, c.engine.arithmetic) for c in cells}
    for precision in ("fp32", "fp16"):
        for place in (("tensorrt", "cuda"), ("onnxruntime", "cuda"), ("onnxruntime", "cpu")):
            assert (precision, *place, "f32") in names
        assert (precision, "openvino", "cpu", "bf16") in names
    int8 = [cell for cell in cells if cell.precision == "int8"]
    assert len(int8) == 1
    assert int8[0].missing is not None
    assert "no int8 encoder" in int8[0].missing


def test_what_the_user_names_is_the_only_one_of_its_kind(tiny_bundle: Path) -> None:
    engine = EngineOptions("openvino", "cpu", arithmetic="bf16")
    cells = planned([tiny_bundle, tiny_bundle], BenchOptions("fp32", engine))
    assert [cell.engine for cell in cells] == [engine, engine]
    impossible = planned([tiny_bundle], BenchOptions("fp32", EngineOptions("openvino", "cuda")))
    assert [cell.missing for cell in impossible] == ["openvino does not run on cuda"]


def test_what_cannot_run_is_not_measured_but_told(tiny_bundle: Path) -> None:
    asked: list[Request] = []

    def run(request: Request) -> Answer:
        asked.append(request)
        return Answer(reason="it fell over")

    found = sweep([tiny_bundle], SweepOptions(BenchOptions()), run=run)
    assert all(one.reason for one in found.outcomes)
    assert len(asked) < len(found.outcomes)
    assert "it fell over" in sweep_page(found)


def test_the_page_has_chart_figures_and_reasons(record: SweepRecord) -> None:
    page = sweep_page(record)
    for text in ("images/s, batch 4", "no memory for a batch of 4", "no int8 encoder", "48.69"):
        assert text in page
    assert page.index("<svg") < page.index("quoted, not measured here")
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    marks = ElementTree.fromstring(svg).findall(".//path[@transform]")
    assert len(marks) == sum(one.bench is not None for one in record.outcomes) == 2
    # Neither cell beats the other in both, so both are filled.
    assert all("best" in mark.attrib["class"] for mark in marks)


def test_a_sweep_of_nothing_is_a_page_too(record: SweepRecord) -> None:
    empty = record.model_copy(update={"outcomes": ()})
    assert "Nothing could be measured" in sweep_page(empty)


def test_without_accuracy_latency_is_drawn_as_bars(record: SweepRecord) -> None:
    bare = [one.model_copy(update={"accuracy": None}) for one in record.outcomes]
    page = sweep_page(record.model_copy(update={"outcomes": tuple(bare)}))
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    widths = [float(r.attrib["width"]) for r in ElementTree.fromstring(svg).findall(".//rect")]
    assert widths == [pytest.approx(220, abs=1), pytest.approx(440, abs=1)]


POINTS = st.builds(
    Point, st.just("a < b"), st.just("openvino"), st.floats(0.1, 1e4), st.floats(0, 100)
)


@given(st.lists(POINTS, min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points: list[Point]) -> None:
    kept = front(points)
    for point in points:
        beaten = any(
            other.milliseconds <= point.milliseconds
            and (other.percent or 0) >= (point.percent or 0)
            for other in kept
        )
        assert beaten
    times = [point.milliseconds for point in kept]
    shares = [point.percent or 0 for point in kept]
    assert times == sorted(set(times))
    assert shares == sorted(set(shares))


@given(st.lists(POINTS, min_size=1, max_size=12))
def test_marks_stay_within_the_drawing(points: list[Point]) -> None:
    root = ElementTree.fromstring(scatter(points, "image AUROC"))
    for mark in root.findall(".//path[@transform]"):
        x, y = (float(v) for v in mark.attrib["transform"][10:-1].split())
        assert 0 < x < 860
        assert 0 < y < 420
    ElementTree.fromstring(bars(points))


def test_a_child_answers_errors_with_their_line(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise EngineError("no such engine; buy one")

    asked: list[Request] = []

    def run(request: Request) -> Answer:
        asked.append(request)
        return child.answer(request)

    monkeypatch.setattr(child, "measure", fail)
    options = BenchOptions("fp32", EngineOptions("onnxruntime", "cpu"))
    found = sweep([tiny_bundle], SweepOptions(options), run=run)
    assert [one.reason for one in found.outcomes] == ["no such engine; buy one"]
    assert Request.model_validate_json(asked[0].model_dump_json()) == asked[0]


@pytest.mark.slow
def test_a_child_that_dies_is_an_answer(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = SweepOptions(BenchOptions("fp32", EngineOptions("onnxruntime", "cpu"), limits=LIMITS))
    monkeypatch.setattr("sys.executable", "/bin/false")
    found = sweep([tiny_bundle], options, run=run_in_child)
    assert found.outcomes[0].reason == "its process ended with 1"
