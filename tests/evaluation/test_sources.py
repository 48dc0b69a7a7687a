"""What is evaluated: listed before anything is read, limited fairly, drawn alike each time."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.fakes import HEIGHT, WIDTH, write_tree
from vipx.errors import InputError, UsageError
from vipx.evaluation.sources import DataChoice, open_source
from vipx.training.data.procedural import UNSEEN


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"), each=6)


def test_cases_of_a_category_stand_together_with_their_truth(root: Path) -> None:
    source = open_source(DataChoice("mvtec", root))
    grouped = source.by_category()
    assert list(grouped) == ["bolt", "nut"]
    assert sum(map(len, grouped.values())) == len(source.cases) == 24
    case = next(case for case in source.cases if case.name == "nut/test/scratch/002.png")
    loaded = case.load(HEIGHT, WIDTH)
    assert (case.defect, case.masked, loaded.label) == ("scratch", True, 1)
    assert loaded.mask is not None
    assert loaded.mask.sum() == 4 * 15


def test_categories_and_split_are_chosen(root: Path) -> None:
    source = open_source(DataChoice("mvtec", root, categories=("nut",), split="train"))
    assert {case.name.rsplit("/", 1)[0] for case in source.cases} == {"nut/train/good"}


@pytest.mark.parametrize("limit", [1, 2, 4, 7, 12, 99])
def test_a_limit_keeps_both_kinds_in_their_shares(root: Path, limit: int) -> None:
    source = open_source(DataChoice("mvtec", root, limit=limit))
    for cases in source.by_category().values():
        assert len(cases) == min(limit, 12)
        good = sum(case.defect is None for case in cases)
        assert abs(good - len(cases) / 2) <= 1
        assert len({case.name for case in cases}) == len(cases)


def test_drawn_parts_are_the_same_each_time_and_of_unseen_kinds() -> None:
    choice = DataChoice("procedural", categories=(UNSEEN[0],), limit=4)
    first, second = open_source(choice), open_source(choice)
    assert [case.name for case in first.cases] == [case.name for case in second.cases]
    assert [case.defect for case in first.cases] == [None, None, "defective", "defective"]
    for one, other in zip(first.cases, second.cases, strict=True):
        a, b = one.load(32, 48), other.load(32, 48)
        np.testing.assert_array_equal(a.image, b.image)
        assert a.image.shape == (32, 48, 3)
        assert a.label == int(one.defect is not None)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (DataChoice("mvtec"), "needs --root"),
        (DataChoice("procedural", Path("somewhere")), "neither --root"),
        (DataChoice("procedural", split="train"), "train split"),
        (DataChoice("mvtec", Path("somewhere"), seed=3), "--seed draws parts"),
        (DataChoice("procedural", categories=("bottle",)), "no category 'bottle'"),
    ],
)
def test_choices_that_contradict_are_usage_errors(choice: DataChoice, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(choice)


def test_an_unknown_dataset_or_category_is_named(root: Path) -> None:
    with pytest.raises(UsageError, match="nonesuch"):
        open_source(DataChoice("nonesuch", root))
    with pytest.raises(UsageError, match="screw"):
        open_source(DataChoice("mvtec", root, categories=("screw",)))


def test_a_split_without_pictures_is_an_error(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ("bolt",), each=1)
    for path in (root / "bolt/train/good").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="train"):
        open_source(DataChoice("mvtec", root, split="train"))


def test_a_seed_draws_other_parts_and_is_recorded() -> None:
    first, other = (
        open_source(DataChoice("procedural", categories=(UNSEEN[0],), limit=2, seed=seed))
        for seed in (None, 3_000_000)
    )
    assert (first.record.seed, other.record.seed) == (None, 3_000_000)
    one, another = first.cases[0].load(64, 64), other.cases[0].load(64, 64)
    assert not np.array_equal(one.image, another.image)
