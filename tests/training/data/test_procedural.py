"""What the generator promises: the same bits, exact masks, whole catalogue, clear refusals."""

import numpy as np
import pytest

from vipx.errors import UsageError
from vipx.training.data import procedural
from vipx.training.data.procedural import (
    DEFECTS,
    SEEN,
    UNSEEN,
    defects_of,
    draw_part,
    random_defect,
)

EVERYTHING = [
    (category, defect) for category in (*SEEN, *UNSEEN) for defect in defects_of(category)
]
QUICK = EVERYTHING[::7]  # each category and each defect, not all of their combinations


def test_exports_are_sorted_and_present() -> None:
    assert procedural.__all__ == sorted(
        procedural.__all__, key=lambda name: (not name.isupper(), name)
    )
    assert all(hasattr(procedural, name) for name in procedural.__all__)


def test_catalogue_is_sorted_and_seen_and_unseen_share_nothing() -> None:
    assert not set(SEEN) & set(UNSEEN)
    assert len(SEEN) + len(UNSEEN) >= 24
    assert len(UNSEEN) >= 6
    for names in (SEEN, UNSEEN, DEFECTS):
        assert list(names) == sorted(set(names))
    assert {defect for _, defect in EVERYTHING} == {defect for _, defect in QUICK} == set(DEFECTS)
    assert {category for category, _ in QUICK} == {*SEEN, *UNSEEN}


@pytest.mark.parametrize("category", [*SEEN, *UNSEEN])
def test_same_arguments_give_the_same_bits(category: str) -> None:
    first = draw_part(category, 5, height=96, width=96, defect="random")
    again = draw_part(category, 5, height=96, width=96, defect="random")
    other = draw_part(category, 6, height=96, width=96, defect="random")
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert first.defect == again.defect == random_defect(category, 5)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize(
    ("category", "defect"),
    [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow) for pair in EVERYTHING],
)
def test_a_defect_changes_its_mask_and_nothing_else(category: str, defect: str) -> None:
    good = draw_part(category, 11, height=112, width=112)
    bad = draw_part(category, 11, height=112, width=112, defect=defect)
    changed = (good.image != bad.image).any(axis=2)
    assert not good.mask.any()
    assert bad.mask.mean() >= 0.001
    assert not (changed & ~bad.mask).any()
    # At this size closing the gaps of one pixel takes in some that hardly changed.
    assert (changed & bad.mask).sum() >= 0.7 * bad.mask.sum()
    assert (good.defect, bad.defect) == (None, defect)


@pytest.mark.parametrize(("height", "width"), [(64, 150), (131, 77), (224, 224)])
@pytest.mark.parametrize("category", ["woven_fabric", "gear", "circuit_board", "wood"])
def test_any_size_can_be_drawn(category: str, height: int, width: int) -> None:
    part = draw_part(category, 2, height=height, width=width, defect="random")
    assert part.image.shape == (height, width, 3)
    assert part.mask.shape == (height, width)
    assert part.mask.any()


@pytest.mark.parametrize(
    ("category", "defect", "message"),
    [
        ("teapot", None, "unknown category 'teapot'; known are .*gear"),
        ("gear", "rust", "unknown defect 'rust'; known are .*scratch"),
        ("wood", "chipped_edge", "wood offers no defect 'chipped_edge'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(
    category: str, defect: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        draw_part(category, 0, defect=defect)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match="seed"):
        draw_part("gear", -1)
    with pytest.raises(UsageError, match="size"):
        draw_part("gear", 0, height=8)
