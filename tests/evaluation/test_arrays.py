"""`vipx metrics`: any tool's arrays are measured, and every wrong one is told in one line."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vipx.commands.metrics import metrics
from vipx.console import VipxGroup

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics_a"
KEYS = ["image_auroc", "image_ap", "image_f1", "pixel_auroc", "pixel_f1", "aupro"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(VipxGroup(commands=[metrics]), ["metrics", *map(str, arguments)])


def good_arrays() -> dict[str, Any]:
    generator = np.random.default_rng(3)
    masks = np.zeros((4, 6, 7), np.uint8)
    masks[2:, 1:3, 2:5] = 255
    return {
        "labels": np.array([0, 0, 1, 1]),
        "scores": generator.random(4),
        "masks": masks,
        "maps": generator.random(masks.shape, dtype=np.float32),
    }


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "results.npz", **arrays)
    return folder / "results.npz"


@pytest.mark.parametrize("mode", ["official", "exact"])
def test_the_published_numbers_come_out(mode: str) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())
    result = run(GOLDEN / "maps.npz", "--aupro", mode, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert list(record) == KEYS
    for key in KEYS[:5]:
        assert record[key] == pytest.approx(expected[key.replace("_", "-")], abs=1e-6), key
    bound = 1e-6 if mode == "official" else 0.03
    assert record["aupro"] == pytest.approx(expected["pixel-aupro"], abs=bound)


def test_one_class_is_null_and_undefined_and_no_error(tmp_path: Path) -> None:
    arrays = good_arrays() | {"labels": np.zeros(4, np.bool_)}
    path = saved(tmp_path, **arrays)
    record = json.loads(run(path, "--json").stdout)
    assert record["image_auroc"] is record["image_ap"] is record["image_f1"] is None
    assert 0 <= record["pixel_auroc"] <= 1
    assert "image_auroc: undefined" in run(path).stdout


@pytest.mark.parametrize("left_out", [("labels", "scores"), ("masks", "maps")])
def test_either_pair_may_be_missing(tmp_path: Path, left_out: tuple[str, str]) -> None:
    arrays = {name: value for name, value in good_arrays().items() if name not in left_out}
    record = json.loads(run(saved(tmp_path, **arrays), "--json").stdout)
    undefined = [name for name in KEYS if record[name] is None]
    assert undefined == (KEYS[:3] if "labels" in left_out else KEYS[3:])


def with_nan(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    values.flat[0] = np.nan
    return values


GOOD = good_arrays()
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing known": ({name: None for name in GOOD} | {"other": np.ones(3)}, "expected the arrays"),
    "no scores": ({"scores": None}, "no scores"),
    "no masks": ({"masks": None}, "no masks"),
    "shapes": ({"scores": np.ones(3)}, "[4] and [3]"),
    "map size": ({"maps": np.ones((4, 7, 6))}, "[4, 6, 7] and [4, 7, 6]"),
    "axes": (
        {"masks": GOOD["masks"][:, None], "maps": GOOD["maps"][:, None]},
        "[n, height, width]",
    ),
    "counts": ({"labels": np.array([0, 1]), "scores": np.ones(2)}, "2 images and masks of 4"),
    "nan score": ({"scores": with_nan(GOOD["scores"])}, "scores holds NaN"),
    "nan map": ({"maps": with_nan(GOOD["maps"])}, "maps holds NaN"),
    "infinite": ({"scores": np.array([0, 1, np.inf, 0])}, "scores holds NaN or infinite"),
    "nan label": ({"labels": with_nan(GOOD["labels"])}, "labels holds NaN"),
    "minus one": ({"labels": np.array([1, 1, -1, -1])}, "below 0"),
    "objects": ({"scores": np.array([None, 1, 2, 3])}, "scores cannot be read"),
    "text": ({"labels": np.array(["a", "b", "c", "d"])}, "labels has the type <U1"),
    "complex": ({"scores": np.ones(4, np.complex64)}, "complex64"),
    "empty": ({"labels": np.ones(0), "scores": np.ones(0), "masks": None, "maps": None}, "empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_told_in_one_line(tmp_path: Path, case: str) -> None:
    changes, message = WRONG[case]
    arrays = {k: v for k, v in (GOOD | changes).items() if v is not None}
    result = run(saved(tmp_path, **arrays), "--json")
    assert result.exit_code == 3, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_what_is_no_npz_is_told_in_one_line(tmp_path: Path) -> None:
    whole = saved(tmp_path, **GOOD).read_bytes()
    files = {
        "text.npz": b"labels, scores",
        "empty.npz": b"",
        "cut.npz": whole[: len(whole) // 2],
        "flipped.npz": whole[:500] + bytes(64) + whole[564:],
        "pickle.npz": pickle.dumps({"labels": [1]}),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "single.npy", np.ones(3))
    for name in (*files, "single.npy", "missing.npz", "."):
        result = run(tmp_path / name)
        assert result.exit_code == 3, (name, result.output, result.exception)
        assert result.stderr.count("\n") == 1
