"""One module to one ONNX file, checked."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from vipx.errors import GateError

OPSET = 18
# Above this size weights go to NAME.onnx.data beside the graph: protobuf ends at 2 GiB, and an engine maps the
# file instead of holding it twice while it loads.
EXTERNAL_DATA_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class GraphInterface:
    """Names of a graph's tensors, in the order of its module's arguments and results."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


ENCODER = GraphInterface(("image",), ("global_feature", "patch_features"))
PROMPTS = GraphInterface(("global_feature",), ("text_embeddings",))
HEADS_OUTPUTS = ("score", "patch_map", "anomaly_map")


def write_graph(
    module: nn.Module, samples: tuple[Tensor, ...], interface: GraphInterface, path: Path
) -> None:
    """Export a module with a dynamic batch, and check the file.

    Args:
        module: In eval mode.
        samples: Example inputs of batch 2; with 1 the exporter would make the batch a constant.
        interface: Names of inputs and outputs.
        path: The `.onnx` file.

    Raises:
        GateError: The exporter wrote a graph that the ONNX checker refuses.
    """
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the exporter's own deprecations; the checker judges the result
        program = torch.onnx.export(
            module.eval(),
            samples,
            input_names=interface.inputs,
            output_names=interface.outputs,
            dynamic_shapes=tuple({0: torch.export.Dim("batch", min=1)} for _ in samples),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise GateError(f"{path.name}: torch's exporter gave no graph")
    program.save(path, external_data=size > EXTERNAL_DATA_BYTES)
    check_graph(path)


def check_graph(path: Path) -> None:
    """Let ONNX's own checker read a file, with shape inference.

    Raises:
        GateError: It refuses the graph.
    """
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"{path.name}: the ONNX checker refuses the graph: {error}") from error
