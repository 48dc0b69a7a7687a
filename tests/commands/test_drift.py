"""What `vipx predict --json --features` prints, `vipx drift` compares, camera by camera."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vipx.commands.calibrate import calibrate
from vipx.commands.drift import drift
from vipx.commands.predict import predict
from vipx.console import VipxGroup
from vipx.demo import DEMO_BUNDLE
from vipx.training.data.procedural import draw_part

COMMANDS = {"calibrate": calibrate, "drift": drift, "predict": predict}
ONE = ("--engine", "onnxruntime", "--threads", 1)


def run(command: str, *arguments: object) -> Result:
    group = click.Group("vipx", commands=COMMANDS)
    group.__class__ = VipxGroup
    return CliRunner().invoke(group, [command, *map(str, arguments)])


def draw(folder: Path, seeds: range, *, light: Sequence[float] = (1, 1, 1)) -> Path:
    folder.mkdir()
    for seed in seeds:
        image = draw_part("hex_bolt", seed, height=96, width=96).image
        lit = np.rint(image * light).astype(np.uint8)
        Image.fromarray(lit).save(folder / f"{seed:04}.png")
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A recipe, and today's rows of a camera that is as it was and of one under a yellow lamp."""
    folder = tmp_path_factory.mktemp("line")
    recipe = folder / "bolt.recipe"
    good = draw(folder / "good", range(40))
    made = run("calibrate", DEMO_BUNDLE, good, "-o", recipe, *ONE)
    assert made.exit_code == 0, made.output
    rows = []
    for camera, light in (("left", (1, 1, 1)), ("right", (1, 1, 0.5))):
        today = draw(folder / camera, range(1000, 1025), light=light)
        options = ("--recipe", recipe, "--json", "--features", "--camera", camera)
        seen = run("predict", DEMO_BUNDLE, today, *options, *ONE)
        assert seen.exit_code == 0, seen.output
        rows.append(seen.stdout)
    return recipe, rows[0], rows[1]


def test_rows_hold_what_drift_compares(line: tuple[Path, str, str]) -> None:
    rows = [json.loads(text) for text in line[1].splitlines()]
    assert len(rows) == 25
    assert {row["camera"] for row in rows} == {"left"}
    moments = [datetime.fromisoformat(row["time"].replace("Z", "+00:00")) for row in rows]
    assert moments == sorted(moments)
    for row in rows:
        assert np.linalg.norm(row["features"]) == pytest.approx(1, abs=1e-5)


def test_the_camera_whose_pictures_changed_is_told_to_recalibrate(
    line: tuple[Path, str, str], tmp_path: Path
) -> None:
    recipe, left, right = line
    today = tmp_path / "today.jsonl"
    today.write_text(left + right)
    result = run("drift", recipe, "--scores", today, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["advice"] == "recalibrate"
    assert record["images"] == {"left": 25, "right": 25}
    alarms = {look["camera"]: look["alarm"] for look in record["looks"]}
    assert alarms == {"left": False, "right": True}
    features = {look["camera"]: look["features"]["p_value"] for look in record["looks"]}
    assert features["right"] <= record["level"] < features["left"]
    assert any(
        "camera right" in sentence and "look different" in sentence
        for sentence in record["evidence"]
    )
    assert not any("were not compared" in sentence for sentence in record["evidence"])


def test_a_camera_that_is_as_it_was_keeps_its_recipe(
    line: tuple[Path, str, str], tmp_path: Path
) -> None:
    recipe, left, _ = line
    today = tmp_path / "today.jsonl"
    today.write_text(left)
    result = run("drift", recipe, "--scores", today, "--fail-on-drift")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("keep the recipe")
    assert "camera left: 25 images" in result.stdout


def test_what_only_rows_of_json_hold_is_asked_for_with_them(
    line: tuple[Path, str, str], tmp_path: Path
) -> None:
    for option in (("--features",), ("--camera", "left")):
        result = run("predict", DEMO_BUNDLE, tmp_path, *option, *ONE)
        assert result.exit_code == 2
        assert "add --json" in result.stderr
