"""Order and slices of an epoch follow from the seed; all processes together take every image once."""

from pathlib import Path
from typing import Literal

import torch
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from vipx.training.data.samples import Sample
from vipx.training.loop.devices import Place
from vipx.training.loop.examples import Example, all_variants, content_sha256, epoch_order
from vipx.training.loop.settings.configuration import Settings
from vipx.training.loop.settings.file import settings_from_record
from vipx.training.loop.step import slices
from vipx.training.methods.objective import Counts

CPU = torch.device("cpu")


def example(number: int) -> Example:
    """Every third is good, every third has an unknown mask."""
    kind: Literal[0, 1, 2] = (0, 1, 2)[number % 3]
    mask = Path(f"{number}_mask.png") if kind == 1 else None
    defect = None if kind == 0 else "bent"
    sample = Sample(Path(f"{number}.png"), "bolt", "test", defect, mask)
    return Example(sample, f"{number:064x}", ("empty", f"{number}>0", "unknown")[kind])


def run(**changes: str) -> Settings:
    record = {"data": {"dataset": "mvtec", "root": "/data"}}
    return settings_from_record(record, [f"{k.replace('__', '.')}={v}" for k, v in changes.items()])


EXAMPLES = tuple(example(number) for number in range(30))


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    orders = [epoch_order(EXAMPLES, epoch, run()) for epoch in range(3)]
    assert orders == [epoch_order(EXAMPLES, epoch, run(run__workers="5")) for epoch in range(3)]
    assert all(set(order) == set(EXAMPLES) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert epoch_order(EXAMPLES, 0, run(optimiser__seed="112")) != orders[0]


def test_drawn_defects_are_on_good_images_and_of_a_fixed_number() -> None:
    settings = run(data__synthesize="0.5", data__variants="2")
    epochs = [epoch_order(EXAMPLES, epoch, settings) for epoch in range(40)]
    drawn = [one for order in epochs for one in order if one.variant is not None]
    good = [one for one in EXAMPLES if not one.sample.anomalous]
    assert 0.4 < len(drawn) / (40 * len(good)) < 0.6
    assert all(not one.sample.anomalous and one.label == 1 and one.known for one in drawn)
    assert {one.variant for one in drawn} == {0, 1}
    possible = {one.name for one in all_variants(EXAMPLES, settings)}
    assert {one.name for order in epochs for one in order} <= possible
    assert len(possible) == len(EXAMPLES) + 2 * len(good)


def test_the_content_tells_apart_every_file_that_changes_pixels_or_masks() -> None:
    changed = [
        Example(EXAMPLES[1].sample, "f" * 64, EXAMPLES[1].truth),
        Example(EXAMPLES[1].sample, EXAMPLES[1].image, "another>0"),
        Example(EXAMPLES[1].sample, EXAMPLES[1].image, "1>127"),
    ]
    hashes = {content_sha256([one]) for one in (EXAMPLES[1], *changed)}
    assert len(hashes) == 4


@settings_of_hypothesis(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 30),
    batch=st.integers(1, 9),
    world=st.integers(1, 5),
    accumulate=st.integers(1, 4),
)
def test_all_processes_together_take_every_image_of_a_step_once(
    count: int, batch: int, world: int, accumulate: int
) -> None:
    order = EXAMPLES[:count]
    optimiser = run(optimiser__batch=str(batch), optimiser__accumulate=str(accumulate)).optimiser
    own = [list(slices(order, optimiser, Place(CPU, rank, world))) for rank in range(world)]
    steps = -(-count // batch)
    for parts in own:
        assert sum(part.first for part in parts) == sum(part.last for part in parts) == steps
        assert all(part.examples for part in parts)
    for number in range(steps):
        expected = order[number * batch : (number + 1) * batch]
        taken = [part for parts in own for part in _of_step(parts, number)]
        weighted = [one for part in taken if part.weight for one in part.examples]
        assert sorted(one.name for one in weighted) == sorted(one.name for one in expected)
        counts = Counts(len(expected), sum(one.known for one in expected))
        assert all(part.counts == counts for part in taken)


def _of_step(parts: list, number: int) -> list:  # type: ignore[type-arg]
    """The slices of one step, which `first` begins."""
    step, found = -1, []
    for part in parts:
        step += part.first
        if step == number:
            found.append(part)
    return found
