"""A run gives what its settings say, and the same again: interrupted, cached, or in parts."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from tests.training.loop.small_run import Listener, small_record, small_settings
from vipx.checkpoint import read_checkpoint
from vipx.errors import EngineError, InputError, UsageError
from vipx.training.loop.run import BEST, LAST
from vipx.training.loop.settings.file import (
    record_from_settings,
    settings_from_file,
    settings_from_record,
)
from vipx.training.loop.training import RUN_FILE, train
from vipx.training.methods.checkpoints import load_method
from vipx.training.methods.registry import METHODS
from vipx.training.model.backbone import Backbone, load_clip


class InterruptedRunError(Exception):
    pass


class Impatient(Listener):
    """Breaks the run off when it hears of losses for the n-th time."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def step(self, done: int, steps: int, loss: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dataset and weights that no test changes."""
    folder = tmp_path_factory.mktemp("small")
    small_settings(folder)
    return folder


@pytest.fixture(scope="module")
def plain(place: Path) -> Path:
    """The run without cache that others are compared with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(small_settings(place), place / "plain", resume=False, watcher=Listener())
    torch.set_num_threads(threads)
    return place / "plain"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def run(place: Path, out: Path, resume: bool = False, **sections: dict[str, Any]) -> Listener:
    listener = Listener()
    train(small_settings(place, **sections), out, resume=resume, watcher=listener)
    return listener


def parameters(run: Path, name: str = LAST) -> dict[str, np.ndarray]:
    return load_file(run / name / "parameters.safetensors")


def difference(a: Path, b: Path) -> float:
    """The largest relative difference of a tensor."""
    ours, theirs = parameters(a), parameters(b)
    assert ours.keys() == theirs.keys()
    return max(
        float(np.linalg.norm(ours[n] - theirs[n])) / max(float(np.linalg.norm(ours[n])), 1e-12)
        for n in ours
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_settings_logs_and_checkpoints(place: Path, plain: Path) -> None:
    settings = small_settings(place)
    assert settings_from_file(plain / RUN_FILE) == settings
    checkpoint = read_checkpoint(plain / LAST)
    assert checkpoint.description.training["settings"] == record_from_settings(settings)
    assert checkpoint.description.training["steps"] == 6
    steps = rows(plain / "metrics.csv")
    assert [row["step"] for row in steps] == [str(n) for n in range(1, 7)]
    assert [row["epoch"] for row in steps] == ["1"] * 3 + ["2"] * 3
    for row in steps:
        pixels = sum(float(row[name]) for name in ("focal", "dice_anomalous", "dice_normal"))
        assert float(row["loss"]) == pytest.approx(float(row["cross_entropy"]) + pixels, rel=1e-5)
    assert difference(plain, plain) == 0
    assert parameters(plain, BEST).keys() == parameters(plain).keys()


def test_every_group_learns_and_nothing_else_moves(place: Path, plain: Path) -> None:
    settings = small_settings(place)
    after = load_method(plain / LAST).method
    clip = load_clip(weights=settings.backbone.weights, name=None, tag=None)
    torch.manual_seed(settings.optimiser.seed)
    backbone = Backbone(clip, settings.vision)
    before = METHODS["vip2clip"].untrained(settings.method.config, backbone)
    learned = {id(one) for group in before.groups().values() for one in group}
    frozen = dict(after.named_parameters())
    for name, value in before.named_parameters():
        assert torch.equal(value, frozen[name]) == (id(value) not in learned), name


def test_the_same_settings_give_the_same_bits(place: Path, plain: Path, out: Path) -> None:
    run(place, out)
    assert difference(plain, out) == 0


@pytest.mark.parametrize(
    ("cache", "after"),
    [
        (True, 1),
        *(pytest.param(False, after, marks=pytest.mark.slow) for after in range(4)),
        *(pytest.param(True, after, marks=pytest.mark.slow) for after in (0, 2, 3)),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    place: Path, out: Path, tmp_path: Path, cache: bool, after: int
) -> None:
    changes: dict[str, Any] = {
        "run": {"cache": cache, "checkpoint_every": 2, "cache_folder": str(tmp_path / "cache")},
        "data": {"held_out": ["ring"], "synthesize": 0.5},
        "optimiser": {"batch": 3},
    }
    settings = small_settings(place, **changes)
    with pytest.raises(InterruptedRunError):
        train(settings, out, resume=False, watcher=Impatient(after))
    listener = run(place, out, resume=True, **changes)
    assert any("going on" in line or "anew" in line for line in listener.lines)
    whole = tmp_path / "whole"
    changes["run"]["cache_folder"] = str(tmp_path / "another cache")
    run(place, whole, **changes)
    assert difference(whole, out) == 0
    for name in ("metrics.csv", "validation.csv"):
        assert (whole / name).read_text() == (out / name).read_text()


def test_a_finished_run_goes_on_to_nothing(place: Path, plain: Path, out: Path) -> None:
    shutil.copytree(plain, out)
    shutil.rmtree(out / LAST)
    assert not run(place, out, resume=True).losses
    assert difference(plain, out) == 0


@pytest.mark.parametrize("accumulate", [3, 9])
def test_a_step_in_parts_is_the_same_step(
    place: Path, plain: Path, out: Path, accumulate: int
) -> None:
    run(place, out, optimiser={"accumulate": accumulate})
    assert difference(plain, out) < 1e-5


@pytest.mark.parametrize("features", ["float16", "float32"])
def test_cached_features_lead_to_the_same_parameters(
    place: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: str
) -> None:
    optimiser = {"features": features}
    cache: dict[str, Any] = {
        "run": {"cache": True, "cache_folder": str(tmp_path / "cache")},
        "optimiser": optimiser,
    }
    said = run(place, out, **cache).lines
    assert any("12 images at" in line for line in said)
    run(place, tmp_path / "plain", optimiser=optimiser)
    assert difference(tmp_path / "plain", out) == 0
    # From now on the backbone is not needed at all.
    monkeypatch.setattr(Backbone, "forward", lambda *_: pytest.fail("the backbone ran"))
    monkeypatch.setattr(
        "vipx.training.loop.examples.load_sample", lambda *_, **__: pytest.fail("decoded")
    )
    run(place, tmp_path / "again", **cache)
    assert difference(out, tmp_path / "again") == 0


def test_rounding_the_features_changes_little(place: Path, plain: Path, out: Path) -> None:
    run(place, out, optimiser={"features": "float32"})
    assert 0 < difference(plain, out) < 1e-3


def test_a_changed_image_or_mask_is_never_served_from_the_cache(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place / "data", tmp_path / "data")
    shutil.copy(place / "clip.safetensors", tmp_path / "clip.safetensors")
    cache: dict[str, Any] = {"run": {"cache": True}, "optimiser": {"epochs": 1}}
    run(tmp_path, tmp_path / "first", **cache)
    image = tmp_path / "data" / "bolt" / "test" / "good" / "000.png"
    mask = tmp_path / "data" / "nut" / "ground_truth" / "bright" / "002_mask.png"
    for path in (image, mask):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    monkeypatch.setattr("vipx.training.loop.encoding.AHEAD", 0)
    said = run(tmp_path, tmp_path / "second", **cache).lines
    assert any("2 images at" in line for line in said)
    run(tmp_path, tmp_path / "uncached", optimiser={"epochs": 1})
    assert difference(tmp_path / "uncached", tmp_path / "second") == 0
    assert difference(tmp_path / "first", tmp_path / "second") > 1e-3


def test_an_image_that_changes_during_the_run_is_not_stored(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "data", tmp_path / "data")
    shutil.copy(place / "clip.safetensors", tmp_path / "clip.safetensors")
    image = tmp_path / "data" / "bolt" / "test" / "good" / "000.png"

    class Meddler(Listener):
        def say(self, line: str) -> None:
            Image.fromarray(np.full((40, 56, 3), len(self.lines), np.uint8)).save(image)
            super().say(line)

    settings = small_settings(tmp_path, run={"cache": True})
    with pytest.raises(InputError, match=r"000\.png: changed"):
        train(settings, tmp_path / "run", resume=False, watcher=Meddler())


@pytest.mark.parametrize(
    ("section", "changes", "named"),
    [
        ("optimiser", {"rates": {"ica": 0.1}}, "optimiser.rates"),
        ("optimiser", {"batch": 3}, "optimiser.batch"),
        ("method", {"sigma": 3.0}, "method.sigma"),
        ("data", {"categories": ["bolt"]}, "data.categories"),
    ],
)
def test_a_run_does_not_go_on_under_other_settings(
    place: Path, plain: Path, section: str, changes: dict[str, Any], named: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in plain.rglob("*")}
    with pytest.raises(UsageError, match=named):
        run(place, plain, resume=True, **{section: changes})
    assert before == {path: path.stat().st_mtime_ns for path in plain.rglob("*")}


def test_what_changes_no_number_may_change_on_the_way(place: Path, plain: Path, out: Path) -> None:
    shutil.copytree(plain, out)
    run(place, out, resume=True, run={"workers": 1, "checkpoint_every": 1})


def test_a_run_does_not_go_on_with_other_images(place: Path, plain: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "data", tmp_path / "data")
    shutil.copytree(plain, tmp_path / "run")
    image = tmp_path / "data" / "bolt" / "test" / "good" / "000.png"
    Image.fromarray(np.zeros((40, 56, 3), np.uint8)).save(image)
    # The same root under the same name: only the content differs.
    (place / "data").rename(place / "aside")
    (tmp_path / "data").rename(place / "data")
    try:
        with pytest.raises(UsageError, match="images"):
            run(place, tmp_path / "run", resume=True)
    finally:
        shutil.rmtree(place / "data")
        (place / "aside").rename(place / "data")


def test_a_folder_is_not_overwritten(place: Path, plain: Path) -> None:
    with pytest.raises(UsageError, match="--resume"):
        run(place, plain)


def test_held_out_categories_choose_the_best_checkpoint(place: Path, out: Path) -> None:
    said = run(place, out, data={"held_out": ["ring"]}, optimiser={"epochs": 3}).lines
    measured = rows(out / "validation.csv")
    assert [row["category"] for row in measured] == ["ring", "mean"] * 3
    goals = [
        (float(row["image_auroc"]) + float(row["aupro"])) / 2
        for row in measured
        if row["category"] == "mean"
    ]
    checkpoint = read_checkpoint(out / BEST).description
    assert checkpoint.training["steps"] == 2 * (goals.index(max(goals)) + 1)
    assert "8 images of 2 categories, 4 of them anomalous" in said


def test_missing_masks_are_told_and_the_image_loss_alone_learns(
    place: Path, tmp_path: Path
) -> None:
    shutil.copytree(place / "data", tmp_path / "data")
    shutil.copy(place / "clip.safetensors", tmp_path / "clip.safetensors")
    for mask in (tmp_path / "data").glob("*/ground_truth/*/*"):
        mask.unlink()
    said = run(tmp_path, tmp_path / "run", data={"categories": ["bolt"]}).lines
    assert any("2 anomalous images have no mask" in line for line in said)
    assert difference(tmp_path / "run", tmp_path / "run") == 0


def test_a_method_with_nothing_to_learn_is_written_at_once(place: Path, out: Path) -> None:
    said = run(place, out, method={"prompts": "written", "fgp": False}).lines
    assert any("nothing to learn" in line for line in said)
    assert load_method(out / BEST).method.groups() == {}
    assert not (out / "state.pt").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_of_the_towers_learns_the_same(
    place: Path, plain: Path, out: Path, precision: str
) -> None:
    run(place, out, optimiser={"precision": precision})
    assert 0 < difference(plain, out) < 0.5
    assert all(value.dtype == np.float32 for value in parameters(out).values())


def test_a_loss_that_is_not_finite_ends_the_run(place: Path, out: Path) -> None:
    with pytest.raises(UsageError, match=r"lower optimiser\.rates"):
        run(place, out, optimiser={"rates": {"ica": 1e30}})


def test_tokenclip_trains_through_the_same_loop(place: Path, out: Path) -> None:
    method = {
        "name": "tokenclip", "subspaces": 3, "deep_layers": 2, "context_tokens": 4,
        "normal_words": "good", "abnormal_words": "damaged",
    }  # fmt: skip
    record = small_record(place) | {"method": method}
    train(settings_from_record(record), out, resume=False, watcher=Listener())
    losses = [float(row["penalty"]) for row in rows(out / "metrics.csv")]
    assert len(losses) == 6
    assert all(loss > 0 for loss in losses)
    assert read_checkpoint(out / LAST).description.method == "tokenclip"


def test_tensorboard_without_its_package_is_one_line(
    place: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(EngineError, match="tensorboard is not installed"):
        run(place, out, run={"tensorboard": True})


@pytest.mark.parametrize(("device", "kind"), [("cuda:99", EngineError), ("tpu", UsageError)])
def test_a_device_that_is_not_there_is_an_error(
    place: Path, out: Path, device: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"run\.device"):
        run(place, out, run={"device": device})
    assert not out.exists()
