from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy import ndarray
from PIL import Image

from tests.pictures import noise
from vipx.errors import InputError
from vipx.runtime.heatmaps import colour_map, overlay, write_npy_atomically, write_png_atomically

# Viénot, Brettel and Mollon (1999): what the cones see, and what two of the three leave of it.
TO_CONES = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
)
EYES = {
    "all": np.eye(3),
    "no red": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
    "no green": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
}


def lightness(rgb: ndarray, cones: ndarray) -> ndarray:
    """CIELAB's L* of sRGB colours, 0 to 100."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = (np.linalg.inv(TO_CONES) @ cones @ TO_CONES @ linear.T).T.clip(0, 1)
    luminance = seen @ [0.2126, 0.7152, 0.0722]
    small = luminance <= 216 / 24389
    return np.where(small, luminance * 24389 / 27, 116 * np.cbrt(luminance) - 16)


@pytest.mark.parametrize("eye", EYES)
def test_colours_grow_lighter_with_every_level_for_every_eye(eye: str) -> None:
    steps = np.diff(lightness(colour_map(), EYES[eye]))
    assert (steps > 0).all()
    assert steps.sum() > 90


def test_colours_cannot_be_changed_by_a_caller() -> None:
    assert colour_map().shape == (256, 3)
    with pytest.raises(ValueError, match="read-only"):
        colour_map()[0] = 0


def test_opacity_0_is_the_picture_and_1_the_map() -> None:
    image = noise(7, 9)
    levels = np.linspace(0, 1, 63, dtype=np.float32).reshape(7, 9)
    assert np.array_equal(overlay(image, levels, opacity=0.0), image)
    expected = colour_map()[np.rint(levels * 255).astype(int)]
    assert np.array_equal(overlay(image, levels, opacity=1.0), expected)


@given(st.floats(0, 1), st.integers(0, 255), st.floats(0, 1, width=32))
@example(1.0, 0, 0.8999999761581421)  # 229.49999 in float64, 229.5 in float32
def test_overlay_is_the_mean_by_opacity(opacity: float, grey: int, value: float) -> None:
    image = np.full((2, 3, 3), grey, np.uint8)
    got = overlay(image, np.full((1, 1), value, np.float32), opacity=opacity)
    # Half-way between two levels either is right.
    levels = {round(value * 255 - 1e-4), round(value * 255 + 1e-4)}
    colours = [colour_map()[level].astype(float) for level in levels]
    apart = [np.abs(got - (grey * (1 - opacity) + one * opacity)).max() for one in colours]
    assert min(apart) <= 1.5


def test_scale_is_fixed_and_values_beyond_it_are_cut() -> None:
    image = np.zeros((1, 4, 3), np.uint8)
    values = np.array([[-1.0, 0.2, 0.6, 9.0]], np.float32)
    got = overlay(image, values, opacity=1.0, low=0.2, high=0.6)
    assert np.array_equal(got[0], colour_map()[[0, 0, 255, 255]])


def test_map_is_scaled_bilinearly_to_a_picture_that_is_not_square() -> None:
    anomaly_map = noise(5, 3)[..., 0].astype(np.float32) / 255
    scaled = Image.fromarray(anomaly_map).resize((30, 20), Image.Resampling.BILINEAR)
    expected = colour_map()[np.rint(np.asarray(scaled) * 255).astype(int)]
    assert np.array_equal(overlay(noise(20, 30), anomaly_map, opacity=1.0), expected)


@pytest.mark.parametrize(
    ("value", "options", "match"),
    [
        (np.nan, {}, "finite"),
        (np.inf, {}, "finite"),
        (0.0, {"opacity": 1.1}, "opacity: expected 0 to 1, got 1.1"),
        (0.0, {"low": 1.0}, "high: expected more than low"),
        (0.0, {"high": np.nan}, "high"),
    ],
)
def test_what_has_no_colour_is_an_error(
    value: float, options: dict[str, float], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        overlay(noise(2, 2), np.full((2, 2), value, np.float32), **options)


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    image, anomaly_map = noise(6, 8), noise(6, 8)[..., 0].astype(np.float32)
    write_png_atomically(tmp_path / "overlay.png", image)
    write_npy_atomically(tmp_path / "map.npy", anomaly_map)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "overlay.png")), image)
    assert np.array_equal(np.load(tmp_path / "map.npy"), anomaly_map)
    assert len(list(tmp_path.iterdir())) == 2


def test_files_that_cannot_be_written_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_png_atomically(tmp_path / "missing" / "overlay.png", noise(2, 2))
    with pytest.raises(InputError, match="cannot be written"):
        write_npy_atomically(tmp_path / "missing" / "map.npy", np.zeros(2))
