"""Perturbations change a picture by the stated amount, the same way each time, and never its size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_recipe import limit, recipe
from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.calibration.stress.perturbations import (
    PERTURBATIONS,
    Perturbation,
    brighter,
    noisy,
    rotated,
    shifted,
)
from vipx.calibration.stress.rows import stressed
from vipx.images import list_images
from vipx.recipe import BundleRecord, ThresholdsRecord
from vipx.runtime import Inspector


def seeded() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("each", PERTURBATIONS, ids=lambda each: f"{each.name} {each.amount}")
def test_every_change_is_repeatable_and_keeps_the_size(each: Perturbation) -> None:
    pixels = noise_images(1, 64, 90)[0]
    first, second = (each.change(pixels, seeded()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == pixels.shape
    assert first.dtype == np.uint8
    assert (first != pixels).any()


def test_amounts_are_what_they_say() -> None:
    grey = np.full((80, 120, 3), 100, np.uint8)
    assert (brighter(grey, seeded(), factor=1.2) == 120).all()
    assert noisy(grey, seeded(), deviation=5.0).std() == pytest.approx(5, abs=0.2)
    for still in (shifted(grey, seeded(), share=0.03), rotated(grey, seeded(), degrees=3.0)):
        np.testing.assert_array_equal(still, grey)
    ramp = np.tile(np.arange(120, dtype=np.uint8)[None, :, None], (80, 1, 3))
    moved = shifted(ramp, seeded(), share=0.05)
    assert abs(int(moved[40, 60, 0]) - 60) == 6


def test_rows_count_verdicts_and_start_with_the_unperturbed(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    for number, pixels in enumerate(noise_images(3)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    images = list_images([tmp_path]).images
    with Inspector.open(tiny_bundle) as inspector:
        scores = sorted(inspector.inspect(image.path).score for image in images)
        identity = BundleRecord(identity=inspector.bundle.identity, name="x")
    thresholds = ThresholdsRecord(score=limit(scores[2], scores[1]), level=None)
    judged = recipe(thresholds=thresholds, bundle=identity)
    with Inspector.open(tiny_bundle, recipe=judged) as inspector:
        rows = stressed(inspector, images, lambda _: None, PERTURBATIONS[:1])
        again = stressed(inspector, images, lambda _: None, PERTURBATIONS[:1])
    assert rows == again
    assert [row.name for row in rows] == ["none", "brightness"]
    assert (rows[0].ng.count, rows[0].review, rows[0].score_shift) == (1, 1, 0.0)
    assert rows[1].ng.images == 3
    assert read_bundle(tiny_bundle).identity == identity.identity
