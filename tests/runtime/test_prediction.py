"""Many images: one row each, in order, whatever happens to one of them."""

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import noise_images
from vipx.errors import InputError
from vipx.images import list_images, read_image
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import Output
from vipx.runtime.prediction import MapWriter, Wanted, inspect_images

WANTED: tuple[Output, ...] = ("global_feature",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, pixels in enumerate(noise_images(3, 30, 50)):
        path = tmp_path / "parts" / ("a" if number < 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "parts"


def test_a_broken_image_does_not_stop_the_others(tiny_bundle: Path, folder: Path) -> None:
    (folder / "a/1.png").write_bytes(b"renamed text")
    with Inspector.open(tiny_bundle) as inspector:
        rows = list(inspect_images(inspector, list_images([folder])))
    assert [Path(row.path).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert [row.verdict for row in rows] == ["REVIEW", "ERROR", "REVIEW"]
    assert rows[1].score is None
    assert rows[1].failure == "input"
    assert "1.png" in rows[1].reason


def test_maps_lie_where_their_images_lay(tiny_bundle: Path, folder: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    with Inspector.open(tiny_bundle) as inspector:
        rows = list(
            inspect_images(inspector, list_images([folder]), Wanted(MapWriter(maps, "both")))
        )
        expected = inspector.inspect(folder / "a/0.png").anomaly_map
    assert rows[0].map == str(maps / "a/0.png.npy")
    assert rows[0].overlay == str(maps / "a/0.png.png")
    written = np.load(maps / "a/0.png.npy")
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, expected)
    with Image.open(maps / "a/0.png.png") as overlay:
        assert overlay.size == (50, 30), "the overlay has the image's own size"
    assert sum(p.is_file() for p in maps.rglob("*")) == 6


def test_images_of_one_name_do_not_overwrite_each_other(
    tiny_bundle: Path, folder: Path, tmp_path: Path
) -> None:
    same = tmp_path / "other" / "0.png"
    same.parent.mkdir()
    Image.fromarray(noise_images(1, seed=9)[0]).save(same)
    listing = list_images([folder / "a/0.png", same, same])
    with Inspector.open(tiny_bundle) as inspector:
        rows = list(inspect_images(inspector, listing, Wanted(MapWriter(tmp_path / "m", "npy"))))
    assert len({row.map for row in rows}) == 3
    for row in rows:
        assert row.map is not None
        assert np.load(row.map).shape == (24, 40)


def test_a_folder_that_cannot_hold_maps_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="heat maps"):
        MapWriter(tmp_path / "file" / "maps", "npy")


def test_rows_tell_camera_and_time_and_on_request_the_feature(
    tiny_bundle: Path, folder: Path
) -> None:
    (folder / "a/1.png").write_bytes(b"renamed text")
    before = datetime.now(timezone.utc)
    with Inspector.open(tiny_bundle) as inspector:
        rows = list(inspect_images(inspector, list_images([folder]), Wanted(None, "left", True)))
        plain = list(inspect_images(inspector, list_images([folder])))
        pixels = read_image(folder / "a/0.png")
        expected = inspector.run(pixels, WANTED).arrays["global_feature"][0]
    times = [datetime.fromisoformat(row.time.replace("Z", "+00:00")) for row in rows]
    assert before <= times[0] <= times[1] <= times[2] <= datetime.now(timezone.utc)
    assert [row.camera for row in rows] == ["left"] * 3
    assert rows[0].features is not None
    np.testing.assert_array_equal(np.array(rows[0].features, np.float32), expected)
    assert np.linalg.norm(rows[0].features) == pytest.approx(1, abs=1e-5)
    assert rows[1].features is None
    assert [row.features for row in plain] == [None] * 3
    assert [row.camera for row in plain] == [None] * 3
    assert [row.score for row in plain] == [row.score for row in rows]
