"""A region is read from polygons or a mask; whatever else is in the file is refused with the remedy."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vipx.bundle import read_bundle
from vipx.calibration.region import read_region
from vipx.demo import DEMO_BUNDLE
from vipx.errors import InputError
from vipx.runtime.region import region_of

MANIFEST = read_bundle(DEMO_BUNDLE).manifest


def test_pixels_and_shares_mean_the_same(tmp_path: Path) -> None:
    shares = {"polygons": [[[0.25, 0], [0.75, 0], [0.75, 0.5], [0.25, 0.5]]]}
    pixels = {"size": [800, 400], "polygons": [[[200, 0], [600, 0], [600, 200], [200, 200]]]}
    for name, record in (("a.json", shares), ("b.json", pixels)):
        (tmp_path / name).write_text(json.dumps(record))
    first, second = (read_region(tmp_path / name) for name in ("a.json", "b.json"))
    assert first == second
    region = region_of(first, MANIFEST)
    assert region is not None
    expected = np.zeros((160, 160), bool)
    expected[:80, 40:120] = True
    np.testing.assert_array_equal(region.pixels, expected)
    assert region.patches.sum() == 100


def test_a_mask_is_a_region_where_it_is_white(tmp_path: Path) -> None:
    mask = np.zeros((320, 320), np.uint8)
    mask[:, 160:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    region = region_of(read_region(tmp_path / "m.png"), MANIFEST)
    assert region is not None
    assert region.pixels[:, 80:].all()
    assert not region.pixels[:, :80].any()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"polygons": []}', '{"polygons": [[[0, 0], [1, 1]]]}',
     '{"polygons": [[[0, 0], [2, 0], [0, 1]]]}', '{"polygons": [[[0, 0, 0]]]}',
     '{"size": [0, 4], "polygons": [[[0, 0], [1, 0], [0, 1]]]}', '{"polygons": 3}'],
)  # fmt: skip
def test_what_is_no_region_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"expected .*polygons"):
        read_region(path)


def test_a_black_mask_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="no pixel is white"):
        read_region(tmp_path / "m.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_region(tmp_path / "none.json")
