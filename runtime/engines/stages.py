"""Runs the graphs of a model one after the other, whichever library runs a graph."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from vipx.errors import EngineError
from vipx.runtime.engines.engine import EngineRun, Output, StageTimes


@runtime_checkable
class Graph(Protocol):
    """One graph in a library, between values that stay on its device."""

    outputs: tuple[str, ...]

    def run(self, values: dict[str, Any], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """Run on values by input name; gives at least the outputs that are named, or all.

        Raises:
            EngineError: The library failed.
        """


@runtime_checkable
class Arrays(Protocol):
    """How arrays go to a library's device and come back."""

    def put(self, array: ndarray) -> Any:  # noqa: ANN401 - the library's own kind of value
        """Put an array on the device."""

    def take(self, value: Any) -> ndarray:  # noqa: ANN401 - the library's own kind of value
        """Give a value as an array that belongs to the caller."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """A model's graphs in one library; prompts are None where the texts are constant."""

    encoder: Graph
    prompts: Graph | None
    heads: Graph


class Stages:
    """The graphs of a model, of which only those run that what is wanted takes.

    Args:
        name: The bundle, for messages.
        graphs: Opened in one library.
        arrays: The same library's.
        texts: Constant text embeddings, where there is no prompts graph.
    """

    def __init__(
        self,
        name: str,
        graphs: Graphs,
        arrays: Arrays,
        texts: Float32[ndarray, "texts dim"] | None,
    ) -> None:
        self._name, self._arrays, self._texts = name, arrays, texts
        self._graphs: Graphs | None = graphs
        self._repeated: dict[int, Any] = {}

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output]
    ) -> EngineRun:
        """Run on RGB images of the input size; the batch may have any length.

        Raises:
            EngineError: A graph failed, or the stages were closed.
        """
        if self._graphs is None:
            raise EngineError(f"{self._name}: this engine was closed; open the bundle again")
        graphs, arrays = self._graphs, self._arrays
        answers = [name for name in graphs.heads.outputs if name in wanted]
        marks = [perf_counter()]
        values: dict[str, Any] = {"image": arrays.put(np.ascontiguousarray(images))}
        marks.append(perf_counter())
        values |= graphs.encoder.run(values)
        marks.append(perf_counter())
        if answers or "text_embeddings" in wanted:
            values |= self._text_embeddings(graphs.prompts, values, len(images))
        marks.append(perf_counter())
        if answers:
            values |= graphs.heads.run(values, answers)
        marks.append(perf_counter())
        found: dict[str, ndarray] = {name: arrays.take(values[name]) for name in wanted}
        marks.append(perf_counter())
        spans = (1000 * (end - start) for start, end in pairwise(marks))
        return EngineRun(found, StageTimes(*spans))

    def _text_embeddings(
        self, prompts: Graph | None, values: dict[str, Any], batch: int
    ) -> dict[str, Any]:
        """Make the images' own texts, or repeat the constant ones; each length goes to the device once."""
        if prompts is not None:
            return prompts.run(values)
        if batch not in self._repeated:
            assert self._texts is not None, "a model has a prompts graph or texts"
            self._repeated[batch] = self._arrays.put(np.repeat(self._texts[None], batch, axis=0))
        return {"text_embeddings": self._repeated[batch]}

    def close(self) -> None:
        """Let go of the graphs; closing twice does no harm."""
        self._graphs = None
        self._repeated.clear()
