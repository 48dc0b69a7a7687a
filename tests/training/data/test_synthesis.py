"""Drawn defects: the same bits from the same seed, exact masks, and the part found on a plain ground."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float, UInt8
from numpy import ndarray

from vipx.errors import UsageError
from vipx.training.data import synthesis
from vipx.training.data.procedural import draw_part
from vipx.training.data.synthesis import KINDS, foreground, synthesized
from vipx.training.data.synthesis.kinds import membrane
from vipx.training.data.synthesis.synthesize import VISIBLE

SEEDS = st.integers(0, 2**32 - 1)


SIDES = st.integers(32, 70)
PICTURES = st.sampled_from(["noise", "plain", "black", "white", "grey", "part"])


def picture(kind: str, height: int, width: int, seed: int) -> UInt8[ndarray, "height width 3"]:
    rng = np.random.default_rng(seed)
    if kind == "part":
        return draw_part("gear", seed % 40, height=height, width=width).image
    if kind == "grey":
        return np.repeat(rng.integers(0, 256, (height, width, 1), np.uint8), 3, axis=2)
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    level = {"black": 0, "white": 255, "plain": int(rng.integers(256))}[kind]
    return np.full((height, width, 3), level, np.uint8)


def visible(
    before: UInt8[ndarray, "height width 3"], after: UInt8[ndarray, "height width 3"]
) -> ndarray:
    return np.abs(before.astype(int) - after).max(axis=2) >= VISIBLE


def test_exports_and_kinds_are_sorted() -> None:
    assert synthesis.__all__ == sorted(
        synthesis.__all__, key=lambda name: (not name.isupper(), name)
    )
    assert list(KINDS) == sorted(KINDS)
    assert len(KINDS) >= 5


@settings(max_examples=60, deadline=None)
@given(PICTURES, SIDES, SIDES, SEEDS, st.booleans())
def test_only_the_mask_changes_and_it_is_neither_empty_nor_everything(
    kind: str, height: int, width: int, seed: int, on_object: bool
) -> None:
    image = picture(kind, height, width, seed)
    before = image.copy()
    drawn, mask = synthesized(image, np.random.default_rng(seed), on_object=on_object)
    assert np.array_equal(image, before)
    assert (drawn.shape, drawn.dtype, mask.shape) == (image.shape, image.dtype, image.shape[:2])
    assert np.array_equal(drawn[~mask], image[~mask])
    assert mask.any()
    assert mask.mean() <= 0.25
    assert visible(image, drawn)[mask].mean() >= 0.5
    if on_object:
        assert not (mask & ~foreground(image)).any()
    if (image == image[..., :1]).all():
        assert (drawn == drawn[..., :1]).all()


@settings(max_examples=15, deadline=None)
@given(PICTURES, SIDES, SIDES, SEEDS)
def test_the_same_seed_gives_the_same_bits(kind: str, height: int, width: int, seed: int) -> None:
    image = picture(kind, height, width, seed)
    first, first_mask = synthesized(image, np.random.default_rng(seed))
    again, again_mask = synthesized(image, np.random.default_rng(seed))
    assert np.array_equal(first, again)
    assert np.array_equal(first_mask, again_mask)


def test_another_seed_gives_another_defect() -> None:
    image = draw_part("gear", 3, height=96, width=96).image
    masks = [synthesized(image, np.random.default_rng(seed))[1].tobytes() for seed in range(8)]
    assert len(set(masks)) == 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("category", ["gear", "woven_fabric"])
def test_each_kind_shows_on_a_part_and_most_of_its_mask_changed(
    kind: str, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the plain spot, which would stand in for a kind that never shows.
    monkeypatch.delattr("vipx.training.data.synthesis.synthesize._spotted")
    image = draw_part(category, 1, height=128, width=160).image
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(3):
        drawn, mask = synthesized(image, rng, kinds=[kind])
        shares.append(visible(image, drawn)[mask].mean())
    assert np.mean(shares) >= 0.75


def test_small_pictures_and_unknown_kinds_are_refused() -> None:
    image = np.zeros((16, 15, 3), np.uint8)
    with pytest.raises(UsageError, match="16 x 16 px or more, got 15 x 16 px"):
        synthesized(image, np.random.default_rng(0))
    image = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UsageError, match="unknown kind of defect 'rust'; known are distortion, "):
        synthesized(image, np.random.default_rng(0), kinds=["rust"])
    with pytest.raises(UsageError, match="known are"):
        synthesized(image, np.random.default_rng(0), kinds=[])


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (41, 16)])
def test_the_smallest_and_the_longest_pictures_get_a_defect(size: tuple[int, int]) -> None:
    for kind in ("noise", "plain"):
        image = picture(kind, *size, 3)
        drawn, mask = synthesized(image, np.random.default_rng(1))
        assert 0 < mask.mean() <= 0.25
        assert np.array_equal(drawn[~mask], image[~mask])


@pytest.mark.parametrize(("level", "spot"), [(0, 100), (90, 190), (255, 155)])
def test_a_plain_spot_comes_where_no_kind_shows(level: int, spot: int) -> None:
    image = np.full((40, 60, 3), level, np.uint8)
    drawn, mask = synthesized(image, np.random.default_rng(0), kinds=["distortion", "seamless"])
    assert mask.any()
    assert (drawn[mask] == spot).all()


@pytest.mark.parametrize("ground", [30, 220])
def test_a_part_on_a_plain_ground_is_found(ground: int) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:150, 0:200]
    disc = np.hypot(rows - 70, columns - 90) < 45
    image = np.full((150, 200, 3), ground, np.int16)
    image[disc] = 125
    image += rng.normal(0, 3, image.shape).astype(np.int16)
    found = foreground(np.clip(image, 0, 255).astype(np.uint8))
    assert (found & disc).sum() / (found | disc).sum() >= 0.9


@pytest.mark.parametrize("kind", ["noise", "plain", "gradient"])
def test_without_a_plain_ground_everything_is_the_part(kind: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    if kind == "plain":
        image[:] = 77
    if kind == "gradient":
        image[:] = np.linspace(0, 255, 120).astype(np.uint8)[None, :, None]
    assert foreground(image).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), SEEDS)
def test_the_membrane_keeps_the_rim_and_is_harmonic_within(
    height: int, width: int, seed: int
) -> None:
    values: Float[ndarray, "h w 2"] = np.random.default_rng(seed).uniform(-1, 1, (height, width, 2))
    surface = membrane(values)
    inner = surface[1:-1, 1:-1]
    rim = np.ones((height, width), np.bool_)
    rim[1:-1, 1:-1] = False
    assert np.allclose(surface[rim], values[rim], atol=1e-6)
    if min(height, width) >= 3:
        around = surface[:-2, 1:-1] + surface[2:, 1:-1] + surface[1:-1, :-2] + surface[1:-1, 2:]
        assert np.abs(around / 4 - inner).max() <= 1e-5
