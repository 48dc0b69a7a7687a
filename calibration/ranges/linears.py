"""Finds the linear layers of a vision tower's blocks in its encoder's graph, by what feeds what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from vipx.errors import BundleError
from vipx.manifest import BackboneRecord
from vipx.onnx_graph import Constant, OnnxGraph, read_graph
from vipx.ranges import PARTS, input_names

FLOAT = 1  # TensorProto.DataType


@dataclass(frozen=True, slots=True)
class LinearInput:
    """One input of linear layers.

    Attributes:
        name: Of `input_names`.
        tensor: What the graph calls it.
        weights: Of the layers that read it, each [channels, outputs].
    """

    name: str
    tensor: str
    weights: tuple[Constant, ...]

    @property
    def part(self) -> str:
        """Name its place in the block, one of `PARTS`."""
        return self.name.rsplit(".", 1)[1]

    @property
    def channels(self) -> int:
        """Count its channels."""
        return self.weights[0].shape[0]

    def most(self) -> Float32[ndarray, "channels"]:
        """Give the largest magnitude of the weights that read each channel.

        Raises:
            BundleError: A weight is not stored as plain float32.
        """
        mapped = (constant.values() for constant in self.weights)
        found = [np.maximum(each.max(axis=1), -each.min(axis=1)) for each in mapped]
        return np.asarray(np.maximum.reduce(found), np.float32)


@dataclass(slots=True)
class _Product:
    """What reads one tensor by constant matrices: their names, products, and the products before them."""

    tensor: str
    before: frozenset[str]
    weights: list[Constant] = field(default_factory=list)
    products: list[str] = field(default_factory=list)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [constant.shape for constant in self.weights]


def linear_inputs(path: Path, backbone: BackboneRecord) -> tuple[LinearInput, ...]:
    """Find the inputs of the linear layers of all blocks, in the order of `input_names`.

    A block is four tensors that constant matrices read: three of them the first, whose products alone feed the
    second (attention), and one of them each of the others, where the third's product alone feeds the fourth.
    Other matrices (a camera's resize before the blocks, projections of features behind some) are passed over.

    Args:
        path: The float32 encoder.
        backbone: Says how many blocks there are, and how wide they are.

    Raises:
        BundleError: The graph is not well formed, or not of such blocks.
    """
    blocks = list(_blocks(list(_products(read_graph(path)).values()), backbone.vision_width))
    if len(blocks) != backbone.vision_layers:
        raise BundleError(
            f"{path}: {len(blocks)} of the {backbone.vision_layers} blocks of its vision tower were "
            "understood; ranges need all of them, export the bundle again with this vipx"
        )
    found = (product for block in blocks for product in block)
    return tuple(
        LinearInput(name, product.tensor, tuple(product.weights))
        for name, product in zip(input_names(len(blocks)), found, strict=True)
    )


def _products(graph: OnnxGraph) -> Mapping[str, _Product]:
    """Group the products with constant matrices by the tensor that they read, in the graph's order."""
    found: dict[str, _Product] = {}
    before: dict[str, frozenset[str]] = {}  # tensor -> products that reach it through no other
    for node in graph.nodes:
        matrix = graph.constants.get(node.inputs[1]) if len(node.inputs) == 2 else None
        if node.operator == "MatMul" and matrix is not None and matrix.type == FLOAT:
            tensor, product = node.inputs[0], node.outputs[0]
            source = found.setdefault(tensor, _Product(tensor, before.get(tensor, frozenset())))
            source.weights.append(matrix)
            source.products.append(product)
            before[product] = frozenset({product})
            continue
        reached = frozenset[str]().union(*(before.get(name, ()) for name in node.inputs))
        before |= dict.fromkeys(node.outputs, reached)
    return found


def _blocks(products: Sequence[_Product], width: int) -> Iterator[Sequence[_Product]]:
    """Give the four inputs of each block."""
    for start in range(len(products)):
        block = products[start : start + len(PARTS)]
        if len(block) == len(PARTS) and _is_block(block, width):
            yield block


def _is_block(block: Sequence[_Product], width: int) -> bool:
    attention, output, up, down = block
    square, hidden = (width, width), up.shapes[0][-1]
    return (
        attention.shapes == [square] * 3
        and output.shapes == [square]
        and up.shapes == [(width, hidden)]
        and down.shapes == [(hidden, width)]
        and output.before == set(attention.products)
        and set(output.products) <= up.before
        and down.before == set(up.products)
    )
