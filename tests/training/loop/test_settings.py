"""One file holds every choice of a run; what it leaves out is the method's published choice."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from vipx.errors import UsageError
from vipx.training.loop.ablations.tables import ABLATIONS, ablation_rows
from vipx.training.loop.settings.file import (
    record_from_settings,
    settings_from_file,
    settings_from_record,
    text_from_settings,
)
from vipx.training.model.vision import VisionOptions

ROOT = Path(__file__).parents[3]
LEAST: dict[str, Any] = {"data": {"dataset": "mvtec", "root": "/data"}}


def test_what_is_left_out_is_the_published_training() -> None:
    settings = settings_from_record(LEAST)
    optimiser = settings.optimiser
    assert dict(optimiser.rates) == {"ica": 1e-3, "fgp": 1e-5}
    assert (optimiser.epochs, optimiser.batch, optimiser.seed) == (10, 8, 111)
    assert (optimiser.clip_norm, optimiser.precision, optimiser.accumulate) == (0, "fp32", 1)
    assert settings.vision == VisionOptions(518, 518, (6, 12, 18, 24))
    assert (settings.data.split, settings.data.synthesize) == ("test", 0)


def test_a_new_training_says_good_unless_asked_otherwise() -> None:
    assert settings_from_record(LEAST).method.config.normal_word == "good"
    asked = settings_from_record(LEAST, ["method.normal_word=damaged"])
    assert asked.method.config.normal_word == "damaged"


def test_presets_are_the_methods() -> None:
    paper = settings_from_record(LEAST, ["method.preset=paper"]).method.config
    assert (paper.preset, paper.fgp_scale, paper.image_score) == ("paper", "inverse_sqrt", "paper")
    tokenclip = settings_from_record(LEAST, ["method.name=tokenclip"])
    assert tokenclip.optimiser.betas == (0.5, 0.999)
    assert tokenclip.method.config.preset == "reconstruction"


@settings_of_hypothesis(deadline=None, max_examples=30)
@given(
    root=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    names=st.lists(st.text(st.characters(codec="utf-8")), max_size=3).map(tuple),
    rate=st.floats(1e-9, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_written_file_reads_back_as_the_same_settings(
    root: str, names: tuple[str, ...], rate: float, seed: int
) -> None:
    record = LEAST | {
        "data": {"dataset": "mvtec", "root": root, "categories": list(names)},
        "optimiser": {"seed": seed, "rates": {"fgp": rate}},
        "evaluation": {"dataset": "visa", "root": root},
        "backbone": {"name": "ViT-B-16", "tag": "random"},
    }
    settings = settings_from_record(record)
    assert settings_from_record(_toml(text_from_settings(settings))) == settings
    assert settings_from_record(record_from_settings(settings)) == settings
    json.dumps(record_from_settings(settings), allow_nan=False)


def _toml(text: str) -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads with tomli")
    loaded: dict[str, Any] = tomllib.loads(text)
    return loaded


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimiser.epoch=3", "optimiser.epoch;"),
        ("optimizer.epochs=3", "no setting optimizer"),
        ("optimiser.epochs=0", "optimiser.epochs"),
        ("optimiser.epochs=many", "optimiser.epochs"),
        ("optimiser.epochs=2.5", "optimiser.epochs"),
        ("optimiser.rates.head=0.1", "optimiser.rates.head"),
        ("optimiser.rates.ica=nan", "optimiser.rates.ica"),
        ("optimiser.rates=3", "optimiser.rates"),
        ("optimiser.precision=fp8", "optimiser.precision"),
        ("optimiser.seed=-1", "optimiser.seed"),
        ("method.name=winclip", "method.name"),
        ("method.preset=published", "method.preset"),
        ("method.top_k=0", "top-k"),
        ("method.topk=5", "method.topk"),
        ("data.synthesize=2", "data.synthesize"),
        ("data.split=valid", "data.split"),
        ("data.categories=3", "data.categories"),
        ("vision.feature_layers=[2, 1]", "feature layers"),
        ("run.workers=0", "run.workers"),
        ("run.workers=true", "run.workers"),
        ("data=3", "--set"),
        ("nonsense", "--set"),
        ("run.device.name=cpu", "--set"),
    ],
)
def test_a_wrong_choice_is_one_line_that_names_it(override: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from_record(LEAST | {"run": {"device": "cpu"}}, [override])
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_category_is_not_learned_from_and_held_out_at_once() -> None:
    with pytest.raises(UsageError, match="bottle"):
        settings_from_record(
            LEAST, ['data.categories=["bottle", "cable"]', 'data.held_out=["bottle"]']
        )


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        settings_from_file(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[data\n")
    with pytest.raises(UsageError, match=r"bad\.toml: not a TOML"):
        settings_from_file(tmp_path / "bad.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(UsageError, match=r"empty\.toml: data\.dataset"):
        settings_from_file(tmp_path / "empty.toml")


def test_the_documented_file_is_the_published_training() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    documented = settings_from_record(_toml(text.partition("```toml\n")[2].partition("```")[0]))
    plain = settings_from_record(
        {
            "data": {"dataset": "mvtec", "root": "data/mvtec", "held_out": ["bottle"]},
            "backbone": {"weights": "ViT-L-14-336px.pt"},
            "evaluation": {"dataset": "visa", "root": "data/visa"},
        }
    )
    assert documented == plain


@pytest.mark.parametrize("name", ["industrial", "published"])
def test_the_files_of_the_ablations_are_whole(name: str) -> None:
    settings = settings_from_file(ROOT / "benchmarks" / "ablations" / f"{name}.toml")
    assert settings.method.config.preset == "official"
    for ablation in ABLATIONS:
        for row in ablation_rows(ablation, settings):
            changes = [f"{key}={json.dumps(value)}" for key, value in row.changes.items()]
            settings_from_record(record_from_settings(settings), changes)


def test_an_ablation_takes_only_its_own_method_apart() -> None:
    tokenclip = settings_from_record(LEAST, ["method.name=tokenclip"])
    with pytest.raises(UsageError, match="vip2clip"):
        ablation_rows("table4", tokenclip)
    with pytest.raises(UsageError, match="figure5, figure6"):
        ablation_rows("table9", settings_from_record(LEAST))
