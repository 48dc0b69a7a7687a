"""Chains of matrix products as ONNX graphs, in float32 and in integers, to see how fast a CPU multiplies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the products: rows of the input, and the two widths between which they go."""

    rows: int = 1370
    narrow: int = 1024
    wide: int = 4096

    @property
    def operations(self) -> float:
        """Billions in one run."""
        return 4 * 2 * self.rows * self.narrow * self.wide / 1e9

    def weights(self) -> list[np.ndarray]:
        """Draw four matrices that keep the deviation of what goes through them."""
        random = np.random.default_rng(0)
        sizes = [(self.narrow, self.wide), (self.wide, self.narrow)] * 2
        return [(random.standard_normal(s) / s[0] ** 0.5).astype(np.float32) for s in sizes]

    def values(self) -> np.ndarray:
        """Draw the input."""
        drawn = np.random.default_rng(1).standard_normal((self.rows, self.narrow))
        return drawn.astype(np.float32)


class Graph:
    """An ONNX graph in the making: a chain that goes through `last`."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.last = "x"

    def constant(self, value: np.ndarray) -> str:
        """Add a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, *inputs: str) -> str:
        """Add an operator with one output."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name]))
        return name

    def save(self, path: Path, shape: Shape, kind: int = TensorProto.FLOAT) -> Path:
        """Write the chain from `x` to `last`."""
        ends = [
            helper.make_tensor_value_info(name, kind, (shape.rows, shape.narrow))
            for name in ("x", self.last)
        ]
        graph = helper.make_graph(self.nodes, "chain", ends[:1], ends[1:], self.constants)
        imports = [helper.make_opsetid("", 18)]
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
        return path


def rounded(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give int8 and the scale of each column."""
    scales = (np.abs(weights).max(axis=0) / 127).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales


def float_graph(path: Path, shape: Shape) -> Path:
    """Write the chain in float32."""
    graph = Graph()
    for weights in shape.weights():
        graph.last = graph.add("MatMul", graph.last, graph.constant(weights))
    return graph.save(path, shape)


def standard_graph(path: Path, shape: Shape) -> Path:
    """Write it as INT8 bundles hold it: Q and DQ around every input, DQ behind the weights."""
    graph = Graph()
    step = [graph.constant(np.array(4 / 127, np.float32)), graph.constant(np.array(0, np.int8))]
    for weights in shape.weights():
        integers, scales = rounded(weights)
        zeros = graph.constant(np.zeros(len(scales), np.int8))
        parts = [graph.constant(integers), graph.constant(scales), zeros]
        values = graph.add(
            "DequantizeLinear", graph.add("QuantizeLinear", graph.last, *step), *step
        )
        graph.last = graph.add("MatMul", values, graph.add("DequantizeLinear", *parts))
    return graph.save(path, shape)


def integer_graph(path: Path, shape: Shape) -> Path:
    """Write it for ONNX Runtime's integer kernels: unsigned values, signed weights, nothing between them."""
    graph = Graph()
    step = [graph.constant(np.array(4 / 127, np.float32)), graph.constant(np.array(128, np.uint8))]
    for weights in shape.weights():
        integers, scales = rounded(weights)
        zeros = graph.constant(np.zeros(len(scales), np.int8))
        parts = [graph.constant(integers), graph.constant(scales), zeros]
        graph.last = graph.add("QLinearMatMul", graph.last, *step, *parts, *step)
    return graph.save(path, shape, TensorProto.UINT8)
