"""Writes an encoder once more, in ONNX Runtime's own operators for the CPU; the same numbers and weights.

Its optimiser leaves things of the standard graph undone. Attention is several operators that take the logits of
all heads through memory: here it is `MultiHeadAttention`. In INT8, three products that read one input stay
float32, and the bias behind an integer product stays a pass of its own: here a product is
`MatMulIntegerToFloat` with its bias. Activations are uint8 around 128 in place of int8 around 0, which gives
the same integers after subtraction: the CPU's kernels multiply unsigned by signed.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from vipx.bundle import onnxruntime_form_of
from vipx.errors import GateError
from vipx.export.int8.qdq import ZERO

DOMAIN = "com.microsoft"
_OFFSET = "int8.offset"
_ATTENTION = [
    "MatMul",
    "Softmax",
    "MatMul",
    *["Transpose"] * 3,
    *["Reshape"] * 3,
    "Transpose",
    "Reshape",
]


def write_onnxruntime_form(path: Path, *, heads: int) -> Path:
    """Write ONNX Runtime's form of an encoder beside it; large weights stay in the standard graph's file.

    Args:
        path: An encoder in float32 or INT8, as the exporter wrote it.
        heads: Of every attention.

    Raises:
        GateError: The graph is not what the exporter is known to write.
    """
    model = onnx.load(path, load_external_data=False)
    rewrite(model, heads=heads)
    form = path.with_name(onnxruntime_form_of(path.name))
    onnx.save(model, form)
    return form


def rewrite(model: ModelProto, *, heads: int) -> None:
    """Rewrite a graph in place."""
    graph = _Graph(model.graph)
    for node in list(model.graph.node):
        if node.op_type == "MatMul" and graph.is_rounded(node.input[1]):
            graph.replace_product(node)
        if node.op_type == "Softmax":
            graph.replace_attention(node, heads)
    graph.put_back(offset=any(graph.is_rounded(name) for name in graph.makers))
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


@dataclass(slots=True)
class _Graph:
    """A graph with its edges, and what will stand in place of some nodes.

    Attributes:
        proto: The message.
        makers: Node that gives each tensor.
        readers: Nodes that read each tensor.
        removed: Outputs of the nodes that go.
        added: What stands where the node with this output stood.
    """

    proto: GraphProto
    makers: dict[str, NodeProto] = field(default_factory=dict)
    readers: dict[str, list[NodeProto]] = field(default_factory=lambda: defaultdict(list))
    removed: set[str] = field(default_factory=set)
    added: dict[str, NodeProto] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.proto.node:
            self.makers[node.output[0]] = node
            for name in node.input:
                self.readers[name].append(node)

    def is_rounded(self, name: str) -> bool:
        """Tell whether a tensor comes from integers."""
        return name in self.makers and self.makers[name].op_type == "DequantizeLinear"

    def replace_product(self, product: NodeProto) -> None:
        """Put one operator in place of two DequantizeLinear, a MatMul and the bias."""
        values, weights = (self.makers[name] for name in product.input)
        integers, scale, _ = values.input
        self.makers[integers].input[2] = _OFFSET
        inputs = [integers, weights.input[0], scale, weights.input[1], _OFFSET, ""]
        bias = self._bias_of(product)
        if bias is not None:
            inputs.append(next(name for name in bias.input if name != product.output[0]))
        output = (product if bias is None else bias).output[0]
        self._remove([values, weights, product])
        self._add("MatMulIntegerToFloat", inputs, output)

    def replace_attention(self, softmax: NodeProto, heads: int) -> None:
        """Put one operator in place of what stands between the three projections and the output's."""
        logits = self.makers[softmax.input[0]]
        mix = self._only_reader(softmax)
        parts = [*logits.input, mix.input[1]]  # each is Transpose(Reshape(projection))
        transposed = [self.makers[name] for name in parts]
        split = [self.makers[node.input[0]] for node in transposed]
        back = self._only_reader(mix)
        merged = self._only_reader(back)
        inner = [logits, softmax, mix, *transposed, *split, back]
        kinds = [node.op_type for node in [*inner, merged]]
        if kinds != _ATTENTION:
            raise GateError(f"the encoder has an attention of unknown form: {kinds}")
        self._remove(inner)
        projections = [node.input[0] for node in split]
        self._add("MultiHeadAttention", projections, merged.output[0], heads)

    def put_back(self, *, offset: bool) -> None:
        """Write the new nodes and constants into the message; the integers' middle only where there are any."""
        nodes = [
            self.added.get(node.output[0], node)
            for node in self.proto.node
            if node.output[0] not in self.removed
        ]
        used = {name for node in nodes for name in node.input}
        constants = [c for c in self.proto.initializer if c.name in used and c.name != ZERO]
        if offset:
            constants.append(numpy_helper.from_array(np.array(128, np.uint8), _OFFSET))
        shapes = [info for info in self.proto.value_info if info.name in used - self.removed]
        del self.proto.node[:], self.proto.initializer[:], self.proto.value_info[:]
        self.proto.node.extend(nodes)
        self.proto.initializer.extend(constants)
        self.proto.value_info.extend(s for s in shapes if not s.name.endswith(".int8"))

    def _bias_of(self, product: NodeProto) -> NodeProto | None:
        reader = self.readers[product.output[0]]
        constants = {constant.name for constant in self.proto.initializer}
        if len(reader) == 1 and reader[0].op_type == "Add" and constants & set(reader[0].input):
            return reader[0]
        return None

    def _only_reader(self, node: NodeProto) -> NodeProto:
        (reader,) = self.readers[node.output[0]]
        return reader

    def _remove(self, nodes: Iterable[NodeProto]) -> None:
        self.removed |= {node.output[0] for node in nodes}

    def _add(self, kind: str, inputs: list[str], output: str, heads: int | None = None) -> None:
        self.removed.discard(output)
        node = helper.make_node(kind, inputs, [output], name=f"{output}/{kind}", domain=DOMAIN)
        if heads is not None:
            node.attribute.append(helper.make_attribute("num_heads", heads))
            node.attribute.append(helper.make_attribute("scale", 1.0))  # it stands in the query
        self.added[output] = node
