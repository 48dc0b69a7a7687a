"""The driver is asked first, and what it answers is one line with a remedy."""

import pytest

from tests.runtime.cuda.device import FakeDevice
from tests.runtime.cuda.fakes import fake_libcuda
from vipx.errors import EngineError
from vipx.runtime.cuda import driver


def test_a_gpu_gives_the_newest_cuda_that_its_driver_knows(device: FakeDevice) -> None:
    assert driver.probe_cuda() == 13000
    assert device.probed


def test_without_a_driver_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(driver, "load_library", load)
    with pytest.raises(EngineError, match=r"no NVIDIA driver: .*install the driver"):
        driver.probe_cuda()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (100, "no NVIDIA GPU is visible"),
        (803, "restart the machine"),
        (4711, "error 4711: see `nvidia-smi`"),
    ],
)
def test_the_drivers_errors_are_told(
    monkeypatch: pytest.MonkeyPatch, error: int, said: str
) -> None:
    monkeypatch.setattr(driver, "load_library", lambda _: fake_libcuda(FakeDevice(), error))
    with pytest.raises(EngineError, match=said):
        driver.probe_cuda()


def test_a_driver_without_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "load_library", lambda _: fake_libcuda(None))
    with pytest.raises(EngineError, match="no NVIDIA GPU is visible"):
        driver.probe_cuda()


def test_only_the_systems_own_library_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(name: str) -> object:
        asked.append(name)
        return fake_libcuda(FakeDevice())

    monkeypatch.setattr(driver, "load_library", load)
    driver.probe_cuda()
    assert asked == ["libcuda.so.1"]
