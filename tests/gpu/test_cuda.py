"""Both CUDA bindings, where they are installed, on a real GPU: the fakes' contract held against the driver."""

from collections.abc import Iterator

import numpy as np
import pytest

from vipx.errors import EngineError
from vipx.runtime.cuda.backend import CudaBackend
from vipx.runtime.cuda.choice import open_backend

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["cuda-python", "pycuda"])
def backend(request: pytest.FixtureRequest) -> Iterator[CudaBackend]:
    try:
        backend = open_backend(request.param)
    except EngineError as error:
        pytest.skip(str(error))
    yield backend
    backend.close()


def test_a_gpu_has_a_name_memory_and_a_compute_capability(backend: CudaBackend) -> None:
    assert backend.facts.name
    assert backend.facts.memory > 1 << 30
    assert backend.facts.capability >= (5, 0)
    assert backend.facts.driver >= 11000
    with backend.active():
        assert 0 < backend.free_memory() <= backend.facts.memory


@pytest.mark.parametrize("mapped", [False, True])
def test_bytes_go_up_and_come_down_again(backend: CudaBackend, mapped: bool) -> None:
    with backend.active():
        up, down = backend.host(1 << 20, mapped=mapped), backend.host(1 << 20)
        up.array[:] = np.arange(1 << 20) % 251
        pointer, stream = backend.allocate(1 << 20), backend.stream()
        start = stream.mark()
        if mapped:
            assert up.pointer
        stream.upload(pointer, up.array)
        stream.download(down.array, pointer)
        assert stream.mark().since(start) > 0
        stream.wait()
        np.testing.assert_array_equal(down.array, up.array)
        backend.release(pointer)


def test_a_captured_copy_is_replayed(backend: CudaBackend) -> None:
    if not backend.graphs:
        pytest.skip(f"{backend.name} has no CUDA graphs")
    with backend.active():
        up, down = backend.host(64), backend.host(64)
        pointer, stream = backend.allocate(64), backend.stream()
        graph = stream.capture(lambda: stream.upload(pointer, up.array))
        for value in (3, 4):
            up.array[:] = value
            graph.launch()
            stream.download(down.array, pointer)
            stream.wait()
            assert down.array.tolist() == [value] * 64
        backend.release(pointer)
