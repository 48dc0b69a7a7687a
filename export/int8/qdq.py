"""Writes the INT8 encoder: integers and their scales in standard ONNX, the same file for every engine.

A linear layer `x W + b` becomes `DQ(Q(x)) DQ(W8) + b`: QuantizeLinear and DequantizeLinear around the input, W
as int8 behind a DequantizeLinear. Everything is symmetric with zero point 0, one scale for an input and one for
each column of W. Engines that know the pattern multiply integers, all others compute the same in float32. The
products of the attention, the norms, the patch embedding and all that follows the blocks stay float32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from jaxtyping import Float32, Int8
from numpy import ndarray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from vipx.errors import GateError
from vipx.export.encoder import Encoder
from vipx.export.int8.collection import linears_of
from vipx.export.onnx_file import ENCODER, EXTERNAL_DATA_BYTES, check_graph, write_graph
from vipx.ranges import LEVELS, Ranges

ZERO = "int8.zero"


@dataclass(frozen=True, slots=True)
class Weights:
    """A linear layer in integers.

    Attributes:
        name: Of the module.
        source: Of its input, as ranges name it.
        values: What the graph holds now, to be recognised.
        scale: Of the input.
    """

    name: str
    source: str
    values: Float32[ndarray, "inputs outputs"]
    scale: float

    def rounded(
        self,
    ) -> tuple[Int8[ndarray, "inputs outputs"], Float32[ndarray, "outputs"]]:
        """Give the integers, and the scale of each output."""
        most = np.abs(self.values).max(axis=0)
        scales = (np.where(most > 0, most, 1.0) / LEVELS).astype(np.float32)
        integers = np.rint(self.values / scales).clip(-LEVELS, LEVELS).astype(np.int8)
        return integers, scales


def write_int8_graph(
    encoder: Encoder, ranges: Ranges, samples: tuple[Tensor, ...], path: Path
) -> None:
    """Write a smoothed encoder with its linear layers in INT8.

    Args:
        encoder: Float32, with the divisors of the ranges folded in.
        ranges: Limits of its inputs.
        samples: Example inputs of batch 2.
        path: The `.onnx` file; a float32 graph stands beside it while this runs.

    Raises:
        GateError: torch's exporter or the ONNX checker made something else of a layer than was expected.
    """
    wide = path.with_name(f"wide-{path.name}")
    write_graph(encoder, samples, ENCODER, wide)
    model = onnx.load(wide)
    for file in (wide, wide.with_name(f"{wide.name}.data")):
        file.unlink(missing_ok=True)
    quantise(model, list(_weights(encoder, ranges)))
    save_graph(model, path)
    check_graph(path)


def save_graph(model: ModelProto, path: Path) -> None:
    """Write a graph; large weights go into `NAME.onnx.data` beside it, which as many users may read."""
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    data = path.with_name(f"{path.name}.data")
    external = size > EXTERNAL_DATA_BYTES
    onnx.save(model, path, save_as_external_data=external, location=data.name)
    if external:  # onnx lets its owner alone read it, and the line's server is another user
        data.chmod(path.stat().st_mode)


def _weights(encoder: Encoder, ranges: Ranges) -> Iterator[Weights]:
    for linear in linears_of(encoder):
        scale = ranges.inputs[linear.source].limit / LEVELS
        yield Weights(linear.name, linear.source, linear.layer.weight.numpy().T, scale)


def quantise(model: ModelProto, layers: Sequence[Weights]) -> None:
    """Put integers in place of the layers' weights, in place.

    Raises:
        GateError: A layer is not found in the graph, in order.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    rewriting, waiting = _Rewriting(), list(reversed(layers))
    for node in graph.node:
        if waiting and _is_layer(node, constants, waiting[-1]):
            rewriting.quantise(node, waiting.pop())
        rewriting.nodes.append(node)
    if waiting:
        raise GateError(
            f"int8: torch's exporter wrote {waiting[-1].name} in a form that is unknown"
        )
    used = {name for node in rewriting.nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(rewriting.nodes)
    graph.initializer.extend([*kept, *rewriting.constants.values()])


def _is_layer(node: NodeProto, constants: dict[str, TensorProto], layer: Weights) -> bool:
    """Compare the weights themselves: the exporter renames them and merges equal ones."""
    if node.op_type != "MatMul" or node.input[1] not in constants:
        return False
    tensor = constants[node.input[1]]
    shapes_agree = tuple(tensor.dims) == layer.values.shape
    return shapes_agree and np.array_equal(numpy_helper.to_array(tensor), layer.values)


@dataclass(slots=True)
class _Rewriting:
    """Nodes and constants of the new graph."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def quantise(self, node: NodeProto, layer: Weights) -> None:
        """Put Q and DQ before both inputs of a node; layers with one input share its Q and DQ."""
        self._constant(ZERO, np.zeros((), np.int8))
        if f"{layer.source}.scale" not in self.constants:
            self._constant(f"{layer.source}.scale", np.array(layer.scale, np.float32))
            scale = [f"{layer.source}.scale", ZERO]
            integers, floats = f"{layer.source}.int8", f"{layer.source}.rounded"
            self._add("QuantizeLinear", [node.input[0], *scale], integers)
            self._add("DequantizeLinear", [integers, *scale], floats)
        node.input[0] = f"{layer.source}.rounded"
        values, scales = layer.rounded()
        self._constant(f"{layer.name}.weight.int8", values)
        self._constant(f"{layer.name}.weight.scale", scales)
        self._constant(f"{layer.name}.weight.zero", np.zeros(scales.shape, np.int8))
        parts = [f"{layer.name}.weight.{part}" for part in ("int8", "scale", "zero")]
        self._add("DequantizeLinear", parts, f"{layer.name}.weight.rounded", axis=1)
        node.input[1] = f"{layer.name}.weight.rounded"

    def _constant(self, name: str, value: ndarray) -> None:
        self.constants[name] = numpy_helper.from_array(value, name)

    def _add(self, kind: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        name = f"{output}/{kind}"
        node = helper.make_node(kind, inputs, [output], name=name)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self.nodes.append(node)
