"""Regions are the connected parts of a map, as another library finds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from vipx.runtime.server.work.child.regions import MOST, regions_of

MAPS = arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.sampled_from([np.float32(0), np.float32(0.25), np.float32(0.5), np.float32(1)]),
)


@given(heat=MAPS)
def test_areas_boxes_and_peaks_are_those_of_scipys_labels(heat: np.ndarray) -> None:
    labels, count = ndimage.label(heat >= 0.5, structure=np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    expected = sorted(
        (x.start, y.start, x.stop - x.start, y.stop - y.start, int((labels == n).sum()))
        for n, (y, x) in enumerate(boxes, start=1)
    )
    found = regions_of(heat, 0.5, heat.shape)
    assert len(found) == min(count, MOST)
    actual = sorted((r.x, r.y, r.width, r.height, r.area) for r in found)
    assert actual == expected if count <= MOST else set(actual) <= set(expected)
    peaks = [r.peak for r in found]
    assert peaks == sorted(peaks, reverse=True)
    assert not peaks or peaks[0] == heat.max()


@pytest.mark.parametrize("level", [0.9, 0.01])
def test_a_spiral_is_one_part(level: float) -> None:
    heat = np.zeros((9, 9), np.float32)
    heat[0, :] = heat[:, 8] = heat[8, :] = heat[2:, 0] = heat[2, :7] = heat[2:7, 6] = 1
    assert len(regions_of(heat, level, (9, 9))) == 1


def test_boxes_cover_their_pixels_in_an_image_of_another_size() -> None:
    heat = np.zeros((10, 20), np.float32)
    heat[2:4, 5:9] = 0.7
    (region,) = regions_of(heat, 0.5, (33, 47))
    assert (region.x, region.y) == (5 * 47 // 20, 2 * 33 // 10)
    assert region.x + region.width >= 9 * 47 / 20
    assert region.y + region.height >= 4 * 33 / 10
    assert region.area == round(8 * 33 * 47 / 200)


def test_a_map_below_the_level_has_no_part() -> None:
    assert regions_of(np.zeros((4, 4), np.float32), 0.1, (4, 4)) == ()
