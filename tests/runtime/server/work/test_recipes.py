"""Recipes go to the child unchanged, share one encoder, and answer as an inspector of their own would."""

from pathlib import Path

import numpy as np
import pytest

from tests.runtime.server.work.fake import DEMO
from tests.runtime.server.work.running import with_pool
from vipx.bundle import read_bundle
from vipx.errors import UsageError
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.onnxruntime import OnnxRuntimeEngine
from vipx.runtime.inspector import Inspector
from vipx.runtime.server.work.child.sharing import SharedEncoder
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.settings import WorkSettings
from vipx.runtime.server.work.task import Task

OPTIONS = EngineOptions(threads=1)


def frames(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (160, 160, 3), np.uint8) for _ in range(count)]


def test_plain_thresholds_go_to_the_child_unchanged() -> None:
    for recipe in (
        LoadedRecipe("a"),
        LoadedRecipe("b", None, 0.6),
        LoadedRecipe("c", None, 0.6, 0.5),
    ):
        assert LoadedRecipe.from_record(recipe.record()) == recipe


def test_versions_differ_where_thresholds_do() -> None:
    versions = {LoadedRecipe("a", None, *held).version for held in ((), (0.6,), (0.6, 0.5), (0.5,))}
    assert len(versions) == 4
    assert LoadedRecipe("a", None, 0.6).version == LoadedRecipe("b", None, 0.6).version


@pytest.mark.parametrize(
    "held", [(0.0,), (1.5,), (float("nan"),), (0.5, 0.6), (None, 0.5), (0.5, -1.0)]
)
def test_thresholds_that_cannot_be_meant_are_refused(held: tuple[float | None, ...]) -> None:
    with pytest.raises(UsageError):
        LoadedRecipe("a", None, *held)


def test_a_shared_encoder_answers_bit_for_bit_as_an_engine_of_its_own(
    tiny_texts: np.ndarray,
) -> None:
    bundle = read_bundle(DEMO)
    model = model_of(bundle, None, tiny_texts)
    own = OnnxRuntimeEngine(model_of(bundle), OPTIONS)
    alone = OnnxRuntimeEngine(model, OPTIONS)
    assert SharedEncoder.works_on(own)
    shared = SharedEncoder(own, model, OPTIONS)
    for image in frames(3):
        expected, actual = alone.run(image[None]), shared.run(image[None])
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(actual.arrays[name], array)
    assert own.run(image[None]).arrays["score"] != expected.arrays["score"]


@pytest.fixture(scope="module")
def tiny_texts() -> np.ndarray:
    dim = read_bundle(DEMO).manifest.backbone.embed_dim
    texts = np.random.default_rng(0).normal(size=(2, dim)).astype(np.float32)
    return texts / np.linalg.norm(texts, axis=1, keepdims=True)


def test_the_demo_bundle_answers_as_its_inspector_does() -> None:
    images = frames(4)

    async def test(pool: Pool) -> list[float | None]:
        outcomes = [await pool.inspect(Task("part", image, deadline_s=30.0)) for image in images]
        assert outcomes[0].engine.startswith("onnxruntime")
        return [one.score for one in outcomes]

    with Inspector.open(DEMO, options=OPTIONS) as inspector:
        expected = [inspector.inspect(image).score for image in images]
    settings = WorkSettings(Path(DEMO), (LoadedRecipe("part", threshold=0.5),), OPTIONS)
    assert with_pool(settings, test) == expected
