"""A fake GPU behind fake drivers."""

import sys

import pytest

from tests.runtime.cuda.device import FakeDevice
from tests.runtime.cuda.fakes import fake_libcuda, fake_modules


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """A discrete GPU, and both bindings to reach it."""
    device = FakeDevice()
    for name, module in fake_modules(device).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("vipx.runtime.cuda.driver.load_library", lambda _: fake_libcuda(device))
    return device
