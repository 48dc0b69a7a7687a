"""What `vipx data check` finds, and what it leaves alone."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.pictures import scene
from tests.training.data import trees
from vipx.commands.data import data
from vipx.console import VipxGroup
from vipx.errors import InputError, UsageError
from vipx.training.data.checking.report import Count, DatasetReport, check
from vipx.training.data.checking.sheet import write_sheet
from vipx.training.data.open import open_dataset


def checked(root: Path, name: str = "mvtec") -> DatasetReport:
    return check(open_dataset(name, root))


def run(*arguments: object) -> Result:
    group = VipxGroup(commands={"data": data})
    return CliRunner().invoke(group, ["data", "check", *map(str, arguments)])


def test_a_sound_dataset_has_counts_and_no_findings(tmp_path: Path) -> None:
    report = checked(trees.mvtec(tmp_path))
    assert report.usable
    assert report.findings == ()
    assert report.missing == ()
    assert report.images == 10
    assert report.counts[:3] == (
        Count("bottle", "test", "good", 1, 0),
        Count("bottle", "test", "cut", 2, 2),
        Count("bottle", "train", "good", 2, 0),
    )
    twice = report.duplicates
    assert (twice.leaks, twice.contradictions, twice.repeated, twice.look_alikes) == ((),) * 4


def test_sizes_are_told_with_the_most_frequent(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "good", ["0.png", "1.png"])
    trees.picture(tmp_path / "good/2.png", size=(5, 3))
    trees.picture(tmp_path / "good/3.png", size=(40, 10))
    sizes = checked(tmp_path, "folders").sizes
    assert sizes is not None
    assert (sizes.smallest, sizes.largest) == ((5, 3), (40, 10))
    assert (sizes.most_frequent, sizes.of_most_frequent, sizes.different) == (trees.SIZE, 2, 3)


def test_an_unreadable_image_a_mask_of_another_size_and_a_missing_mask_are_each_named(
    tmp_path: Path,
) -> None:
    root = trees.mvtec(tmp_path)
    broken = root / "bottle/train/good/001.png"
    broken.write_bytes(b"GIF89a")
    other = trees.mask(root / "bottle/ground_truth/cut/001_mask.png", size=(9, 9))
    unreadable = root / "cable/ground_truth/cut/000_mask.png"
    unreadable.write_bytes(unreadable.read_bytes()[:40])
    (root / "cable/ground_truth/cut/001_mask.png").unlink()
    report = checked(root)
    told = {each.path: (each.kind, each.unusable) for each in report.findings}
    assert told == {
        str(broken): ("unreadable", True),
        str(other): ("mask", True),
        str(unreadable): ("mask", True),
        str(root / "cable/test/cut/001.png"): ("layout", False),
    }
    assert not report.usable
    assert report.images == 10


def test_an_empty_mask_and_a_good_image_s_mask_are_warnings(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path)
    empty = trees.mask(root / "bottle/ground_truth/cut/000_mask.png", value=0)
    filled = trees.mask(root / "cable/ground_truth/good/000_mask.png")
    trees.mask(root / "bottle/ground_truth/good/000_mask.png", value=0)
    report = checked(root)
    assert [(each.kind, each.path) for each in report.findings] == [
        ("empty_mask", str(empty)),
        ("good_mask", str(filled)),
    ]
    assert report.usable


@pytest.mark.parametrize("kind", ["good", "cut"])
def test_a_category_without_one_of_the_classes_is_named(kind: str, tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path)
    shutil.rmtree(root / "cable/test" / kind)
    (line,) = checked(root).missing
    assert line.startswith(f"cable: no {'good' if kind == 'good' else 'anomalous'} image")


def test_identical_files_are_leaks_contradictions_or_repetitions(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path)
    leak = root / "bottle/train/good/000.png", root / "bottle/test/good/000.png"
    contradiction = root / "bottle/test/cut/000.png", root / "bottle/test/good/001.png"
    repeated = root / "cable/test/cut/000.png", root / "cable/test/cut/001.png"
    for source, copy in (leak, contradiction, repeated):
        shutil.copy(source, copy)
    twice = checked(root).duplicates
    assert twice.leaks == (tuple(map(str, leak)),)
    assert twice.contradictions == (tuple(map(str, contradiction)),)
    assert twice.repeated == (tuple(map(str, repeated)),)
    assert twice.look_alikes == ()


def test_a_scaled_and_re_encoded_copy_looks_alike_and_another_picture_does_not(
    tmp_path: Path,
) -> None:
    first, other = scene(90, 120), scene(90, 120)[::-1].copy()
    for folder, name, pixels in (("train", "0", first), ("train", "1", other)):
        (tmp_path / "part" / folder / "good").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "part" / folder / f"good/{name}.png")
    (tmp_path / "part/test/good").mkdir(parents=True)
    Image.fromarray(first).resize((80, 60)).save(tmp_path / "part/test/good/7.jpg", quality=70)
    Image.fromarray(first[:, ::-1].copy()).save(tmp_path / "part/test/good/8.png")
    report = checked(tmp_path)
    part = tmp_path / "part"
    assert report.duplicates.look_alikes == (
        (str(part / "test/good/7.jpg"), str(part / "train/good/0.png")),
    )
    assert report.duplicates.leaks == ()


def test_look_alikes_are_found_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipx.training.data.checking.duplicates._BLOCK", 2)
    for number in range(5):
        path = trees.picture(tmp_path / f"part/train/good/{number}.png", size=(64, 64))
        copy = tmp_path / f"part/test/good/{number}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as picture:
            Image.fromarray(np.asarray(picture) // 2 + np.asarray(picture) // 2).save(copy)
    alike = checked(tmp_path).duplicates.look_alikes
    assert [(Path(a).name, Path(b).name) for a, b in alike] == [
        (f"{number}.png", f"{number}.png") for number in range(5)
    ]


def test_the_png_sheet_shows_each_kind_with_its_outlines(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path / "data")
    write_sheet(open_dataset("mvtec", root), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (6 * 144, 6 * (144 + 18))
        pixels = np.asarray(sheet.convert("RGB"))
    outlined = (pixels == (255, 0, 64)).all(axis=2)
    rows = [bool(outlined[top : top + 162].any()) for top in range(0, 6 * 162, 162)]
    assert rows == [False, True, False, False, True, False]


def test_the_html_sheet_holds_everything_it_shows(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path / "<b>&")
    (root / "bottle/test/good/000.png").write_bytes(b"")
    write_sheet(open_dataset("mvtec", root), tmp_path / "sheet.html")
    text = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 10
    for source in sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert max(picture.size) == 140
    assert "<b>&" not in text
    assert "&lt;b&gt;&amp;" in text
    pattern = r'https?://|<script|<link(?! rel="icon" href="data:,")'
    assert not re.search(pattern, text)


def test_a_sheet_of_very_many_kinds_is_cut_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipx.training.data.checking.sheet._ROWS_MOST", 2)
    dataset = open_dataset("mvtec", trees.mvtec(tmp_path / "data"))
    write_sheet(dataset, tmp_path / "sheet.html")
    assert "and 4 more kinds" in (tmp_path / "sheet.html").read_text(encoding="utf-8")


def test_a_sheet_is_refused_by_its_ending_and_its_place(tmp_path: Path) -> None:
    dataset = open_dataset("mvtec", trees.mvtec(tmp_path))
    with pytest.raises(UsageError, match=r"ends in \.png or \.html"):
        write_sheet(dataset, tmp_path / "sheet.pdf")
    with pytest.raises(InputError, match="cannot be written"):
        write_sheet(dataset, tmp_path / "missing/sheet.png")
    assert not (tmp_path / "sheet.pdf").exists()


def test_the_command_ends_with_0_and_prints_one_json_object(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path / "data")
    result = run("mvtec", root, "--json", "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert record["images"] == 10
    assert record["usable"] is True
    assert record["counts"][0] == {
        "category": "bottle",
        "split": "test",
        "kind": "good",
        "images": 1,
        "masks": 0,
    }
    assert (tmp_path / "sheet.png").is_file()


def test_the_command_ends_with_3_and_names_the_file_that_cannot_be_used(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path)
    (root / "bottle/test/good/000.png").write_bytes(b"")
    result = run("mvtec", root)
    assert result.exit_code == 3
    assert "error:" in result.stderr
    assert "bottle/test/good/000.png" in result.stderr
    assert "bottle / test / cut: 2, 2 masks" in result.stdout


def test_the_command_ends_with_0_where_only_a_mask_is_missing(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path)
    (root / "cable/ground_truth/cut/001_mask.png").unlink()
    result = run("mvtec", root)
    assert result.exit_code == 0
    assert f"{root}/cable/test/cut/001.png: no mask" in result.stdout


def test_the_command_shows_a_few_of_many_and_says_how_many(tmp_path: Path) -> None:
    for number in range(9):
        trees.picture(tmp_path / f"part{number}/test/good/0.png")
    result = run("mvtec", tmp_path)
    assert "missing classes: 9" in result.stdout
    assert "... and 4 more" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["mvtek", "."], 2), (["mvtec", "missing"], 3), (["mvtec", ".", "--sheet", "a.pdf"], 2)],
)
def test_the_command_refuses_with_the_documented_code(arguments: list[str], code: int) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_checking_needs_no_torch_and_no_scipy() -> None:
    program = (
        "import sys, vipx.commands.data, vipx.training.data.open, vipx.training.data.checking.sheet,"
        "vipx.training.data.checking.report; sys.exit(bool({'torch', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
