"""`vipx calibrate --ranges`: alone or beside a recipe, and then `vipx export --precision int8 --ranges`."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tests.calibration.ranges.files import turned, without_float32, written
from tests.golden_case import COMMITTED
from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.commands.calibrate import calibrate
from vipx.console import VipxGroup
from vipx.export import ExportOptions, Int8Request, bundle_from_detector
from vipx.ranges import read_ranges
from vipx.recipe import read_recipe
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.goldens import check_goldens

ONE = ("--threads", 1)


def run(*arguments: object) -> Result:
    group = click.Group("vipx", commands={"calibrate": calibrate})
    group.__class__ = VipxGroup
    return CliRunner().invoke(group, ["calibrate", *map(str, arguments)])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("good"), noise_images(24, seed=6))


def test_ranges_alone_are_written_whole(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    result = run(tiny_bundle, good, "--ranges", file, "--range-rule", "mse", "--json", *ONE)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "ranges": str(file), "images": 24, "rule": "mse", "alpha": 0.8, "inputs": 8,
    }  # fmt: skip
    assert read_ranges(file).rule == "mse"
    assert list(tmp_path.iterdir()) == [file]


def test_ranges_and_a_recipe_come_from_one_folder(
    tiny_bundle: Path, good: Path, tmp_path: Path
) -> None:
    file, recipe = tmp_path / "r.json", tmp_path / "p.recipe"
    both = (tiny_bundle, good, "-o", recipe, "--ranges", file, "--rate", 0.2, "--by", "score")
    result = run(*both, *ONE)
    assert result.exit_code == 0, result.output
    assert f"{file}: ranges of 8 inputs from 24 good images, by max" in result.stdout
    assert read_ranges(file).images == read_recipe(recipe).images.count == 24
    lines = run(*both, *ONE, "--json", "--overwrite").stdout.splitlines()
    assert [sorted({"recipe", "ranges"} & json.loads(line).keys()) for line in lines] == [
        ["recipe"],
        ["ranges"],
    ]


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ((), 2, "-o RECIPE or --ranges FILE"),
        (("--range-rule", "max", "-o", "x.recipe"), 2, "--ranges"),
        (("--ranges", "{}", "--stress"), 2, "--stress"),
        (("--ranges", "{}", "--rate", 0.1), 2, "--rate"),
        (("--ranges", "{}", "--precision", "fp16"), 2, "--precision"),
        (("--ranges", "{}", "--engine", "tensorrt"), 2, "--engine tensorrt"),
        (("--ranges", "{}", "--arithmetic", "bf16"), 2, "--arithmetic bf16"),
        (("--ranges", "/nowhere/r.json"), 3, "/nowhere/r.json"),
        (("--ranges", "{}", "--leave-out", "zz.png"), 3, "zz.png"),
        (("--ranges", "{}", "-o", "x.recipe", "--rate", 0.001), 6, "cannot support"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    tiny_bundle: Path,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    code: int,
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    told = [str(option).format(tmp_path / "r.json") for option in options]
    result = run(tiny_bundle, good, *told, *ONE)
    assert result.exit_code == code, result.output
    assert named in result.stderr
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_an_existing_file_is_kept_without_overwrite(
    tiny_bundle: Path, good: Path, tmp_path: Path
) -> None:
    file, recipe = tmp_path / "r.json", tmp_path / "p.recipe"
    file.write_text("old")
    for more in ((), ("-o", recipe)):
        result = run(tiny_bundle, good, "--ranges", file, *more, *ONE)
        assert result.exit_code == 2
        assert "already exists" in result.stderr
        assert file.read_text() == "old"
        assert not recipe.exists()
    assert run(tiny_bundle, good, "--ranges", file, "--overwrite", *ONE).exit_code == 0
    assert read_ranges(file).images == 24


def test_what_cannot_be_watched_has_its_code(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    half = without_float32(tiny_bundle, tmp_path / "half.vipx")
    broken = written(tmp_path, noise_images(9))
    (broken / "04.png").write_bytes(b"text")
    for bundle, folder, code, named in (
        (half, good, 2, "has no fp32 encoder"),
        (tiny_bundle, broken, 3, "04.png"),
        (tiny_bundle, tmp_path / "nothing", 3, "no such folder"),
        (tmp_path / "nothing.vipx", good, 4, "no such bundle"),
    ):
        result = run(bundle, folder, "--ranges", tmp_path / "r.json", *ONE)
        assert result.exit_code == code, result.output
        assert named in result.stderr
        assert not (tmp_path / "r.json").exists()


def test_an_inspection_pc_needs_neither_torch_nor_onnx_nor_scipy(
    tiny_bundle: Path, good: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'open_clip', 'scipy'): sys.modules[name] = None\n"
        "from vipx.cli import main\n"
        "main()\n"
    )
    command = ["calibrate", tiny_bundle, good, "--ranges", tmp_path / "r.json", *ONE]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_ranges(tmp_path / "r.json").images == 24


@pytest.mark.slow
def test_export_takes_ranges_that_an_engine_saw(golden_bundle: Path, tmp_path: Path) -> None:
    goldens = list(COMMITTED.pixels(COMMITTED.image_paths()).numpy())
    good = tmp_path / "good"
    good.mkdir()
    written(good, turned(goldens))
    file, path = tmp_path / "r.json", tmp_path / "int8.vipx"
    result = run(golden_bundle, good, "--ranges", file, *ONE)
    assert result.exit_code == 0, result.output
    options = ExportOptions(("int8",), int8=Int8Request(good, file))
    manifest = bundle_from_detector(COMMITTED.detector(), path, goldens=goldens, options=options)
    assert manifest.drift is not None
    assert manifest.drift.images == len(list(good.iterdir()))
    assert read_bundle(path).manifest.parity[0].precision == "int8"
    assert (path / "ranges.json").read_bytes() == file.read_bytes()
    with Inspector.open(path, options=EngineOptions(threads=1)) as inspector:
        check_goldens(inspector)
        for image, score in zip(goldens, COMMITTED.expected["scores"], strict=True):
            assert abs(inspector.inspect(image).score - score) <= 2e-2
