"""Of a model's graphs only those run that what is wanted takes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.errors import EngineError, short_reason
from vipx.runtime.engines import onnxruntime, openvino
from vipx.runtime.engines.choice import open_engine
from vipx.runtime.engines.engine import EngineName, EngineOptions, Output
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.stages import Graphs, Stages

IMAGES = np.zeros((2, 4, 4, 3), np.uint8)
FEATURES: tuple[Output, ...] = ("global_feature", "patch_features")
SCORE: tuple[Output, ...] = ("score",)


class Plain:
    """Arrays as they are."""

    def put(self, array: np.ndarray) -> np.ndarray:
        return array

    def take(self, value: np.ndarray) -> np.ndarray:
        return value.copy()


class Counting:
    """A graph that counts its runs and gives ones."""

    def __init__(self, *outputs: str) -> None:
        self.outputs = outputs
        self.runs = 0
        self.seen: dict[str, Any] = {}

    def run(self, values: dict[str, Any], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        self.runs += 1
        self.seen = dict(values)
        return {name: np.ones(2) for name in outputs or self.outputs}


def counted() -> tuple[Counting, Counting, Counting]:
    return (
        Counting(*FEATURES),
        Counting("text_embeddings"),
        Counting("score", "patch_map", "anomaly_map"),
    )


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (FEATURES, (1, 0, 0)),
        (("global_feature",), (1, 0, 0)),
        (("text_embeddings",), (1, 1, 0)),
        (("patch_features", "text_embeddings"), (1, 1, 0)),
        (("score",), (1, 1, 1)),
        (("patch_features", "anomaly_map"), (1, 1, 1)),
    ],
)
def test_a_graph_whose_outputs_nobody_wants_does_not_run(
    wanted: tuple[Output, ...], expected: tuple[int, ...]
) -> None:
    graphs = counted()
    answer = Stages("x", Graphs(*graphs), Plain(), None).run(IMAGES, wanted)
    assert set(answer.arrays) == set(wanted)
    assert tuple(graph.runs for graph in graphs) == expected


def test_constant_texts_are_repeated_and_put_once_for_each_batch() -> None:
    encoder, _, heads = counted()
    put: list[tuple[int, ...]] = []

    class Watching(Plain):
        def put(self, array: np.ndarray) -> np.ndarray:
            put.append(array.shape)
            return array

    stages = Stages("x", Graphs(encoder, None, heads), Watching(), np.ones((2, 5), np.float32))
    for images in (IMAGES, IMAGES, IMAGES[:1]):
        stages.run(images, SCORE)
    stages.run(IMAGES, FEATURES)
    assert Counter(shape for shape in put if len(shape) == 3) == {(2, 2, 5): 1, (1, 2, 5): 1}
    assert heads.seen["text_embeddings"].shape == (1, 2, 5)


def test_stages_that_were_closed_say_so() -> None:
    stages = Stages("part.vipx", Graphs(*counted()), Plain(), None)
    stages.close()
    stages.close()
    with pytest.raises(EngineError, match=r"part\.vipx.*closed"):
        stages.run(IMAGES, SCORE)


@pytest.mark.parametrize(
    ("name", "kind", "encoder"),
    [
        ("onnxruntime", onnxruntime.Session, "encoder.onnxruntime.onnx"),
        ("openvino", openvino.Request, "encoder.onnx"),
    ],
)
def test_no_engine_runs_the_prompts_for_features(
    name: EngineName, kind: type, encoder: str, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    real = kind.run  # type: ignore[attr-defined]

    def noted(self: Any, *given: Any) -> Any:
        ran.append(self._name)
        return real(self, *given)

    monkeypatch.setattr(kind, "run", noted)
    model = model_of(read_bundle(tiny_bundle))
    engine = open_engine(model, EngineOptions(engine=name, device="cpu", threads=1))
    image = noise_images(1)[0][None]
    engine.run(image, FEATURES)
    assert ran == [encoder]
    engine.run(image)
    engine.close()
    assert ran[1:] == [encoder, "prompts.onnx", "heads.onnx"]


def test_what_a_library_said_becomes_one_short_line() -> None:
    assert short_reason(ValueError("a\n  b\tc")) == "a b c"
    assert len(short_reason(ValueError("x" * 999))) == 200
