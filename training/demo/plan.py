"""The numbers of the demo's training; the defaults made the weights that vipx ships."""

from dataclasses import dataclass

from vipx.errors import UsageError
from vipx.training.data.procedural import SEEN

PARTS = (
    "battery", "blister_pack", "bulk", "cable_bundle", "cap", "circuit_board", "connector", "dial",
    "faceplate", "gear", "label", "pill", "screw", "seal", "spring", "washer",
)  # fmt: skip
"""Categories of SEEN that show things on a ground; the others are surfaces, which are learned sooner."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Sizes, lengths and rates of both stages.

    Attributes:
        vision_width: Width of the vision tower; a multiple of 64.
        vision_layers: Its blocks.
        feature_layers: Blocks, counted from 1, whose patches are scored.
        patch: Side of a patch in px.
        side: Side of the input in px while the backbone learns.
        final_side: The same for stage 2 and for the model that comes out.
        embed_dim: Width of the space that images and texts share.
        text_layers: Blocks of the text tower; it is as wide as `embed_dim`.
        top_k: Patches of each layer that make the image score.
        sigma: Deviation in px of the Gaussian on the anomaly map.
        drawn: Pictures in the pool; a third of them is good.
        drawn_side: Their side in px; training crops from them.
        batch: Pictures of a step in stage 1, for each worker.
        steps: Steps of stage 1, in which the whole model learns.
        warm_up: Its first steps, in which the rate rises.
        parts: Share of pictures of parts in the second half of stage 1, up to which it rises from the pool's,
            and in stage 2.
        cross_entropy: Extra weight of the images' cross-entropy beside the published losses in stage 1.
        rate: Highest rate of stage 1.
        matrix_rate: The same for the matrices of the blocks.
        head_batch: Pictures of a step in stage 2.
        head_steps: Steps of stage 2, in which only ICA and FGP learn, as published.
        head_rate: Rate of stage 2 for the ICA; the FGP's is 1e-5, as published.
        seed: Of everything.
        workers: Processes of one thread each that draw the pool and share the steps of stage 1.
    """

    vision_width: int = 128
    vision_layers: int = 6
    feature_layers: tuple[int, ...] = (4, 5, 6)
    patch: int = 8
    side: int = 128
    final_side: int = 160
    embed_dim: int = 64
    text_layers: int = 2
    top_k: int = 4
    sigma: float = 3.5
    drawn: int = 21000
    drawn_side: int = 160
    batch: int = 16
    steps: int = 8000
    warm_up: int = 200
    parts: float = 0.8
    cross_entropy: float = 2.0
    rate: float = 1e-3
    matrix_rate: float = 3e-3
    head_batch: int = 16
    head_steps: int = 1500
    head_rate: float = 1e-4
    seed: int = 20251
    workers: int = 2

    def __post_init__(self) -> None:
        if self.drawn < 2 * len(SEEN):
            raise UsageError(f"pool: expected at least {2 * len(SEEN)} pictures, got {self.drawn}")
        if max(self.side, self.final_side) > self.drawn_side:
            raise UsageError(
                f"inputs of {self.side} and {self.final_side} px exceed the pool's {self.drawn_side} px"
            )


TINY = DemoPlan(
    vision_width=64,
    vision_layers=2,
    feature_layers=(1, 2),
    patch=16,
    side=64,
    final_side=64,
    top_k=3,
    drawn=2 * len(SEEN),
    drawn_side=72,
    batch=4,
    steps=4,
    warm_up=1,
    head_batch=2,
    head_steps=2,
    workers=1,
)
"""A plan that runs in seconds and learns nothing: for tests."""
