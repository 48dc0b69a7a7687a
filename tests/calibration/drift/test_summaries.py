"""What a recipe keeps of its good images comes back as it was, and stays small."""

import json
from typing import Any

import numpy as np
import pytest

from vipx.calibration.drift.summaries import FeatureSummary, ScoreSummary
from vipx.errors import ArtifactError, UsageError


def features(images: int, dim: int = 12) -> np.ndarray:
    drawn = np.random.default_rng(images).normal(size=(images, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("images", [1, 40, 1024])
def test_few_scores_are_all_kept(images: int) -> None:
    scores = np.random.default_rng(0).random(images)
    kept = ScoreSummary.of(scores)
    assert kept.images == images
    assert np.array_equal(kept.scores, np.sort(scores))


def test_many_scores_become_quantiles() -> None:
    scores = np.random.default_rng(0).random(50_000)
    kept = ScoreSummary.of(scores)
    assert (kept.images, kept.scores.size) == (50_000, 1024)
    shares = np.searchsorted(np.sort(scores), kept.scores, side="right") / 50_000
    assert np.abs(shares - (np.arange(1024) + 0.5) / 1024).max() < 1e-4


@pytest.mark.parametrize(("images", "kept"), [(1, 1), (64, 64), (300, 64)])
def test_features_are_kept_up_to_a_number(images: int, kept: int) -> None:
    drawn = features(images)
    summary = FeatureSummary.of(drawn)
    assert (summary.images, len(summary.reference)) == (images, kept)
    assert np.allclose(summary.mean, drawn.mean(axis=0), atol=1e-7)
    assert {tuple(row) for row in summary.reference} <= {tuple(row) for row in drawn}
    assert len(json.dumps(FeatureSummary.of(features(300, 768)).record())) < 270_000


def test_records_come_back_bit_for_bit() -> None:
    scores = ScoreSummary.of(np.random.default_rng(1).random(70))
    again = ScoreSummary.from_record(json.loads(json.dumps(scores.record())))
    assert again.images == 70
    assert np.array_equal(again.scores, scores.scores)
    kept = FeatureSummary.of(features(90))
    back = FeatureSummary.from_record(json.loads(json.dumps(kept.record())))
    assert back.images == 90
    assert np.array_equal(back.mean, kept.mean)
    assert np.array_equal(back.reference, kept.reference)


@pytest.mark.parametrize(
    "change",
    [
        {"images": "3"},
        {"images": 2},
        {"scores": [0.2, 0.1, 0.3]},
        {"scores": []},
        {"scores": "0.1"},
        {"scores": [0.1, None, 0.3]},
        {"scores": [[0.1], [0.2]]},
    ],
)
def test_a_record_of_scores_that_was_not_written_is_refused(change: dict[str, Any]) -> None:
    record = ScoreSummary.of(np.array([0.1, 0.2, 0.3])).record() | change
    with pytest.raises(ArtifactError, match="summary of scores"):
        ScoreSummary.from_record(record)


@pytest.mark.parametrize(
    "change",
    [
        {"images": 2},
        {"dim": 5},
        {"dim": 0},
        {"mean": None},
        {"mean": "no base64"},
        {"reference": "AAA"},
        {"reference": ""},
        {"reference": "AADAfw=="},
    ],
)
def test_a_record_of_features_that_was_not_written_is_refused(change: dict[str, Any]) -> None:
    record = FeatureSummary.of(features(3)).record() | change
    with pytest.raises(ArtifactError, match="summary of features"):
        FeatureSummary.from_record(record)


def test_nothing_is_summarised_that_is_no_number() -> None:
    with pytest.raises(UsageError, match="scores"):
        ScoreSummary.of(np.array([0.1, np.nan]))
    with pytest.raises(UsageError, match="features"):
        FeatureSummary.of(np.full((2, 3), np.inf, dtype=np.float32))
