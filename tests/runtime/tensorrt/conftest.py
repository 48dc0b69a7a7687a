"""A fake GPU with a fake TensorRT, whose compiler runs in this process."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.runtime.cuda.device import FakeDevice
from tests.runtime.cuda.fakes import fake_libcuda, fake_modules
from tests.runtime.tensorrt.fake import Behaviour, fake_tensorrt
from vipx.runtime.engines.tensorrt.building import Built, Wish, build_engines
from vipx.runtime.engines.tensorrt.compiler import compile_plan


@dataclass
class Machine:
    """A machine with a GPU and TensorRT, and what was said while something was built on it."""

    install: Callable[[str, FakeDevice], None]
    cache: Path
    device: FakeDevice = field(default_factory=FakeDevice)
    behaviour: Behaviour = field(default_factory=Behaviour)
    said: list[str] = field(default_factory=list)

    def become(self, version: str, device: FakeDevice | None = None) -> None:
        """Put in another TensorRT, and another GPU."""
        self.device = device or self.device
        self.install(version, self.device)

    def build(self, bundle: Path, wish: Wish | None = None) -> Built:
        return build_engines(bundle, wish or Wish(), self.said.append, compile_plan)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """TensorRT 10.16 on a discrete GPU, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def install(version: str, device: FakeDevice) -> None:
        modules = fake_modules(device) | {
            "tensorrt": fake_tensorrt(version, device, here.behaviour)
        }
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr("vipx.runtime.cuda.driver.load_library", lambda _: fake_libcuda(device))

    here = Machine(install, tmp_path / "cache" / "vipx" / "engines")
    here.become("10.16")
    yield here
    left = here.device
    assert (left.blocks, left.pinned, left.streams, left.objects) == ({}, {}, {}, 0)
