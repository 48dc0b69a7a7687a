"""The better binding is taken of those that are there; a named one is never replaced."""

import subprocess
import sys

import pytest

from tests.runtime.cuda.device import FakeDevice
from tests.runtime.cuda.fakes import fake_cuda_runtime
from vipx.errors import EngineError
from vipx.runtime.cuda.choice import choose_backend, open_backend

CUDA_PYTHON, PYCUDA = "cuda.bindings.runtime", "pycuda.driver"


def test_cuda_python_comes_first_for_its_graphs(device: FakeDevice) -> None:
    assert choose_backend() == "cuda-python"
    assert open_backend().graphs


def test_pycuda_alone_is_taken(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, CUDA_PYTHON, None)
    assert choose_backend() == "pycuda"
    with pytest.raises(EngineError, match=r"cuda-python cannot be used .*vipx\[tensorrt\]"):
        choose_backend("cuda-python")


def test_without_any_both_remedies_are_named(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, CUDA_PYTHON, None)
    monkeypatch.setitem(sys.modules, PYCUDA, None)
    with pytest.raises(EngineError, match=r"vipx\[tensorrt\].*vipx\[pycuda\]"):
        choose_backend()


@pytest.mark.parametrize("version", [12, 13])
def test_cuda_12_and_13_have_every_name_that_is_used(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    monkeypatch.setitem(sys.modules, CUDA_PYTHON, fake_cuda_runtime(device, version))
    backend = open_backend("cuda-python")
    with backend.active():
        buffer, pointer, stream = (
            backend.host(8, mapped=True),
            backend.allocate(8),
            backend.stream(),
        )
        start = stream.mark()
        stream.capture(lambda: stream.upload(pointer, buffer.array)).launch()
        stream.download(buffer.array, pointer)
        assert stream.mark().since(start) > 0
        backend.release(pointer)


def test_pycuda_needs_its_context_and_leaves_the_stack_as_it_was(device: FakeDevice) -> None:
    backend = open_backend("pycuda")
    with pytest.raises(Exception, match="no currently active context"):
        backend.stream()
    with pytest.raises(EngineError, match="no such layer"), backend.active():
        raise EngineError("no such layer")
    assert not any(current() for current in device.contexts), "popped after an error too"
    backend.close()
    with pytest.raises(EngineError, match="was closed"), backend.active():
        pass


def test_neither_binding_nor_tensorrt_is_imported_before_an_engine_is_opened() -> None:
    code = (
        "import sys, vipx.runtime, vipx.runtime.engines.tensorrt as t, vipx.runtime.cuda.choice\n"
        "assert t.missing('cpu') and t.missing('cuda') is not Ellipsis\n"
        "print(*{m.split('.')[0] for m in sys.modules} & {'tensorrt', 'cuda', 'pycuda', 'torch'})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
