"""Ranges: how they are found, what folds into the encoder, and the file they travel in."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import NO_HASH, noise_images, tiny_backbone
from vipx.errors import ArtifactError, InputError, UsageError
from vipx.export.blocks import Block
from vipx.export.encoder import Encoder, folded_block
from vipx.export.folds.fold import BOUND, relative_difference
from vipx.export.folds.smoothing import Change, SmoothableBlock, SmoothingFold
from vipx.export.int8.collection import collect_ranges, smooth
from vipx.export.int8.observation import histograms
from vipx.ranges import Ranges, input_names, read_ranges, write_ranges

properties = settings(max_examples=25, deadline=None, derandomize=True)


@cache
def tiny_block() -> Block:
    return folded_block(tiny_backbone().vision.visual.transformer.resblocks[0])


@pytest.fixture(scope="module")
def ranges() -> Ranges:
    return collect_ranges(Encoder(tiny_backbone()), noise_images(4), NO_HASH)


@properties
@given(seed=st.integers(0, 2**16), tokens=st.integers(1, 6), shifted=st.booleans())
def test_smoothing_changes_nothing(seed: int, tokens: int, shifted: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    block = tiny_block()

    def change(size: int, *, shift: bool = False) -> Change:
        divisors = torch.rand(size, dtype=torch.float64, generator=generator) * 4 + 0.1
        moved = torch.randn(size, dtype=torch.float64, generator=generator)
        return Change(divisors, moved if shift else None)

    width, hidden = block.query.weight.shape[1], block.up.weight.shape[0]
    source = SmoothableBlock(
        block,
        change(width, shift=shifted),
        change(width),
        change(width, shift=shifted),
        change(hidden),
    )
    x = torch.randn(2, tokens, width, dtype=torch.float64, generator=generator)
    assert relative_difference(block(x), SmoothingFold()(source)(x)) <= BOUND


def test_only_norms_take_a_shift() -> None:
    block = tiny_block()
    ones, wide = torch.ones(32, dtype=torch.float64), torch.ones(128, dtype=torch.float64)
    plain = Change(ones)
    with pytest.raises(UsageError, match="shifted"):
        SmoothingFold()(SmoothableBlock(block, plain, Change(ones, ones), plain, Change(wide)))
    with pytest.raises(UsageError, match="positive"):
        SmoothingFold()(SmoothableBlock(block, Change(-ones), plain, plain, Change(wide)))


def test_every_input_has_a_range_that_holds_what_was_seen(ranges: Ranges) -> None:
    assert tuple(ranges.inputs) == input_names(2)
    assert ranges.images == 4
    encoder = smooth(Encoder(tiny_backbone()), ranges, NO_HASH)
    for name, histogram in histograms(encoder, noise_images(4)).items():
        assert 1.1 * histogram.largest == pytest.approx(ranges.inputs[name].limit, rel=1e-4)


def test_a_smoothed_encoder_answers_as_before(ranges: Ranges) -> None:
    image = torch.from_numpy(np.stack(noise_images(2, seed=9)))
    plain, smoothed = Encoder(tiny_backbone()), Encoder(tiny_backbone())
    smooth(smoothed, ranges, NO_HASH)
    for expected, actual in zip(plain(image), smoothed(image), strict=True):
        assert (expected - actual).abs().max() <= 5e-6


def test_ranges_of_another_encoder_are_refused(ranges: Ranges) -> None:
    with pytest.raises(UsageError, match="another backbone"):
        smooth(Encoder(tiny_backbone()), ranges, "1" * 64)


def test_ranges_come_back_from_their_file_as_they_were(tmp_path: Path, ranges: Ranges) -> None:
    write_ranges(tmp_path / "r.json", ranges)
    assert read_ranges(tmp_path / "r.json") == ranges


@pytest.mark.parametrize("damage", ["", "{}", '{"schema_version": 2}', "\xff"])
def test_a_file_that_holds_no_ranges_is_an_error(tmp_path: Path, damage: str) -> None:
    (tmp_path / "r.json").write_text(damage, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"r\.json"):
        read_ranges(tmp_path / "r.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_ranges(tmp_path / "none.json")


def test_a_block_without_ranges_is_an_error(tmp_path: Path, ranges: Ranges) -> None:
    inputs = {name: each for name, each in ranges.inputs.items() if name != "blocks.1.up"}
    broken = ranges.model_copy(update={"inputs": inputs})
    (tmp_path / "r.json").write_text(broken.model_dump_json())
    with pytest.raises(ArtifactError, match="of every block"):
        read_ranges(tmp_path / "r.json")
