"""Images are measured once each, in order and in little memory, and what is odd about them is said by name."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import noise_images
from vipx.calibration.collection.collect import Collector, Reading, good_images
from vipx.calibration.collection.goodset import examined
from vipx.calibration.collection.ledger import Ledger
from vipx.calibration.collection.measurement import Measurement
from vipx.errors import ImageError, InputError
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import EngineOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good").mkdir()
    for number, pixels in enumerate(noise_images(5, 30, 50)):
        Image.fromarray(pixels).save(tmp_path / "good" / f"{number}.png")
    return tmp_path / "good"


def silent(step: str) -> None:
    pass


def measured(score: float, number: int, **changes: object) -> Measurement:
    feature = np.random.default_rng(number).normal(size=8).astype(np.float32)
    feature = np.float32(1) * (feature / 10 + np.eye(8, dtype=np.float32)[0])
    one = Measurement(
        name=f"{number}.png",
        sha256=f"{number:064d}",
        size=(30, 50),
        grey=False,
        score=score,
        level=score,
        curve=(score,),
        prompts_ms=0.0,
        feature=feature / np.linalg.norm(feature),
        patch_map=np.zeros((2, 2), np.float32),
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def forty() -> list[Measurement]:
    scores = np.random.default_rng(1).uniform(0.2, 0.3, 40)
    return [measured(float(score), number) for number, score in enumerate(scores)]


def test_measurements_are_the_inspectors_own_numbers(tiny_bundle: Path, folder: Path) -> None:
    with Inspector.open(tiny_bundle) as inspector:
        found = Collector.of(inspector, Reading()).collect(good_images(folder), silent)
        for one in found:
            expected = inspector.inspect(folder / one.name)
            assert one.score == expected.score
            assert one.level == one.curve[0] == float(expected.anomaly_map.max())
            np.testing.assert_array_equal(one.patch_map, expected.patch_map)
            assert np.linalg.norm(one.feature) == pytest.approx(1, abs=1e-5)
            assert one.size == (30, 50)
    assert [one.name for one in found] == [f"{number}.png" for number in range(5)]


def test_a_measurement_survives_its_line_of_json(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "x")
    ledger.put("key", measured(0.1, 3))
    ledger.path.write_bytes(ledger.path.read_bytes() + b'{"key": "key", "measu')
    read = Ledger.beside(tmp_path / "x")
    read = Ledger(ledger.path)
    for line in ledger.path.read_bytes().splitlines():
        read._take(line)
    again = read.get("key", measured(0.1, 3).sha256, "3.png")
    assert again is not None
    assert again.record() == measured(0.1, 3).record()
    assert read.get("other key", again.sha256, "3.png") is None


class StoppedError(Exception):
    pass


def test_what_was_measured_before_an_interruption_is_not_measured_again(
    tiny_bundle: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, images = tmp_path / "a.recipe", good_images(folder)

    def stop(step: str) -> None:
        if step.startswith("4 of"):
            raise StoppedError

    runs = 0
    with Inspector.open(tiny_bundle) as inspector:
        whole = Collector.of(inspector, Reading()).collect(images, silent)
        with pytest.raises(StoppedError):
            Collector.of(inspector, Reading(), Ledger.beside(recipe)).collect(images, stop)
        run = inspector.run

        def counted(*arguments: object) -> object:
            nonlocal runs
            runs += 1
            return run(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(inspector, "run", counted)
        ledger = Ledger.beside(recipe)
        resumed = Collector.of(inspector, Reading(), ledger).collect(images, silent)
        assert runs == 2
        # Another minimal area is another measurement.
        Collector.of(inspector, Reading(area=2), ledger).collect(images, silent)
        assert runs == 7
    assert [replace(one, prompts_ms=0.0).record() for one in resumed] == [
        replace(one, prompts_ms=0.0).record() for one in whole
    ]
    ledger.remove()
    assert [path for path in tmp_path.iterdir() if path != folder] == []


def test_an_unreadable_file_is_named(tiny_bundle: Path, folder: Path) -> None:
    (folder / "3.png").write_bytes(b"renamed text")
    with Inspector.open(tiny_bundle) as inspector, pytest.raises(ImageError, match=r"3\.png"):
        Collector.of(inspector, Reading()).collect(good_images(folder), silent)


def test_images_are_left_out_by_name_and_only_if_they_are_there(folder: Path) -> None:
    names = [image.relative.name for image in good_images(folder, ["1.png", "4.png"])]
    assert names == ["0.png", "2.png", "3.png"]
    with pytest.raises(InputError, match=r"9\.png is not in it"):
        good_images(folder, ["9.png"])
    with pytest.raises(InputError, match="every picture"):
        good_images(folder, [f"{number}.png" for number in range(5)])
    with pytest.raises(InputError, match="no such folder"):
        good_images(folder / "none")


def test_identical_images_are_refused() -> None:
    same = [measured(0.2, 1, name=f"{number}.png") for number in range(6)]
    with pytest.raises(InputError, match="all 6 good images are the same picture"):
        examined(same)


def test_plain_good_images_leave_nothing_to_say() -> None:
    found = examined(forty())
    assert found.warnings == ()
    assert found.groups.effective == 40


def test_an_outlier_among_the_good_is_pointed_out_by_name() -> None:
    found = examined([*forty(), measured(0.97, 77)])
    assert found.outliers == ("77.png",)
    assert "77.png stands apart" in found.warnings[-1]


def test_repeated_images_count_once() -> None:
    good = forty()
    found = examined([*good, replace(good[4], name="copy.png")])
    assert found.groups.effective == 40
    assert "4.png = copy.png" in found.warnings[0]


def test_mixed_sizes_and_a_grey_image_among_colour_ones_are_named() -> None:
    good = [replace(one, grey=True) if number == 5 else one for number, one in enumerate(forty())]
    good[7] = replace(good[7], size=(60, 50))
    found = examined(good)
    assert "39 have 50x30 px, and not 7.png (50x60)" in found.warnings[0]
    assert found.warnings[1] == "1 of 40 good images are grey among colour images: 5.png"


def resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_a_thousand_images_stream_in_little_memory(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number, pixels in enumerate(noise_images(1000, 240, 400)):
        Image.fromarray(pixels).save(folder / f"{number:04}.png", compress_level=0)
    marks: list[float] = []

    def mark(step: str) -> None:
        if step.startswith(("100 of", "1000 of")):
            marks.append(resident_mebibytes())

    options = EngineOptions(engine="onnxruntime", threads=1)
    with Inspector.open(tiny_bundle, options=options) as inspector:
        collector = Collector.of(inspector, Reading(), Ledger.beside(tmp_path / "a.recipe"))
        assert len(collector.collect(good_images(folder), mark)) == 1000
    print(f"memory grew by {marks[1] - marks[0]:.1f} MiB over 900 images")
    assert marks[1] - marks[0] < 50
