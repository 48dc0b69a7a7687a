"""The published code's outputs, as cases that tests compare with (shared/golden/README.md)."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from vipx.export import BackboneChoice, Detector, Overrides, load_detector
from vipx.images import read_image, read_mask, resize_image, resize_mask

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@dataclass(frozen=True)
class GoldenCase:
    """One folder of expected outputs with the weights and images that gave them."""

    folder: Path
    images: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text())

    @cached_property
    def expected(self) -> dict[str, ndarray]:
        with np.load(self.folder / "expected.npz") as file:
            return dict(file)

    @cached_property
    def step(self) -> dict[str, Any]:
        return json.loads((self.folder / "expected_training_step.json").read_text())

    @property
    def checkpoint(self) -> Path:
        return self.folder / "official_checkpoint.pth"

    @property
    def weights(self) -> Path:
        names = ("clip_openai_layout.pt", "clip_weights.safetensors")
        return next(self.folder / name for name in names if (self.folder / name).exists())

    @property
    def size(self) -> int:
        return self.config["image_size"]

    def image_paths(self) -> list[Path]:
        return [self.images / name for name in self.config["images"]]

    def detector(self) -> Detector:
        overrides = Overrides(
            image_size=(self.size, self.size),
            feature_layers=tuple(self.config["feature_layers"]),
            top_k=self.config["topk"],
            sigma=float(self.config["sigma"]),
        )
        return load_detector(self.checkpoint, BackboneChoice(weights=self.weights), overrides)

    def options(self) -> list[str]:
        """Give the flags of `vipx export` for this case."""
        layers = ",".join(map(str, self.config["feature_layers"]))
        return [
            str(self.checkpoint),
            f"--backbone-weights={self.weights}",
            f"--image-size={self.size}",
            f"--feature-layers={layers}",
            f"--top-k={self.config['topk']}",
            f"--sigma={self.config['sigma']}",
        ]

    def pixels(self, paths: list[Path]) -> Tensor:
        side = self.size
        images = [resize_image(read_image(path), height=side, width=side) for path in paths]
        return torch.from_numpy(np.stack(images))

    def step_batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give pixels, labels and masks of the training step."""
        items = self.step["items"]
        masks = [self._mask(item["mask"]) for item in items]
        return (
            self.pixels([self.images / item["image"] for item in items]),
            torch.tensor(self.step["labels"]),
            torch.from_numpy(np.stack(masks)),
        )

    def _mask(self, name: str | None) -> ndarray:
        side = self.size
        if name is None:
            return np.zeros((side, side), dtype=bool)
        return resize_mask(read_mask(self.images / name), height=side, width=side)


COMMITTED = GoldenCase(
    ROOT / "tests/golden/vip2clip_tests", ROOT / "tests/golden/vip2clip_tests/images"
)
CASES = {
    "tests": COMMITTED,
    "a": GoldenCase(SHARED / "golden/vip2clip_a", SHARED / "data"),
    "b": GoldenCase(SHARED / "golden/vip2clip_b", SHARED / "data"),
}
AVAILABLE = {name: case for name, case in CASES.items() if case.folder.is_dir()}
