"""A checkpoint reads back as it was written, and nothing in a foreign file runs."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden_case import COMMITTED
from tests.tiny import tiny_backbone, tiny_method
from vipx.checkpoint import DESCRIPTION, PARAMETERS, read_checkpoint, write_checkpoint
from vipx.errors import CheckpointError
from vipx.training.methods.checkpoints import load_method, save_method
from vipx.training.model.weights import clip_from_file

DESCRIPTION_FIELDS: dict[str, Any] = {
    "vipx_version": "0",
    "method": "vip2clip",
    "config": {},
    "vision": {},
    "backbone": {},
    "training": {},
}
CANARY = "vipx_canary_was_here"


class Attack:
    """A pickle that writes a file where it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.canary, "run"))


def test_a_method_reads_back_bit_for_bit(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    method = tiny_method(backbone, top_k=4, sigma=3.5)
    save_method(tmp_path / "x.ckpt", method, backbone, training={"seed": 1})
    loaded = load_method(tmp_path / "x.ckpt")
    assert loaded.method.config == method.config
    for name, value in method.state_dict().items():
        assert torch.equal(loaded.method.state_dict()[name], value), name
    assert loaded.description is not None
    assert loaded.description.vision["feature_layers"] == [1, 2]
    assert loaded.description.training == {"seed": 1}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=4), st.integers(0, 2**32 - 1))
def test_arrays_of_any_shape_read_back(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], seed: int
) -> None:
    path = tmp_path_factory.mktemp("checkpoint") / "c"
    values = {"w": np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}
    write_checkpoint(path, values, **DESCRIPTION_FIELDS)
    np.testing.assert_array_equal(read_checkpoint(path).parameters["w"], values["w"])


def test_the_description_has_exactly_these_keys(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", {"w": np.zeros(1, np.float32)}, **DESCRIPTION_FIELDS)
    record = json.loads((tmp_path / "c" / DESCRIPTION).read_text())
    assert list(record) == [
        "schema_version", "vipx_version", "method", "config", "vision", "backbone", "training",
        "parameters_sha256",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [DESCRIPTION, PARAMETERS])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_checkpoint(tmp_path / "c", {"w": np.zeros(1, np.float32)}, **DESCRIPTION_FIELDS)
    (tmp_path / "c" / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(tmp_path / "c")


def test_changed_parameters_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", {"w": np.zeros(9, np.float32)}, **DESCRIPTION_FIELDS)
    path = tmp_path / "c" / PARAMETERS
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="sha256"):
        read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("change", [{"schema_version": 9}, {"new": 1}, {"method": "other"}])
def test_a_description_of_another_shape_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    write_checkpoint(tmp_path / "c", {"w": np.zeros(1, np.float32)}, **DESCRIPTION_FIELDS)
    path = tmp_path / "c" / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "c")


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    save_method(tmp_path / "c", tiny_method(backbone), backbone, training={})
    path = tmp_path / "c" / DESCRIPTION
    record = json.loads(path.read_text())
    record["config"]["from_the_future"] = 1
    path.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="from_the_future"):
        load_method(tmp_path / "c")


def test_the_published_format_tells_its_own_sizes() -> None:
    method = load_method(COMMITTED.checkpoint).method
    assert method.config.context_tokens == COMMITTED.config["n_ctx"]
    assert method.config.class_tokens == COMMITTED.config["n_cls"]
    assert method.config.normal_word == "damaged", "the published code writes it into both prompts"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_that_runs_code_does_not_run_it(tmp_path: Path, wrapped: bool) -> None:
    canary = tmp_path / CANARY
    attack: object = Attack(canary)
    if wrapped:
        attack = {"prompt_learner": {"cls_ctx": attack}, "Zero_try": {}}
    for save in (torch.save, _plain_pickle):
        save(attack, tmp_path / "evil.pth")
        with pytest.raises(CheckpointError, match=r"evil\.pth"):
            load_method(tmp_path / "evil.pth")
        with pytest.raises(CheckpointError, match=r"evil\.pth"):
            clip_from_file(tmp_path / "evil.pth")
    assert not canary.exists()


def _plain_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize(
    "content",
    [
        {"prompt_learner": {}},
        {"prompt_learner": {}, "Zero_try": {}},
        {"prompt_learner": {"ctx_pos": torch.ones(7, 4)}, "Zero_try": {"x": torch.ones(1)}},
        torch.ones(3),
        ["a"],
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth") as caught:
        load_method(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_wrong_shapes_is_refused(tmp_path: Path) -> None:
    published = torch.load(COMMITTED.checkpoint, weights_only=True)
    published["Zero_try"]["q_proj_pre.weight"] = torch.ones(3, 3, 1)
    torch.save(published, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="shapes"):
        load_method(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 broken zip"])
@pytest.mark.parametrize("name", ["x.pth", "x.pt", "x.safetensors"])
def test_garbage_is_refused_in_one_line(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    for load in (lambda p: load_method(p), clip_from_file):
        with pytest.raises(CheckpointError, match=name) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_method(tmp_path / "nothing.pth")
