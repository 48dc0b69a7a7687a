"""The configuration names the reconstruction, fits the text tower, and refuses what makes no sense."""

from typing import Any

import pytest

from vipx.errors import UsageError
from vipx.training.methods.tokenclip.configuration import TokenClipConfig, preset_config


def test_every_configuration_says_that_it_is_the_reconstruction() -> None:
    assert TokenClipConfig().preset == "reconstruction"


@pytest.mark.parametrize(("blocks", "expected"), [(1, 1), (2, 2), (9, 9), (12, 9)])
def test_the_preset_uses_no_more_blocks_than_there_are(blocks: int, expected: int) -> None:
    assert preset_config(blocks).deep_layers == expected


def test_a_preset_takes_changes() -> None:
    config = preset_config(12, deep_layers=3, subspaces=5)
    assert (config.deep_layers, config.subspaces) == (3, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subspaces": 0}, "subspaces: expected at least 1, got 0"),
        ({"top_k": 9}, "top-k: expected at most the 8 subspaces, got 9"),
        ({"deep_tokens": 13}, "deep tokens: expected at most the 12 context tokens, got 13"),
        ({"deep_layers": 0}, "deep layers: expected at least 1, got 0"),
        ({"iterations": 0}, "iterations: expected at least 1, got 0"),
        ({"epsilon": 0.0}, "epsilon: expected more than 0, got 0.0"),
        ({"temperature": float("nan")}, "temperature: expected more than 0, got nan"),
        ({"tie_width": -0.1}, "tie width: expected at least 0, got -0.1"),
        ({"orthogonal_weight": -1.0}, "orthogonal weight: expected at least 0"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TokenClipConfig(**changes)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("preset", "official", "preset: expected reconstruction, got 'official'"),
        ("assignment", "nearest", "assignment: expected ot or softmax, got 'nearest'"),
        ("image_score", "map", "image score: expected global or global"),
        ("orthogonal_space", "hard", "orthogonal space: expected raw or residual"),
    ],
)
def test_a_word_that_is_no_choice_is_refused(field: str, value: str, message: str) -> None:
    config = TokenClipConfig()
    # The tests' shape checker would refuse the word before the configuration does.
    object.__setattr__(config, field, value)
    with pytest.raises(UsageError, match=message):
        config.__post_init__()
