"""Runs a bundle's plans on an NVIDIA GPU, from one buffer to the next without a copy between them."""

from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from time import perf_counter

from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError
from vipx.runtime.cuda.backend import CudaBackend, CudaEvent, CudaGraph
from vipx.runtime.cuda.choice import open_backend
from vipx.runtime.engines.engine import (
    ANSWER,
    BUILD_SECONDS,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
    StageTimes,
)
from vipx.runtime.engines.tensorrt.cache import CompiledPlan
from vipx.runtime.engines.tensorrt.graph import Graph, Memory
from vipx.runtime.engines.tensorrt.key import Environment, Role, environment_of
from vipx.runtime.engines.tensorrt.library import load_tensorrt
from vipx.runtime.engines.tensorrt.stored import stored_plans

# Where plans come from: the ones that passed, or the ones that are about to be judged.
Plans = Callable[[Model, Environment, int], Mapping[Role, CompiledPlan]]


class TensorRtEngine:
    """The plans of a model for one batch, with their buffers; smaller batches are padded.

    With a backend that has graphs, the launches of all plans are captured once and replayed as one.

    Raises:
        EngineError: There is no GPU, TensorRT or CUDA binding, or no plan was built for this bundle here.
        ResourceError: The GPU's memory is too small.
    """

    def __init__(self, model: Model, options: EngineOptions, plans: Plans = stored_plans) -> None:
        if options.device not in (None, "cuda"):
            raise EngineError("TensorRT needs --device cuda")
        if options.arithmetic != "f32":
            raise EngineError("TensorRT has no --arithmetic bf16; OpenVINO has")
        # The backend first: it asks the driver, and without a driver TensorRT takes the interpreter down.
        backend = open_backend(options.cuda_backend)
        self._backend: CudaBackend | None = backend
        self._model, self._options = model, options
        self._captured: dict[int, CudaGraph] = {}
        self._graphs: list[Graph] = []
        self._memory: Memory | None = None
        try:
            with backend.active():
                self._open(backend, plans)
        except BaseException:
            self.close()
            raise

    def _open(self, backend: CudaBackend, plans: Plans) -> None:
        library, batch = load_tensorrt(), self._options.batch
        self._version = str(library.__version__)
        compiled = plans(self._model, environment_of(library, backend.facts), batch)
        self._build_seconds = sum(plan.seconds for plan in compiled.values())
        for role, plan in compiled.items():
            name = f"{self._model.name} ({role})"
            self._graphs.append(Graph(library, name, plan.content, batch))
        self._memory = Memory(backend, self._graphs, frozenset(("image", *ANSWER)))
        for graph in self._graphs:
            graph.bind(self._memory.addresses)
        self._stream = backend.stream()
        if self._model.texts is not None:
            self._memory.array("text_embeddings")[:] = self._model.texts
            self._memory.upload("text_embeddings", self._stream)
            self._stream.wait()

    @property
    def description(self) -> EngineDescription:
        """Say what runs here."""
        backend = self._opened()[0]
        return EngineDescription(
            engine="tensorrt",
            version=self._version,
            device="cuda",
            precision=self._model.precision,
            detail={
                "GPU": backend.facts.name,
                "batch": str(self._options.batch),
                "through": backend.name,
                "CUDA graph": "on" if self._replays else "off",
                BUILD_SECONDS: f"{self._build_seconds:.1f}",
            },
        )

    @property
    def fused_attention(self) -> int | None:
        """Count the encoder's layers that are one kernel of attention; None where TensorRT does not tell."""
        backend, _ = self._opened()
        with backend.active():
            return self._graphs[0].fused_attention()

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output] = ANSWER
    ) -> EngineRun:
        """Run on at most as many RGB images as the plans are for; only what is wanted is brought back."""
        backend, memory = self._opened()
        count, depth = self._checked(images), self._depth(wanted)
        with backend.active():
            began = perf_counter()
            image = memory.array("image")
            image[:count] = images
            image[count:] = 0
            filled = perf_counter()
            spans = self._launch(depth, memory, wanted)
            ended = perf_counter()
            arrays: dict[str, ndarray] = {
                name: memory.array(name)[:count].copy() for name in wanted
            }
        spans[0] += 1000 * (filled - began)
        spans[-1] += 1000 * (perf_counter() - ended)
        return EngineRun(arrays, StageTimes(*spans))

    def _launch(self, depth: int, memory: Memory, wanted: Collection[Output]) -> list[float]:
        """Run everything; give the milliseconds of the five stages."""
        stream = self._stream
        marks = [stream.mark()]
        memory.upload("image", stream)
        marks.append(stream.mark())
        if self._replays:
            self._graph(depth).launch()
            # Within a graph no stage can be told from the next: all of it counts as the encoder's.
            marks += [stream.mark()] * 3
        else:
            marks += self._enqueue(depth)
        for name in wanted:
            memory.download(name, stream)
        marks.append(stream.mark())
        stream.wait()
        return [end.since(start) for start, end in pairwise(marks)]

    def _enqueue(self, depth: int) -> list[CudaEvent]:
        """Queue the first plans one by one; give a mark behind encoder, prompts and heads."""
        encoder, *prompts, heads = self._graphs
        marks = []
        for graphs in ([encoder], prompts, [heads]):
            for graph in graphs:
                if self._graphs.index(graph) < depth:
                    graph.enqueue(self._stream)
            marks.append(self._stream.mark())
        return marks

    def _graph(self, depth: int) -> CudaGraph:
        """Give the first plans as one CUDA graph, captured when first wanted."""
        if depth not in self._captured:
            # TensorRT allocates and chooses on the first run, which must not happen within a capture.
            self._enqueue_plainly(depth)
            self._stream.wait()
            self._captured[depth] = self._stream.capture(lambda: self._enqueue_plainly(depth))
        return self._captured[depth]

    def _enqueue_plainly(self, depth: int) -> None:
        for graph in self._graphs[:depth]:
            graph.enqueue(self._stream)

    @property
    def _replays(self) -> bool:
        backend, _ = self._opened()
        return self._options.cuda_graph and backend.graphs

    def _depth(self, wanted: Collection[Output]) -> int:
        """Count the plans that must run for what is wanted."""
        givers = [i for i, g in enumerate(self._graphs, 1) if set(g.outputs) & set(wanted)]
        return max(givers, default=1)

    def _checked(self, images: UInt8[ndarray, "batch height width 3"]) -> int:
        largest, height, width, _ = self._opened()[1].tensors["image"].shape
        count, *size, _ = images.shape
        if not 1 <= count <= largest:
            raise EngineError(
                f"{self._model.name}: got a batch of {count}, the engine runs 1 to {largest}; build a "
                "larger one with `vipx build --batch`"
            )
        if size != [height, width]:
            raise EngineError(f"{self._model.name}: expected {height} x {width} pixels, got {size}")
        return int(count)

    def close(self) -> None:
        """Free graphs, plans and memory, in this order; closing twice does no harm."""
        if self._backend is None:
            return
        with self._backend.active():
            self._captured.clear()
            self._graphs.clear()
            if self._memory is not None:
                self._memory.close()
            self._memory = None
            if hasattr(self, "_stream"):
                del self._stream
        self._backend.close()
        self._backend = None

    def _opened(self) -> tuple[CudaBackend, Memory]:
        if self._backend is None or self._memory is None:
            raise EngineError(f"{self._model.name}: this engine was closed; open the bundle again")
        return self._backend, self._memory
