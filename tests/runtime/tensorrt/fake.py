"""A fake TensorRT with the names of one real version and no other; its plans are computed by ONNX Runtime.

Every class is cut down to what the inventory of that version names: a name that it lacks raises AttributeError,
read or written, exactly as in the real bindings. Plans hold the graph, so that the numbers are real.
"""

import enum
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.runtime.cuda.device import FakeDevice

API = Path(__file__).with_name("api")
VERSIONS = ("10.3", "10.13", "10.16", "11.4")
MAGIC = b"FAKEPLAN"


@dataclass
class Behaviour:
    """What goes wrong, and what happened.

    Attributes:
        refuse_strong: Strongly typed encoders cannot be parsed.
        fail: What the builder logs before it gives nothing.
        spoil: Added to every score that a plan gives; `nan` too.
        spoil_strong: The same, of plans from strongly typed networks alone.
        during: Called at every step of a build.
        builds: Graphs that were built.
        loads: Plans that were deserialised.
    """

    refuse_strong: bool = False
    fail: str = ""
    spoil: float = 0.0
    spoil_strong: float = 0.0
    during: Callable[[str], None] = lambda _: None
    builds: list[str] = field(default_factory=list)
    loads: int = 0
    runs: list[str] = field(default_factory=list)


def inventory(version: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((API / f"{version}.json").read_text())
    return record


def fake_tensorrt(
    version: str, device: FakeDevice, behaviour: Behaviour | None = None
) -> ModuleType:
    api = inventory(version)
    module = ModuleType("tensorrt")
    setattr(module, "__version__", api["version"])  # noqa: B010 - mypy knows no such attribute
    make_enum: Any = _Symbol  # called with a name and members, an enum makes another
    for name, members in api["enums"].items():
        setattr(module, name, make_enum(name, members))
    shared = _Shared(module, device, behaviour or Behaviour(), api["version"])
    for name, implementation in _IMPLEMENTED.items():
        kind = _cut(name, implementation, api["classes"][name], shared)
        shared.classes[name] = kind
        setattr(module, name, kind)
    return module


class _Symbol(enum.Enum):
    """Members are no integers, as in the bindings: only int() makes one of them."""

    def __int__(self) -> int:
        return int(self.value)


@dataclass
class _Shared:
    module: ModuleType
    device: FakeDevice
    behaviour: Behaviour
    version: str
    classes: dict[str, Any] = field(default_factory=dict)

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def ready(self) -> None:
        assert self.device.probed, "TensorRT without cuInit before ends the interpreter"

    def current(self) -> None:
        self.ready()
        assert any(current() for current in self.device.contexts), "no current CUDA context"


def _cut(name: str, implementation: type, names: list[str], shared: _Shared) -> type:
    """Take from an implementation what a version has; refuse every other attribute, also when written."""
    own = {n: v for n, v in vars(implementation).items() if n[0] == "_" or n in names}
    own.pop("__dict__", None)
    own.pop("__weakref__", None)

    def refuse(self: Any, attribute: str, value: Any) -> None:
        # A class that Python derives from a bound one may hold anything.
        if type(self) is kind and attribute[0] != "_" and attribute not in names:
            raise AttributeError(f"{name} of {shared.version} has no {attribute}")
        object.__setattr__(self, attribute, value)

    kind = type(name, implementation.__bases__, own | {"__setattr__": refuse, "_shared": shared})
    return kind


class _ILogger:
    ERROR, INTERNAL_ERROR, WARNING = "ERROR", "INTERNAL_ERROR", "WARNING"

    def log(self, severity: Any, message: str) -> None:
        # What pybind11 raises where a class of Python's does not override the C++ method.
        raise RuntimeError('Tried to call pure virtual function "ILogger::log"')


class _IProgressMonitor:
    def phase_start(self, phase: str, parent: str, steps: int) -> None: ...
    def step_complete(self, phase: str, step: int) -> bool: ...  # type: ignore[empty-body]
    def phase_finish(self, phase: str) -> None: ...


class _IHostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


class _ITimingCache:
    _content = b""

    def serialize(self) -> Any:
        return self._shared.classes["IHostMemory"](self._content + b"measured;")  # type: ignore[attr-defined]


class _IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        assert least == best == most, "a pinned batch"
        self._shapes[name] = tuple(best)


class _IBuilderConfig:
    def __init__(self) -> None:
        self._profiles: list[Any] = []
        self._flags: set[Any] = {self._shared.module.BuilderFlag.TF32}  # type: ignore[attr-defined]
        self._limits: dict[Any, int] = {}
        self._timings: Any = None

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._limits[pool] = size

    def set_flag(self, flag: Any) -> None:
        assert isinstance(flag, _Symbol)
        self._flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag)

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile)
        return 0

    def create_timing_cache(self, content: bytes) -> Any:
        cache = self._shared.classes["ITimingCache"]()  # type: ignore[attr-defined]
        cache._content = bytes(content)
        return cache

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self._timings = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._timings


class _ITensor:
    name = ""
    shape: tuple[int, ...] = ()


class _ILayer:
    type: Any = None
    num_outputs = 1
    precision: Any = None

    def set_output_type(self, index: int, kind: Any) -> None:
        self._type = kind


class _INetworkDefinition:
    _graph: Any = None
    _path = ""
    _strong = True
    _layers: list[Any] = []  # noqa: RUF012 - replaced when a graph is parsed

    @property
    def num_inputs(self) -> int:
        return len(self._graph.input)

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    def get_layer(self, index: int) -> Any:
        return self._layers[index]

    def get_input(self, index: int) -> Any:
        value = self._graph.input[index]
        tensor = self._shared.classes["ITensor"]()  # type: ignore[attr-defined]
        tensor.name = value.name
        tensor.shape = tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim)
        return tensor


class _OnnxParser:
    def __init__(self, network: Any, logger: Any) -> None:
        self._network, self._logger = network, logger

    def parse_from_file(self, path: str) -> bool:
        shared: _Shared = self._shared  # type: ignore[attr-defined]
        network = self._network
        if shared.behaviour.refuse_strong and network._strong and "encoder" in Path(path).name:
            self._logger.log("ERROR", "mixed types are not supported")
            return False
        network._graph, network._path = onnx.load(path).graph, path
        kinds = shared.module.LayerType
        known = {"LayerNormalization": kinds.NORMALIZATION, "ReduceL2": kinds.REDUCE}
        network._layers = []
        for node in network._graph.node:
            layer = shared.classes["ILayer"]()
            layer.type = known.get(node.op_type, kinds.ELEMENTWISE)
            network._layers.append(layer)
        return True


class _Builder:
    def __init__(self, logger: Any) -> None:
        self._shared.ready()  # type: ignore[attr-defined]
        self._logger = logger

    def create_network(self, flags: int = 0) -> Any:
        shared: _Shared = self._shared  # type: ignore[attr-defined]
        strong = 1 << int(shared.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        assert flags in ((0,) if shared.major >= 11 else (0, strong)), "a flag of another version"
        network = shared.classes["INetworkDefinition"]()
        network._strong = shared.major >= 11 or flags == strong
        return network

    def create_builder_config(self) -> Any:
        return self._shared.classes["IBuilderConfig"]()  # type: ignore[attr-defined]

    def create_optimization_profile(self) -> Any:
        return self._shared.classes["IOptimizationProfile"]()  # type: ignore[attr-defined]

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        shared: _Shared = self._shared  # type: ignore[attr-defined]
        (profile,) = config._profiles
        names = [value.name for value in network._graph.input]
        assert set(profile._shapes) == set(names), "every input has a shape"
        assert config._limits[shared.module.MemoryPoolType.WORKSPACE] > 0
        assert config._timings is not None
        assert shared.module.BuilderFlag.TF32 not in config._flags
        if not self._steps(shared, Path(network._path).stem, config.progress_monitor):
            return None
        if shared.behaviour.fail:
            self._logger.log("ERROR", shared.behaviour.fail)
            return None
        if not network._strong:
            _check_weak(shared.module, network, config)
        shared.behaviour.builds.append(Path(network._path).stem)
        return shared.classes["IHostMemory"](_plan(shared, network, profile))

    @staticmethod
    def _steps(shared: _Shared, graph: str, monitor: Any) -> bool:
        monitor.phase_start("Building Engine", "", 3)
        for step in range(3):
            shared.behaviour.during(graph)
            if not monitor.step_complete("Building Engine", step):
                return False
        monitor.phase_finish("Building Engine")
        return True


def _check_weak(module: Any, network: Any, config: Any) -> None:
    assert {module.BuilderFlag.FP16, module.BuilderFlag.OBEY_PRECISION_CONSTRAINTS} <= config._flags
    exact = [layer for layer in network._layers if layer.type is module.LayerType.NORMALIZATION]
    assert exact
    assert all(layer.precision is module.DataType.FLOAT for layer in exact)
    assert all(layer._type is module.DataType.FLOAT for layer in exact)


def _plan(shared: _Shared, network: Any, profile: Any) -> bytes:
    behaviour = shared.behaviour
    header = {
        "version": shared.version,
        "gpu": shared.device.name,
        "shapes": profile._shapes,
        "spoil": behaviour.spoil or (behaviour.spoil_strong if network._strong else 0.0),
        "mha": sum(node.op_type == "Softmax" for node in network._graph.node),
        "name": Path(network._path).stem,
    }
    text = json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(4, "little") + text + Path(network._path).read_bytes()


class _Runtime:
    engine_host_code_allowed = False

    def __init__(self, logger: Any) -> None:
        self._shared.current()  # type: ignore[attr-defined]
        self._logger = logger

    def deserialize_cuda_engine(self, plan: Any) -> Any:
        shared: _Shared = self._shared  # type: ignore[attr-defined]
        shared.current()
        assert self.engine_host_code_allowed is False, "host code is never allowed"
        shared.behaviour.loads += 1
        content = bytes(plan)
        if not content.startswith(MAGIC):
            self._logger.log("ERROR", "Magic tag does not match")
            return None
        size = int.from_bytes(content[8:12], "little")
        header = json.loads(content[12 : 12 + size])
        if (header["version"], header["gpu"]) != (shared.version, shared.device.name):
            self._logger.log("ERROR", "Version tag does not match")
            return None
        engine = shared.classes["ICudaEngine"]()
        engine._header, engine._logger = header, self._logger
        engine._session = _session(content[12 + size :])
        return engine


@functools.lru_cache(maxsize=16)
def _session(graph: bytes) -> onnxruntime.InferenceSession:
    """Prepare a graph once for all tests: a session keeps nothing of its runs."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])


class _ICudaEngine:
    _header: Any = None
    _session: Any = None
    _logger: Any = None

    def _values(self) -> list[Any]:
        return [*self._session.get_inputs(), *self._session.get_outputs()]

    def _value(self, name: str) -> Any:
        return next(value for value in self._values() if value.name == name)

    @property
    def num_io_tensors(self) -> int:
        return len(self._values())

    def get_tensor_name(self, index: int) -> str:
        return str(self._values()[index].name)

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._shared.module.TensorIOMode  # type: ignore[attr-defined]
        is_input = name in [value.name for value in self._session.get_inputs()]
        return modes.INPUT if is_input else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        kinds = self._shared.module.DataType  # type: ignore[attr-defined]
        known = {"tensor(uint8)": kinds.UINT8, "tensor(float)": kinds.FLOAT}
        return known[self._value(name).type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else -1 for n in self._value(name).shape)

    def create_execution_context(self) -> Any:
        context = self._shared.classes["IExecutionContext"]()  # type: ignore[attr-defined]
        context._engine = self
        return context

    def create_engine_inspector(self) -> Any:
        inspector = self._shared.classes["EngineInspector"]()  # type: ignore[attr-defined]
        inspector._header = self._header
        return inspector


class _EngineInspector:
    _header: Any = None

    def get_engine_information(self, form: Any) -> str:
        assert form is self._shared.module.LayerInformationFormat.JSON  # type: ignore[attr-defined]
        return json.dumps({"Layers": [{"Name": "_gemm_mha_v2"}] * self._header["mha"]})


class _IExecutionContext:
    def __init__(self) -> None:
        self._engine: Any = None
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._warm = False

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self._shapes[name] = tuple(shape)
        return list(shape) == self._engine._header["shapes"][name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        batch = next(iter(self._engine._header["shapes"].values()))[0]
        return tuple(batch if n == -1 else n for n in self._engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert type(address) is int
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        shared: _Shared = self._shared  # type: ignore[attr-defined]
        shared.current()
        assert type(stream) is int
        fake = shared.device.streams[stream]
        if fake.captured is not None and not self._warm:
            self._engine._logger.log("ERROR", "operation not permitted when stream is capturing")
            return False
        self._warm = True
        fake.put(self._compute)
        return True

    def _compute(self) -> None:
        shared: _Shared = self._shared  # type: ignore[attr-defined]
        session, header = self._engine._session, self._engine._header
        shared.behaviour.runs.append(header["name"])
        inputs = {value.name: self._array(value) for value in session.get_inputs()}
        for value, result in zip(session.get_outputs(), session.run(None, inputs), strict=True):
            spoil = header["spoil"] if value.name == "global_feature" else 0.0
            self._array(value)[...] = result + np.float32(spoil)

    def _array(self, value: Any) -> Any:
        shape = self.get_tensor_shape(value.name)
        kind = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[value.type]
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        memory = self._shared.device.view(self._addresses[value.name], size)  # type: ignore[attr-defined]
        return np.frombuffer(memory, kind).reshape(shape)


_IMPLEMENTED: dict[str, type] = {
    "Builder": _Builder,
    "EngineInspector": _EngineInspector,
    "IBuilderConfig": _IBuilderConfig,
    "ICudaEngine": _ICudaEngine,
    "IExecutionContext": _IExecutionContext,
    "IHostMemory": _IHostMemory,
    "ILayer": _ILayer,
    "ILogger": _ILogger,
    "INetworkDefinition": _INetworkDefinition,
    "IOptimizationProfile": _IOptimizationProfile,
    "IProgressMonitor": _IProgressMonitor,
    "ITensor": _ITensor,
    "ITimingCache": _ITimingCache,
    "OnnxParser": _OnnxParser,
    "Runtime": _Runtime,
}
