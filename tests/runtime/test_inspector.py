"""The inspector gives the bundle's numbers from any kind of input, and verdicts by the rule."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import noise_images
from vipx.errors import EngineError, GateError, ImageError, UsageError
from vipx.manifest import Precision
from vipx.runtime import Inspector, check_goldens
from vipx.runtime.engines.engine import ANSWER, EngineOptions, EngineRun, Output, StageTimes
from vipx.runtime.engines.onnxruntime import OnnxRuntimeEngine
from vipx.verdict import Verdict


@pytest.fixture(scope="module")
def inspector(tiny_bundle: Path) -> Inspector:
    return Inspector.open(tiny_bundle)


def test_file_and_pixels_give_the_same_numbers(inspector: Inspector, tmp_path: Path) -> None:
    pixels = noise_images(1, 70, 90)[0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    from_file, from_pixels = inspector.inspect(tmp_path / "a.png"), inspector.inspect(pixels)
    assert from_file.score == from_pixels.score
    np.testing.assert_array_equal(from_file.anomaly_map, from_pixels.anomaly_map)


def test_the_same_image_gives_the_same_bits_again(inspector: Inspector) -> None:
    pixels = noise_images(1)[0]
    first, second = inspector.inspect(pixels), inspector.inspect(pixels)
    assert first.score == second.score
    np.testing.assert_array_equal(first.anomaly_map, second.anomaly_map)


def test_many_images_give_what_each_gives_alone(inspector: Inspector, tmp_path: Path) -> None:
    pictures: list[Path | np.ndarray] = [*noise_images(2, 70, 90), *noise_images(1)]
    Image.fromarray(noise_images(1, 33, 44, seed=9)[0]).save(tmp_path / "a.png")
    pictures.append(tmp_path / "a.png")
    together = inspector.inspect_many(pictures)
    for picture, found in zip(pictures, together, strict=True):
        alone = inspector.inspect(picture)
        assert found.score == pytest.approx(alone.score, abs=1e-5)
        assert np.abs(found.anomaly_map - alone.anomaly_map).max() <= 1e-4
        assert found.verdict is alone.verdict
    assert {found.timings.stages for found in together} == {together[0].timings.stages}
    assert inspector.inspect_many([]) == ()


def test_the_times_of_a_batch_are_shared_evenly() -> None:
    times = StageTimes(1.0, 2.0, 3.0, 4.0, 5.0)
    assert times.divided(1) == times
    assert 4 * times.divided(4).total == times.total == 15.0


def test_one_unreadable_image_among_many_stops_all(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        inspector.inspect_many([noise_images(1)[0], tmp_path / "a.png"])


def test_scores_and_maps_lie_in_the_unit_interval(inspector: Inspector) -> None:
    for pixels in noise_images(4, seed=3):
        result = inspector.inspect(pixels)
        assert 0 <= result.score <= 1
        assert result.anomaly_map.dtype == np.float32
        assert 0 <= result.anomaly_map.min() <= result.anomaly_map.max() <= 1


def test_without_a_threshold_the_verdict_is_review_and_says_why(inspector: Inspector) -> None:
    result = inspector.inspect(noise_images(1)[0])
    assert result.verdict is Verdict.REVIEW
    assert result.threshold is None
    assert "no threshold" in result.reason


def test_a_threshold_separates_ok_from_ng(tiny_bundle: Path, inspector: Inspector) -> None:
    image = noise_images(1)[0]
    score = inspector.inspect(image).score
    with Inspector.open(tiny_bundle, threshold=score) as strict:
        assert strict.inspect(image).verdict is Verdict.NG
    with Inspector.open(tiny_bundle, threshold=float(np.nextafter(score, 2))) as lenient:
        assert lenient.inspect(image).verdict is Verdict.OK


def test_timings_add_up(inspector: Inspector) -> None:
    record = inspector.inspect(noise_images(1)[0]).timings.record()
    total = record.pop("total")
    assert total == pytest.approx(sum(record.values()), abs=0.01)
    assert record["encoder"] > 0


def test_the_first_precision_is_the_default_and_others_are_chosen(tiny_bundle: Path) -> None:
    image = noise_images(1)[0]
    scores: dict[Precision | None, float] = {}
    precisions: tuple[Precision | None, ...] = (None, "fp32", "fp16")
    for precision in precisions:
        with Inspector.open(tiny_bundle, precision=precision) as opened:
            scores[precision] = opened.inspect(image).score
    assert scores[None] == scores["fp32"]
    assert scores["fp16"] == pytest.approx(scores["fp32"], abs=5e-3)


def test_a_precision_that_is_not_there_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(UsageError, match="int8"):
        Inspector.open(tiny_bundle, precision="int8")


def test_a_device_that_is_not_there_is_an_error_and_not_the_cpu(tiny_bundle: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has the provider")
    with pytest.raises(EngineError, match="CUDAExecutionProvider"):
        Inspector.open(tiny_bundle, options=EngineOptions(device="cuda", engine="onnxruntime"))


def test_an_image_that_cannot_be_read_is_an_image_error(
    inspector: Inspector, tmp_path: Path
) -> None:
    with pytest.raises(ImageError):
        inspector.inspect(tmp_path / "none.png")


def test_goldens_hold_on_this_machine(tiny_bundle: Path) -> None:
    with Inspector.open(tiny_bundle) as opened:
        differences = check_goldens(opened)
    assert {(d.output, d.statistic) for d in differences} == {
        ("score", "max"),
        ("anomaly_map", "max"),
    }
    assert all(d.measured <= d.bound for d in differences)


class Spoiled(OnnxRuntimeEngine):
    """An engine that gets scores wrong."""

    wrong = 0.2

    def run(self, images: np.ndarray, wanted: Collection[Output] = ANSWER) -> EngineRun:
        right = super().run(images, wanted)
        score = np.full_like(right.arrays["score"], self.wrong)
        return EngineRun({**right.arrays, "score": score}, right.times)


def test_an_engine_that_gives_other_numbers_fails_the_goldens(tiny_bundle: Path) -> None:
    with (
        Inspector.open(tiny_bundle, open_engine=Spoiled) as opened,
        pytest.raises(GateError, match="do not use"),
    ):
        check_goldens(opened)


def test_an_engine_that_gives_nan_never_leads_to_ok(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spoiled, "wrong", np.nan)
    with Inspector.open(tiny_bundle, open_engine=Spoiled, threshold=0.5) as opened:
        assert opened.inspect(noise_images(1)[0]).verdict is Verdict.ERROR
