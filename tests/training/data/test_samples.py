"""A dataset's choice of samples, and what loading one promises."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.training.data import trees
from vipx.errors import InputError, UsageError
from vipx.images import read_image, resize_image
from vipx.training.data.open import open_dataset
from vipx.training.data.samples import Sample, load_sample


def test_chosen_keeps_the_order_and_takes_all_by_default(tmp_path: Path) -> None:
    dataset = open_dataset("mvtec", trees.mvtec(tmp_path))
    assert dataset.chosen() == dataset.samples
    assert dataset.chosen(categories=[]) == ()
    cable = dataset.chosen(categories=["cable"], split="test")
    assert [(each.category, each.split) for each in cable] == [("cable", "test")] * 3
    train, test = dataset.chosen(split="train"), dataset.chosen(split="test")
    assert set(train) | set(test) == set(dataset.samples)


def test_an_unknown_category_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    dataset = open_dataset("mvtec", trees.mvtec(tmp_path))
    with pytest.raises(UsageError, match="no category 'cables'; there are bottle, cable"):
        dataset.chosen(categories=["bottle", "cables"])


def test_loading_is_the_one_resize_of_vipx(tmp_path: Path) -> None:
    path = trees.picture(tmp_path / "a.png", size=(30, 41))
    loaded = load_sample(Sample(path, "part", "test", None, None), height=17, width=23)
    assert np.array_equal(loaded.image, resize_image(read_image(path), height=17, width=23))
    assert loaded.mask is not None
    assert not loaded.mask.any()


def test_a_mask_of_another_size_is_named_with_its_image(tmp_path: Path) -> None:
    image = trees.picture(tmp_path / "a.png", size=(10, 20))
    mask = trees.mask(tmp_path / "a_mask.png", size=(20, 10))
    with pytest.raises(InputError) as caught:
        load_sample(Sample(image, "part", "test", "dent", mask), height=8, width=8)
    message = str(caught.value)
    assert str(image) in message
    assert str(mask) in message
    assert "10 x 20 px" in message
    assert "20 x 10 px" in message


@pytest.mark.parametrize("broken", ["image", "mask"])
def test_an_unreadable_image_or_mask_is_named(broken: str, tmp_path: Path) -> None:
    image = trees.picture(tmp_path / "image.png")
    mask = trees.mask(tmp_path / "mask.png")
    (tmp_path / f"{broken}.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=rf"{broken}\.png"):
        load_sample(Sample(image, "part", "test", "dent", mask), height=8, width=8)


def test_noise_around_the_black_of_a_jpeg_mask_is_not_anomalous(tmp_path: Path) -> None:
    image = trees.picture(tmp_path / "image.png", size=(64, 64))
    mask = trees.mask(tmp_path / "mask.png", size=(64, 64), value=40)
    exact = Sample(image, "colon", "test", "polyp", mask)
    assert load_sample(exact, height=64, width=64).mask is not None
    loaded = load_sample(Sample(image, "colon", "test", "polyp", mask, 127), height=64, width=64)
    assert loaded.mask is not None
    assert not loaded.mask.any()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_loaded_samples_have_the_size_asked_for(
    tmp_path: Path, height: int, width: int, anomalous: bool
) -> None:
    image = trees.picture(tmp_path / "a.png")
    mask = trees.mask(tmp_path / "a_mask.png")
    sample = Sample(
        image, "part", "test", "dent" if anomalous else None, mask if anomalous else None
    )
    loaded = load_sample(sample, height=height, width=width)
    assert loaded.image.shape == (height, width, 3)
    assert loaded.mask is not None
    assert loaded.mask.shape == (height, width)
    assert loaded.label == anomalous
