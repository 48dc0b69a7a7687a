"""A recipe is taken as it was written, for the bundle that it was made with, or not at all."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipx.bundle import read_bundle
from vipx.demo import DEMO_BUNDLE
from vipx.describe import describe
from vipx.errors import ArtifactError, RecipeError
from vipx.recipe import (
    ArrayRecord,
    BundleRecord,
    EngineRecord,
    FoldRecord,
    ImageSetRecord,
    LimitRecord,
    MadeRecord,
    Recipe,
    RecipeContent,
    RegionRecord,
    SummaryRecord,
    ThresholdsRecord,
    check_bundle,
    content_sha256,
    read_recipe,
    recipe_of,
    write_recipe,
)


def limit(ng: float = 0.6, review: float = 0.4) -> LimitRecord:
    return LimitRecord(
        ng=ng,
        review=review,
        rate=0.05,
        confidence=0.95,
        kind="order",
        interval=(review, ng),
        false_alarms=(0.0, 0.05),
        images=60,
    )


def recipe(**changes: Any) -> Recipe:
    content: dict[str, Any] = {
        "product": "bolt M8 ü",
        "bundle": BundleRecord(identity="0" * 64, name="demo"),
        "thresholds": ThresholdsRecord(score=limit(), level=None),
        "images": ImageSetRecord(count=60, distinct=59, fingerprint="1" * 64),
        "summary": SummaryRecord(scores={"images": 1, "scores": [0.1]}),
        "engine": EngineRecord(
            engine="onnxruntime", version="1", device="cpu", precision="fp32", arithmetic="f32"
        ),
        "made": MadeRecord(author="me", created="2026-11-21T00:00:00Z", versions={}),
    }
    return recipe_of(RecipeContent(**content | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fold = FoldRecord(
        texts=ArrayRecord.of(np.arange(6, dtype=np.float32).reshape(2, 3)),
        images=3,
        smallest_cosine=1.0,
        score_difference=0.0,
        map_difference=0.0,
        rank_correlation=None,
        auroc=None,
        milliseconds=1.5,
        graph_bytes=10,
    )
    region = RegionRecord(polygons=(((0.0, 0.0), (1.0, 0.0), (0.5, 1.0)),))
    write_recipe(tmp_path / "bolt.recipe", recipe(fold=fold, region=region))
    return tmp_path / "bolt.recipe"


def test_a_recipe_reads_back_as_it_was_written(path: Path) -> None:
    read = read_recipe(path)
    again = path.with_name("again.recipe")
    write_recipe(again, read)
    assert again.read_bytes() == path.read_bytes()
    assert read.product == "bolt M8 ü"
    texts = read.texts()
    assert texts is not None
    np.testing.assert_array_equal(texts, [[0, 1, 2], [3, 4, 5]])


def test_every_changed_byte_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    places = np.random.default_rng(0).choice(len(whole), 150, replace=False)
    for place in [0, len(whole) - 1, *places]:
        for change in (1, 32):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            with pytest.raises(RecipeError):
                read_recipe(path)
    for cut in (whole[:-1], whole + b"\n", whole[: len(whole) // 2], b""):
        path.write_bytes(cut)
        with pytest.raises(RecipeError, match="vipx calibrate"):
            read_recipe(path)


def test_a_threshold_edited_by_hand_is_refused(path: Path) -> None:
    record = json.loads(path.read_text())
    record["thresholds"]["score"]["ng"] = 0.9
    path.write_text(json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False) + "\n")
    with pytest.raises(RecipeError, match="changed after calibration") as caught:
        read_recipe(path)
    assert caught.value.exit_code == 4


def test_a_rewritten_hash_does_not_excuse_another_layout(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text())))
    with pytest.raises(RecipeError, match="changed"):
        read_recipe(path)


def test_a_recipe_of_another_bundle_is_refused() -> None:
    bundle = read_bundle(DEMO_BUNDLE)
    with pytest.raises(RecipeError, match="calibrate again with this bundle"):
        check_bundle(recipe(), bundle)
    check_bundle(recipe(), dataclasses.replace(bundle, identity="0" * 64))


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    for name, data in (("a", b"\xff\xfe"), ("b", b"{}"), ("c", b"[1]")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RecipeError, match="not a recipe"):
            read_recipe(tmp_path / name)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_recipe(tmp_path / "none.recipe")


def test_thresholds_must_decide_something_and_keep_their_order() -> None:
    with pytest.raises(ValueError, match="expected limits"):
        ThresholdsRecord(score=None, level=None)
    with pytest.raises(ValueError, match="review"):
        limit(ng=0.3, review=0.4)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_arrays_survive_their_packing(rows: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(rows, columns)).astype(np.float32)
    for array in (numbers, numbers > 0):
        unpacked = ArrayRecord.of(array).array()
        assert unpacked.dtype == array.dtype
        np.testing.assert_array_equal(unpacked, array)


def test_the_hash_depends_on_the_content_alone() -> None:
    assert content_sha256(recipe()) == recipe().sha256
    assert recipe(product="other").sha256 != recipe().sha256


def test_show_leaves_out_what_only_programs_read(path: Path) -> None:
    record = describe(path)
    assert record["kind"] == "recipe"
    assert record["thresholds"]["score"]["ng"] == 0.6
    assert "summary" not in record
    assert "data" not in record["fold"]["texts"]
