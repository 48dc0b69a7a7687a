"""What every CUDA backend keeps to, pycuda and cuda-python alike, over drivers that check how they are used."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.runtime.cuda.device import FakeDevice, IllegalAccessError
from vipx.errors import EngineError, ResourceError
from vipx.runtime.cuda.backend import CudaBackend
from vipx.runtime.cuda.choice import open_backend


@pytest.fixture(params=["cuda-python", "pycuda"])
def backend(device: FakeDevice, request: pytest.FixtureRequest) -> Iterator[CudaBackend]:
    backend = open_backend(request.param)
    assert backend.name == request.param
    yield backend
    backend.close()


def test_it_keeps_to_the_protocol_and_says_which_gpu_it_is(
    backend: CudaBackend, device: FakeDevice
) -> None:
    assert isinstance(backend, CudaBackend)
    facts = backend.facts
    assert (facts.name, facts.capability) == ("Fake GPU 8", (8, 7))
    assert (facts.memory, facts.driver, facts.runtime) == (8 << 30, 13000, 12090)
    assert not facts.integrated


def test_bytes_go_up_and_come_down_again_when_the_stream_was_waited_for(
    backend: CudaBackend,
) -> None:
    with backend.active():
        up, down = backend.host(1000), backend.host(1000)
        up.array[:] = np.arange(1000) % 251
        down.array[:] = 0
        pointer = backend.allocate(1000)
        stream = backend.stream()
        stream.upload(pointer, up.array)
        stream.download(down.array, pointer)
        assert not down.array.any(), "the fake does nothing before someone waits"
        stream.wait()
        np.testing.assert_array_equal(down.array, up.array)
        backend.release(pointer)


def test_parts_of_a_buffer_are_copied_alone(backend: CudaBackend) -> None:
    with backend.active():
        buffer, pointer, stream = backend.host(64), backend.allocate(64), backend.stream()
        buffer.array[:] = 7
        stream.upload(pointer, buffer.array)
        buffer_two = backend.host(16)
        stream.download(buffer_two.array[:8], pointer + 56)
        stream.wait()
        assert buffer_two.array[:8].tolist() == [7] * 8
        backend.release(pointer)


def test_mapped_memory_is_seen_by_the_device_without_a_copy(
    backend: CudaBackend, device: FakeDevice
) -> None:
    with backend.active():
        buffer = backend.host(16, mapped=True)
        assert buffer.pointer is not None
        buffer.array[:] = 3
        assert bytes(device.view(buffer.pointer, 16)) == b"\3" * 16
        device.view(buffer.pointer, 16)[0] = 9
        assert buffer.array[0] == 9
        assert device.transfers == []


def test_plain_host_memory_is_not_mapped(backend: CudaBackend) -> None:
    with backend.active():
        assert backend.host(16).pointer is None


def test_page_locked_memory_lives_as_long_as_a_view_of_it_and_no_longer(
    backend: CudaBackend, device: FakeDevice
) -> None:
    with backend.active():
        view = backend.host(64).array[8:].view(np.float32)
        assert len(device.pinned) == 1
        view[:] = 1.5
        assert view.sum() == 1.5 * 14
        del view
        assert device.pinned == {}


def test_marks_give_the_milliseconds_between_them(backend: CudaBackend) -> None:
    with backend.active():
        buffer, pointer, stream = backend.host(8), backend.allocate(8), backend.stream()
        start = stream.mark()
        for _ in range(4):
            stream.upload(pointer, buffer.array)
        assert stream.mark().since(start) == 5.0  # the start's own millisecond and four copies
        backend.release(pointer)


def test_more_memory_than_there_is_is_a_resource_error(backend: CudaBackend) -> None:
    with pytest.raises(ResourceError, match=r"(?i)memory.*smaller batch"), backend.active():
        backend.allocate(9 << 30)


def test_free_memory_falls_with_what_is_allocated(backend: CudaBackend) -> None:
    with backend.active():
        before, pointer = backend.free_memory(), backend.allocate(1 << 20)
        assert before - backend.free_memory() == 1 << 20
        backend.release(pointer)
        assert backend.free_memory() == before


def test_an_address_is_released_once(backend: CudaBackend) -> None:
    with backend.active():
        pointer = backend.allocate(8)
        backend.release(pointer)
        with pytest.raises((IllegalAccessError, KeyError)):
            backend.release(pointer)


def test_nothing_is_left_after_closing_and_closing_twice_does_no_harm(
    backend: CudaBackend, device: FakeDevice
) -> None:
    with backend.active():
        buffer, stream = backend.host(8, mapped=True), backend.stream()
        mark = stream.mark()
        stream.wait()
        if backend.graphs:
            stream.capture(lambda: None)
        pointer = backend.allocate(8)
        backend.release(pointer)
        del buffer, stream, mark
    backend.close()
    backend.close()
    assert (device.blocks, device.pinned, device.streams, device.objects) == ({}, {}, {}, 0)


def test_a_graph_repeats_what_was_captured_and_capturing_does_nothing_itself(
    backend: CudaBackend, device: FakeDevice
) -> None:
    with backend.active():
        buffer, pointer, stream = backend.host(8), backend.allocate(8), backend.stream()
        buffer.array[:] = 1
        if not backend.graphs:
            with pytest.raises(EngineError, match="no CUDA graphs"):
                stream.capture(lambda: None)
        else:
            graph = stream.capture(lambda: stream.upload(pointer, buffer.array))
            stream.wait()
            assert device.transfers == []
            for value in (5, 6):
                buffer.array[:] = value
                graph.launch()
                stream.wait()
                assert bytes(device.view(pointer, 8)) == bytes([value]) * 8
        backend.release(pointer)


def test_after_a_capture_that_failed_the_stream_works_again(backend: CudaBackend) -> None:
    if not backend.graphs:
        return

    def fail() -> None:
        raise EngineError("a layer that cannot be captured")

    with backend.active():
        stream = backend.stream()
        with pytest.raises(EngineError, match="cannot be captured"):
            stream.capture(fail)
        start = stream.mark()
        assert stream.mark().since(start) == 1.0
