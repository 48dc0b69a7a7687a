"""`vipx train` takes a file and options, answers with data on stdout, and says the rest on stderr."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tests.training.loop.small_run import small_record
from vipx.commands.train import SHORTHANDS, train
from vipx.console import VipxGroup
from vipx.training.loop.settings.file import settings_from_record, text_from_settings
from vipx.training.methods.checkpoints import load_method

EVALUATION: dict[str, Any] = {"dataset": "mvtec", "categories": ["ring"]}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's file beside its data."""
    folder = tmp_path_factory.mktemp("small")
    record = small_record(folder)
    record["evaluation"] = EVALUATION | {"root": record["data"]["root"]}
    path = folder / "run.toml"
    path.write_text(text_from_settings(settings_from_record(record)))
    return path


def run(*arguments: object) -> Result:
    group = click.Group("vipx", commands={"train": train})
    group.__class__ = VipxGroup
    return CliRunner().invoke(group, ["train", *map(str, arguments)])


def test_options_are_put_over_the_file(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--epochs", 1, "--seed", 5, "--cache", tmp_path / "c", "--set", "optimiser.batch=6"]
    result = run(file, "-o", out, *options, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["steps"] == 2
    assert "12 images of 3 categories" in result.stderr
    loaded = load_method(Path(record["last"]))
    assert loaded.description is not None
    settings = loaded.description.training["settings"]
    assert isinstance(settings, dict)
    assert settings["optimiser"]["seed"] == 5  # type: ignore[call-overload,index]
    again = run(file, "-o", out, *options, "--resume")
    assert again.exit_code == 0, again.output
    assert "steps: 2" in again.stdout


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (["--set", "optimiser.epoch=3"], 2, "optimiser.epoch"),
        (["--device", "cuda:77"], 5, "cuda:77"),
        (["--root", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["--backbone-weights", "/nowhere/clip.pt"], 4, "/nowhere/clip.pt"),
        (["--ablation", "table9"], 2, "table9"),
    ],
)
def test_mistakes_have_one_line_and_the_documented_code(
    file: Path, tmp_path: Path, options: list[str], code: int, named: str
) -> None:
    result = run(file, "-o", tmp_path / "out", *options)
    assert result.exit_code == code, result.output
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert named in errors[0]


def test_every_shorthand_is_a_setting_of_the_file(file: Path) -> None:
    record = small_record(file.parent)
    for setting in SHORTHANDS.values():
        section, name = setting.split(".")
        settings = settings_from_record(record)
        assert name in type(getattr(settings, section)).__dataclass_fields__


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows"), [("table4", 8), ("table5", 2), ("table6", 4),
                                            ("figure5", 3), ("figure6", 6)])  # fmt: skip
def test_an_ablation_is_one_command(file: Path, tmp_path: Path, name: str, rows: int) -> None:
    out = tmp_path / "out"
    options = ["--epochs", 1, "--ablation", name, "--json"]
    result = run(file, "-o", out, *options)
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    assert len(table["rows"]) == rows
    assert table == json.loads((out / f"{name}.json").read_text())
    assert len((out / f"{name}.csv").read_text().splitlines()) == rows + 1
    for row in table["rows"]:
        if row["reason"]:
            assert "top-k" in row["reason"]  # more than the image has patches
            assert row["percent"] == {}
        else:
            assert 0 <= row["percent"]["image_auroc"] <= 100
            assert (out / row["name"] / "last.ckpt").is_dir()
    assert len({json.dumps(row["percent"]) for row in table["rows"]}) > 1
    again = run(file, "-o", out, *options, "--resume")
    assert json.loads(again.stdout) == table
