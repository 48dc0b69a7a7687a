"""Engines come back exactly as they were built, for the machine that they were built on, or not at all."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.cuda.device import FakeDevice
from tests.runtime.tensorrt.conftest import Machine
from vipx.bundle import read_bundle
from vipx.demo import DEMO_BUNDLE
from vipx.errors import EngineError
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.tensorrt import TensorRtEngine
from vipx.runtime.engines.tensorrt.building import Wish
from vipx.runtime.engines.tensorrt.cache import Unusable, default_root, open_cache, seal, unseal
from vipx.runtime.engines.tensorrt.key import Settings, key_of

MODEL = model_of(read_bundle(DEMO_BUNDLE))
OPTIONS = EngineOptions("tensorrt", "cuda")


def opened(machine: Machine, options: EngineOptions = OPTIONS) -> int:
    """Open and close an engine; say how many plans were deserialised for it."""
    before = machine.behaviour.loads
    TensorRtEngine(MODEL, options).close()
    return machine.behaviour.loads - before


def refused(machine: Machine, options: EngineOptions = OPTIONS) -> str:
    """See an engine refused without a plan deserialised; give what is said."""
    before = machine.behaviour.loads
    with pytest.raises(EngineError) as caught:
        TensorRtEngine(MODEL, options)
    assert machine.behaviour.loads == before
    return str(caught.value)


def plan_folders(machine: Machine) -> dict[str, Path]:
    folders = (path for path in machine.cache.iterdir() if len(path.name) == 16)
    return {json.loads((f / "engine.json").read_text())["role"]: f for f in folders}


def test_before_a_build_the_command_to_run_is_named(machine: Machine) -> None:
    said = refused(machine)
    assert f"run `vipx build {DEMO_BUNDLE} --precision fp32 --batch 1`" in said
    assert "another --engine" in said


def test_what_was_built_is_used_and_not_built_again(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    assert opened(machine) == 3
    again = machine.build(DEMO_BUNDLE)
    assert len(machine.behaviour.builds) == 3
    assert [plan.seconds for plan in again.plans] == [0.0] * 3
    machine.build(DEMO_BUNDLE, Wish(anew=True))
    assert len(machine.behaviour.builds) == 6


def test_of_200_bit_flips_none_is_ever_loaded(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    files = [p for f in plan_folders(machine).values() for p in f.iterdir()]
    files += (machine.cache / "approved").iterdir()
    assert len(files) == 7
    chance = random.Random(4)
    for number in range(200):
        path = files[number % 7]
        intact = path.read_bytes()
        changed = bytearray(intact)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        refused(machine)
        path.write_bytes(intact)
    assert opened(machine) == 3


def test_a_changed_plan_is_built_again_alone(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    plan = plan_folders(machine)["prompts"] / "plan"
    plan.write_bytes(plan.read_bytes()[:-1])
    assert "was changed since it was built" in refused(machine)
    machine.build(DEMO_BUNDLE)
    assert machine.behaviour.builds == ["encoder", "prompts", "heads", "prompts"]
    assert opened(machine) == 3


@pytest.mark.parametrize(
    ("version", "device"),
    [
        ("10.13", FakeDevice()),
        ("10.16", FakeDevice(name="Fake GPU 9")),
        ("10.16", FakeDevice(memory=16 << 30)),
    ],
)
def test_another_tensorrt_or_gpu_uses_nothing_and_builds_its_own(
    machine: Machine, version: str, device: FakeDevice
) -> None:
    machine.build(DEMO_BUNDLE)
    machine.become(version, device)
    assert "was not built yet" in refused(machine)
    machine.build(DEMO_BUNDLE)
    assert len(machine.behaviour.builds) == 6
    assert opened(machine) == 3


def test_plans_copied_from_another_gpu_under_the_right_names_are_refused(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    foreign = plan_folders(machine)["heads"]
    machine.become("10.16", FakeDevice(name="Fake GPU 9"))
    machine.build(DEMO_BUNDLE)
    here = [f for f in machine.cache.iterdir() if len(f.name) == 16 and f != foreign]
    own = next(f for f in here if json.loads((f / "engine.json").read_text())["role"] == "heads")
    shutil.rmtree(own)
    shutil.copytree(foreign, own)
    assert "belongs to another graph, GPU or TensorRT" in refused(machine)


def test_another_batch_precision_or_workspace_is_another_engine(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    assert "--batch 4" in refused(machine, EngineOptions("tensorrt", "cuda", batch=4))
    machine.build(DEMO_BUNDLE, Wish(settings=Settings(workspace=64)))
    assert len(machine.behaviour.builds) == 6
    assert opened(machine) == 3, "the settings of the last build are remembered with it"


def change_mode(mode: int) -> Callable[[Path], None]:
    return lambda folder: (folder / "plan").chmod(mode)


def link_plan(folder: Path) -> None:
    plan = folder / "plan"
    plan.rename(folder.parent / "elsewhere")
    plan.symlink_to(folder.parent / "elsewhere")


def link_folder(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_mode(0o622), "open to other users"),
        (lambda folder: folder.chmod(0o770), "open to other users"),
        (link_plan, "is a link"),
        (link_folder, "is a link"),
        (lambda folder: (folder / "engine.json").unlink(), "was not built yet"),
    ],
)
def test_what_others_could_have_written_is_not_read(
    machine: Machine, change: Callable[[Path], object], said: str
) -> None:
    machine.build(DEMO_BUNDLE)
    change(plan_folders(machine)["heads"])
    assert said in refused(machine)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_not_read(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    os.chown(plan_folders(machine)["heads"] / "plan", 12345, -1)
    assert "belongs to another user" in refused(machine)


def test_the_folder_is_for_its_owner_alone(machine: Machine, tmp_path: Path) -> None:
    assert open_cache().root.stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(EngineError, match=r"open to other users; .* `chmod 700`"):
        open_cache(tmp_path / "open")


def test_the_folder_follows_xdg_and_a_relative_one_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_root() == Path("/home/somebody/.cache/vipx/engines")


def test_measured_kernels_are_used_again_and_changed_ones_are_not(machine: Machine) -> None:
    from vipx.runtime.engines.tensorrt.compiler import read_timings

    machine.build(DEMO_BUNDLE)
    (path,) = (machine.cache / "timings").iterdir()
    assert read_timings(path) == b"measured;" * 3
    path.write_bytes(path.read_bytes() + b"x")
    assert read_timings(path) == b""


@given(
    st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_sealed_record_comes_back_and_with_any_bit_flipped_does_not(
    record: dict[str, object], chance: random.Random
) -> None:
    record.pop("sha256", None)
    content = seal(record)
    opened_record = unseal(content)
    assert opened_record.pop("sha256")
    assert opened_record == record
    changed = bytearray(content)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    with pytest.raises(Unusable):
        unseal(bytes(changed))


@given(st.dictionaries(st.text(min_size=1), st.integers(), min_size=1))
def test_keys_tell_facts_apart_and_not_their_order(facts: dict[str, int]) -> None:
    key = key_of(facts)
    assert len(key) == 16
    assert key == key_of(dict(reversed(facts.items())))
    name = next(iter(facts))
    assert key != key_of(facts | {name: facts[name] + 1})
