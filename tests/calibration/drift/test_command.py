"""`vipx drift` reads a recipe and a file of scores, advises, and leaves both as they were."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from vipx import recipe as recipes
from vipx.calibration.drift.chance import Sizes, score_level
from vipx.calibration.drift.summaries import FeatureSummary, ScoreSummary
from vipx.commands.drift import drift
from vipx.console import VipxGroup

LIMIT = recipes.LimitRecord(
    ng=0.6, review=0.5, rate=0.05, confidence=0.95, kind="order", interval=(0.5, 0.6),
    false_alarms=(0.0, 0.05), images=60,
)  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of a line whose scores are normal around 0.3."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 6)).astype(np.float32)
    content = recipes.RecipeContent(
        product="ring",
        bundle=recipes.BundleRecord(identity="0" * 64, name="ring.vipx"),
        thresholds=recipes.ThresholdsRecord(score=LIMIT, level=None),
        images=recipes.ImageSetRecord(count=60, distinct=60, fingerprint="1" * 64),
        summary=recipes.SummaryRecord(
            scores=ScoreSummary.of(generator.normal(0.3, 0.05, 200)).record(),
            features=FeatureSummary.of(features).record(),
        ),
        engine=recipes.EngineRecord(
            engine="onnxruntime", version="1", device="cpu", precision="fp32", arithmetic="f32"
        ),
        made=recipes.MadeRecord(author="test", created="2026-11-21T00:00:00Z", versions={}),
    )
    path = tmp_path / "ring.recipe"
    recipes.write_recipe(path, recipes.recipe_of(content))
    return path


def scores(folder: Path, mean: float, images: int = 200) -> Path:
    drawn = np.random.default_rng(1).normal(mean, 0.05, images)
    path = folder / "scores.jsonl"
    path.write_text("\n".join(json.dumps({"path": "x.png", "score": float(s)}) for s in drawn))
    return path


def run(*arguments: object) -> Result:
    group = click.Group("vipx", commands={"drift": drift})
    group.__class__ = VipxGroup
    return CliRunner().invoke(group, ["drift", *map(str, arguments)])


def test_a_line_as_it_was_keeps_its_recipe(recipe: Path, tmp_path: Path) -> None:
    before = recipe.read_bytes()
    result = run(recipe, "--scores", scores(tmp_path, 0.3), "--fail-on-drift")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("keep the recipe")
    assert "features were not compared" in result.stdout
    assert recipe.read_bytes() == before


def test_a_shifted_line_is_told_to_recalibrate_and_nothing_is_changed(
    recipe: Path, tmp_path: Path
) -> None:
    before, file = recipe.read_bytes(), scores(tmp_path, 0.35)
    result = run(recipe, "--scores", file)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("recalibrate")
    assert "Kolmogorov-Smirnov" in result.stdout
    assert run(recipe, "--scores", file, "--fail-on-drift").exit_code == 6
    assert recipe.read_bytes() == before


def test_json_is_one_object(recipe: Path, tmp_path: Path) -> None:
    result = run(recipe, "--scores", scores(tmp_path, 0.35), "--json", "--looks", 10)
    record = json.loads(result.stdout)
    assert record["advice"] == "recalibrate"
    assert record["level"] == score_level(Sizes(200, 200, 10), 0.05)
    assert record["feature_level"] is None
    assert record["images"] == {"": 200}


def test_mistakes_have_one_line_and_the_documented_code(recipe: Path, tmp_path: Path) -> None:
    file = scores(tmp_path, 0.3)
    changed = tmp_path / "changed.recipe"
    changed.write_bytes(recipe.read_bytes().replace(b'"ring"', b'"rung"'))
    for arguments, code in (
        ((recipe, "--scores", tmp_path / "none"), 3),
        ((changed, "--scores", file), 4),
        ((recipe, "--scores", file, "--window", 0), 2),
        ((recipe, "--scores", file, "--false-alarms", 1.5), 2),
    ):
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert len([line for line in result.stderr.splitlines() if "error" in line]) == 1
