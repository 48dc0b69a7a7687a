"""A run of seconds: a dataset of a dozen drawn pictures, a CLIP of some thousand weights, and settings."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.tiny import tiny_clip
from vipx.training.demo.clip import WORDS, save_clip
from vipx.training.loop.settings.configuration import Settings
from vipx.training.loop.settings.file import settings_from_record

CATEGORIES = ("bolt", "nut", "ring")


class Listener:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.losses: list[float] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def step(self, done: int, steps: int, loss: float) -> None:
        self.losses.append(loss)


def small_dataset(root: Path, *, good: int = 2, bad: int = 2) -> Path:
    """Noise in MVTec's layout; a defect is a bright square."""
    rng = np.random.default_rng(5)
    for category in CATEGORIES:
        for number in range(good + bad):
            kind = "good" if number < good else "bright"
            pixels = rng.integers(0, 120, (40, 56, 3), dtype=np.uint8)
            if kind != "good":
                mask = np.zeros((40, 56), np.uint8)
                mask[8:20, 10 + number : 30] = 255
                pixels[mask > 0] += 120
                _save(root / category / "ground_truth" / kind / f"{number:03}_mask.png", mask)
            _save(root / category / "test" / kind / f"{number:03}.png", pixels)
        _save(root / category / "train" / "good" / "000.png", pixels)
    return root


def small_weights(path: Path, seed: int = 0) -> Path:
    """A CLIP in OpenAI's layout, whose heads are 64 wide."""
    clip = tiny_clip(width=64, heads=1, text_width=64, dim=32, seed=seed)
    save_clip(clip, path, (*WORDS, "abnormal flawed imperfect", "a photo of an object"))
    return path


def small_record(folder: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run on what the two functions above make, which is made if it is not there."""
    root, weights = folder / "data", folder / "clip.safetensors"
    if not root.exists():
        small_dataset(root)
        small_weights(weights)
    record: dict[str, Any] = {
        "data": {"dataset": "mvtec", "root": str(root)},
        "method": {"fgp_heads": 4, "meta_net_width": 8, "top_k": 3, "sigma": 2.0},
        "vision": {"height": 24, "width": 40, "feature_layers": [1, 2]},
        "backbone": {"weights": str(weights)},
        "optimiser": {"epochs": 2, "batch": 4},
        "run": {"cache": False, "cache_folder": str(folder / "cache")},
    }
    for name, values in sections.items():
        record[name] = record.get(name, {}) | values
    return record


def small_settings(folder: Path, **sections: dict[str, Any]) -> Settings:
    return settings_from_record(small_record(folder, **sections))


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
