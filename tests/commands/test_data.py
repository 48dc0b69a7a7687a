"""`vipx data draw` leaves a folder that the rest of vipx reads, the same one each time."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from vipx.cli import main
from vipx.training.data.open import open_dataset
from vipx.training.data.procedural import SEEN, UNSEEN, draw_part
from vipx.training.data.samples import load_sample


def draw(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "draw", *map(str, arguments)])


def test_a_drawn_folder_reads_back_as_it_was_drawn(tmp_path: Path) -> None:
    result = draw(
        tmp_path / "parts", "--categories", "knit, gear", "--each", 4, "--side", 64, "--seed", 7
    )
    assert result.exit_code == 0, result.output
    dataset = open_dataset("mvtec", tmp_path / "parts")
    for category in ("knit", "gear"):
        found = sorted(
            (
                load_sample(one, height=64, width=64)
                for one in dataset.samples
                if one.category == category
            ),
            key=lambda one: one.label,
        )
        assert [one.label for one in found] == [0, 0, 1, 1]
        expected = [draw_part(category, seed, height=64, width=64) for seed in (7, 9)]
        for one, part in zip(found, expected, strict=False):
            np.testing.assert_array_equal(one.image, part.image)
        assert all(one.mask is not None and one.mask.any() == one.label for one in found)


def test_both_sides_of_the_split_have_names(tmp_path: Path) -> None:
    for name, categories in (("seen", SEEN), ("unseen", UNSEEN)):
        out = tmp_path / name
        assert draw(out, "--categories", name, "--each", 2, "--side", 32).exit_code == 0
        assert {folder.name for folder in out.iterdir()} == set(categories)


def test_an_unknown_category_leaves_nothing(tmp_path: Path) -> None:
    result = draw(tmp_path / "parts", "--categories", "teapot")
    assert result.exit_code == 2
    assert "teapot" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_only_if_asked(tmp_path: Path) -> None:
    options = ["--categories", "gear", "--each", 2, "--side", 32]
    (tmp_path / "parts").mkdir()
    assert draw(tmp_path / "parts", *options).exit_code == 2
    assert draw(tmp_path / "parts", *options, "--overwrite").exit_code == 0
