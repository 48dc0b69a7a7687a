"""ONNX Runtime, on the CPU or with the CUDA provider."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from numpy import ndarray

from vipx.errors import EngineError
from vipx.runtime.engines.engine import Device, EngineOptions, Tensors

if TYPE_CHECKING:
    import onnxruntime

_PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeEngine:
    """One session of ONNX Runtime.

    Raises:
        EngineError: ONNX Runtime is not installed, the device is not there, or the graph is refused.
    """

    def __init__(self, graph: Path, options: EngineOptions) -> None:
        runtime = load_onnxruntime()
        provider = _PROVIDERS[options.device]
        _check_available(runtime, provider, options.device)
        self._graph = graph
        session = _session(runtime, graph, provider, options)
        # ONNX Runtime falls back to the CPU with no more than a log line when CUDA does not start.
        if session.get_providers()[0] != provider:
            raise EngineError(
                f"{graph.name}: {provider} did not start; check the driver and CUDA libraries with "
                "`vipx doctor`, or pass --device cpu"
            )
        self._inputs = tuple(tensor.name for tensor in session.get_inputs())
        self._outputs = tuple(tensor.name for tensor in session.get_outputs())
        self._session: onnxruntime.InferenceSession | None = session

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
        return self._outputs

    def run(self, feeds: Tensors) -> dict[str, ndarray]:
        """Run the graph on arrays by input name; the results belong to the caller."""
        if self._session is None:
            raise EngineError(f"{self._graph.name}: this engine was closed; open the bundle again")
        try:
            results = self._session.run(None, dict(feeds))
        except Exception as error:
            # onnxruntime's exception types are not public.
            reason = " ".join(str(error).split())[:200]
            raise EngineError(f"{self._graph.name}: ONNX Runtime failed: {reason}") from error
        return dict(zip(self._outputs, results, strict=True))

    def close(self) -> None:
        """Free the session; closing twice does no harm."""
        self._session = None


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime, or say how to get it.

    Raises:
        EngineError: It is not installed or its libraries do not load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            f"ONNX Runtime cannot be used ({error}); install it: pip install 'vipx[cpu]' (or [gpu])"
        ) from error
    return onnxruntime


def _check_available(runtime: ModuleType, provider: str, device: Device) -> None:
    if provider not in runtime.get_available_providers():
        raise EngineError(
            f"--device {device}: this ONNX Runtime {runtime.__version__} has no {provider}; "
            "install it with: pip uninstall onnxruntime && pip install 'vipx[gpu]'"
        )


def _session(
    runtime: ModuleType, graph: Path, provider: str, options: EngineOptions
) -> "onnxruntime.InferenceSession":
    settings = runtime.SessionOptions()
    settings.log_severity_level = 3  # errors only: stdout and stderr belong to the caller
    if options.threads is not None:
        settings.intra_op_num_threads = options.threads
    provider_options: dict[str, str] = {}
    if options.device == "cuda":
        # The CUDA and cuDNN wheels lie outside the loader's path.
        if hasattr(runtime, "preload_dlls"):
            runtime.preload_dlls()
        # TF32 has 10 bits of mantissa: with it fp32 bundles would miss their parity bounds.
        provider_options["use_tf32"] = "0"
    try:
        return runtime.InferenceSession(graph, settings, providers=[(provider, provider_options)])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise EngineError(f"{graph.name}: ONNX Runtime refuses the graph: {reason}") from error
