"""One deserialised plan, and the memory that the plans of a model share."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from vipx.errors import EngineError
from vipx.runtime.cuda.backend import CudaBackend, CudaStream, HostBuffer
from vipx.runtime.engines.tensorrt.library import failure, new_logger

_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and type of an input or output, the batch pinned."""

    shape: tuple[int, ...]
    type: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape)) * self.type.itemsize


class Graph:
    """A plan with its execution context.

    Raises:
        EngineError: TensorRT does not take the plan, or it is not for this batch.
    """

    def __init__(self, library: ModuleType, name: str, plan: bytes, batch: int) -> None:
        self.name, self._library = name, library
        self._logger = new_logger(library)
        self._runtime = library.Runtime(self._logger)
        # A plan may carry code for the CPU; ours are built without, and none is ever run.
        self._runtime.engine_host_code_allowed = False
        self._engine = self._made(self._runtime.deserialize_cuda_engine(plan))
        self._context = self._made(self._engine.create_execution_context())
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        mode = library.TensorIOMode.INPUT
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == mode]
        self.inputs = {name: self._pinned(name, batch) for name in inputs}
        self.outputs = {name: self._tensor(name) for name in names if name not in inputs}

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Say where in the device's memory every input and output lies."""
        for name in (*self.inputs, *self.outputs):
            if not self._context.set_tensor_address(name, addresses[name]):
                raise self._failed(f"does not take an address for {name}")

    def enqueue(self, stream: CudaStream) -> None:
        """Queue one run."""
        if not self._context.execute_async_v3(stream.handle):
            raise self._failed("did not start")

    def fused_attention(self) -> int | None:
        """Count the layers that are one kernel of attention; None where TensorRT does not tell."""
        inspector = self._engine.create_engine_inspector()
        text = inspector.get_engine_information(self._library.LayerInformationFormat.JSON)
        with suppress(ValueError, TypeError, AttributeError):
            layers = json.loads(text).get("Layers", [])
            return sum("mha" in json.dumps(layer).lower() for layer in layers)
        return None

    def _made(self, made: Any) -> Any:  # noqa: ANN401 - TensorRT has no types
        # What is not null can be broken nonetheless, and then the log says so.
        if made is None or self._logger.errors:
            raise self._failed("was not taken; `vipx build` builds it again")
        return made

    def _pinned(self, name: str, batch: int) -> Tensor:
        _, *rest = tuple(self._engine.get_tensor_shape(name))
        if not self._context.set_input_shape(name, (batch, *rest)):
            raise self._failed(f"was not built for batch {batch}; run `vipx build --batch {batch}`")
        return self._tensor(name)

    def _tensor(self, name: str) -> Tensor:
        kind = self._engine.get_tensor_dtype(name).name
        if kind not in _TYPES:
            raise self._failed(f"has {name} as {kind}, which no graph of vipx has")
        shape = tuple(int(n) for n in self._context.get_tensor_shape(name))
        if -1 in shape:
            raise self._failed(f"has {name} of open shape {shape}; export the bundle again")
        return Tensor(shape, np.dtype(_TYPES[kind]))

    def _failed(self, what: str) -> EngineError:
        reason = failure(self._logger, "TensorRT does not say why")
        return EngineError(f"{self.name}: this plan {what} ({reason})")


class Memory:
    """Every tensor of a model once on the device, where the graph that gives it and those that take it find it.

    Args:
        backend: The device; active whenever this is used, also when it is made.
        graphs: All of a model.
        mapped: Tensors that the CPU writes or reads. Where both share their memory these are never copied.
    """

    def __init__(
        self, backend: CudaBackend, graphs: Iterable[Graph], mapped: frozenset[str]
    ) -> None:
        self._backend = backend
        self.tensors = _joined(graphs)
        self._mapped = mapped if backend.facts.integrated else frozenset()
        self._host: dict[str, HostBuffer] = {}
        self._owned: list[int] = []
        self.addresses: dict[str, int] = {}
        try:
            self.addresses |= {name: self._address(name) for name in self.tensors}
        except BaseException:
            self.close()
            raise

    def array(self, name: str) -> Shaped[ndarray, "..."]:
        """Give the CPU's side of a tensor; whoever keeps it copies it."""
        tensor = self.tensors[name]
        return self._buffer(name).array.view(tensor.type).reshape(tensor.shape)

    def upload(self, name: str, stream: CudaStream) -> None:
        """Queue a tensor's way to the device; nothing to do where it is there already."""
        if name not in self._mapped:
            stream.upload(self.addresses[name], self._buffer(name).array)

    def download(self, name: str, stream: CudaStream) -> None:
        """Queue a tensor's way back."""
        if name not in self._mapped:
            stream.download(self._buffer(name).array, self.addresses[name])

    def close(self) -> None:
        """Free all of it; closing twice does no harm."""
        self._host.clear()
        while self._owned:
            self._backend.release(self._owned.pop())

    def _address(self, name: str) -> int:
        if name in self._mapped:
            pointer = self._buffer(name).pointer
            assert pointer is not None, "mapped memory has an address on the device"
            return pointer
        self._owned.append(self._backend.allocate(self.tensors[name].size))
        return self._owned[-1]

    def _buffer(self, name: str) -> HostBuffer:
        if name not in self._host:
            size = self.tensors[name].size
            self._host[name] = self._backend.host(size, mapped=name in self._mapped)
        return self._host[name]


def _joined(graphs: Iterable[Graph]) -> dict[str, Tensor]:
    """List every tensor once; what a graph gives must be what the next one takes: nothing converts it."""
    tensors: dict[str, Tensor] = {}
    for graph in graphs:
        for name, tensor in (graph.inputs | graph.outputs).items():
            if tensors.setdefault(name, tensor) != tensor:
                raise EngineError(
                    f"{graph.name}: has {name} as {tensor.type} {tensor.shape}, another graph as "
                    f"{tensors[name].type} {tensors[name].shape}; export the bundle again"
                )
    return tensors
