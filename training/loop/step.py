"""One step of the learned part: slices of a batch, their gradients, and the optimiser."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vipx.errors import UsageError
from vipx.training.loop.devices import Place
from vipx.training.loop.encoding import Batch, autocast
from vipx.training.loop.examples import Example
from vipx.training.loop.settings.configuration import OptimiserSettings
from vipx.training.methods.method import Method
from vipx.training.methods.objective import Counts, losses
from vipx.training.methods.scoring import Alignment, Forward
from vipx.training.model.backbone import Backbone

TERMS = ("loss", "cross_entropy", "focal", "dice_anomalous", "dice_normal", "penalty")


@dataclass(frozen=True, slots=True)
class Slice:
    """What one device takes at once of a step.

    Attributes:
        examples: At least one; where a device has nothing to do, a stand-in of no weight.
        counts: Of the whole step, on all devices.
        weight: 1, or 0 for a stand-in.
        first: Whether a step begins with it.
        last: Whether a step ends with it.
    """

    examples: tuple[Example, ...]
    counts: Counts
    weight: float
    first: bool
    last: bool


def slices(order: Sequence[Example], optimiser: OptimiserSettings, place: Place) -> Iterator[Slice]:
    """Cut an epoch into steps, and this process's share of each into slices.

    All processes together take every example of a step once.
    """
    for start in range(0, len(order), optimiser.batch):
        step = order[start : start + optimiser.batch]
        counts = Counts(len(step), sum(one.known for one in step))
        own = _parts(step, place.world)[place.rank]
        parts = [part for part in _parts(own, optimiser.accumulate) if part] or [step[:1]]
        for number, part in enumerate(parts):
            weight = 1.0 if own else 0.0
            last = number == len(parts) - 1
            yield Slice(tuple(part), counts, weight, number == 0, last)


def _parts(items: Sequence[Example], count: int) -> list[Sequence[Example]]:
    """Cut into consecutive parts whose lengths differ by one at most."""
    ends = [len(items) * number // count for number in range(count + 1)]
    return [items[a:b] for a, b in pairwise(ends)]


class Objective(nn.Module):
    """A method and the frozen text tower, whose forward gives the terms of the loss."""

    def __init__(self, method: Method, backbone: Backbone, optimiser: OptimiserSettings) -> None:
        super().__init__()
        self.method = method
        self.text = backbone.text
        self.grid = backbone.vision.grid
        self.pixel_weight = optimiser.pixel_weight
        self.precision = optimiser.precision

    def forward(self, batch: Batch, counts: Counts) -> Float[Tensor, "terms"]:
        """Give the terms in the order of TERMS."""
        device = batch.targets.labels.device
        with autocast(device, self.precision):
            forward = self.method.training_forward(self.text, batch.features)
        terms = losses(
            _widened(forward),
            batch.targets,
            grid=self.grid,
            pixel_weight=self.pixel_weight,
            counts=counts,
        )
        return torch.stack([terms.total, *(getattr(terms, name) for name in TERMS[1:])])


class Stepper:
    """Adam on the groups of a method, each with its own rate."""

    def __init__(
        self, method: Method, backbone: Backbone, optimiser: OptimiserSettings, place: Place
    ) -> None:
        """Freeze what no group names, and share the gradients among the processes."""
        groups = method.groups()
        if unknown := set(groups) - set(optimiser.rates):
            raise UsageError(f"optimiser.rates: give a rate for {', '.join(sorted(unknown))}")
        self.learned = [one for group in groups.values() for one in group]
        self._place = place
        self._clip_norm = optimiser.clip_norm
        method.requires_grad_(False).train()
        for one in self.learned:
            one.requires_grad_(True)
        rates: list[dict[str, Any]] = [
            {"params": group, "lr": optimiser.rates[name]} for name, group in groups.items()
        ]
        self._adam = torch.optim.Adam(rates, betas=optimiser.betas)
        objective = Objective(method, backbone, optimiser)
        self._objective: nn.Module = objective
        if place.world > 1:
            self._objective = DistributedDataParallel(objective)
        self._scaler = torch.amp.GradScaler(
            place.device.type, enabled=optimiser.precision == "fp16"
        )

    def take(self, part: Slice, batch: Batch) -> Float[Tensor, "terms"]:
        """Learn from a slice; gives its share of the step's terms."""
        if part.first:
            self._adam.zero_grad(set_to_none=True)
        with self._shared(part.last):
            terms = self._objective(batch, part.counts) * part.weight
            # The processes' gradients are averaged, but their losses are parts of a sum.
            self._scaler.scale(terms[0] * self._place.world).backward()
        if part.last:
            self._finish()
        return terms.detach()

    def state(self) -> dict[str, Any]:
        """Give what must be kept beside the parameters to go on later."""
        return {"adam": self._adam.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._adam.load_state_dict(state["adam"])
        self._scaler.load_state_dict(state["scaler"])

    def _shared(self, last: bool) -> AbstractContextManager[object]:
        if last or not isinstance(self._objective, DistributedDataParallel):
            return nullcontext()
        return self._objective.no_sync()

    def _finish(self) -> None:
        if self._clip_norm:
            self._scaler.unscale_(self._adam)
            nn.utils.clip_grad_norm_(self.learned, self._clip_norm)
        self._scaler.step(self._adam)
        self._scaler.update()


def _widened(forward: Forward) -> Forward:
    alignment = forward.alignment
    return replace(
        forward,
        image_logits=forward.image_logits.float(),
        alignment=Alignment(alignment.cosines.float(), alignment.probabilities.float()),
    )
