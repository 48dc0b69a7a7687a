"""A dataset of a few small pictures, and a model that calls bright pixels anomalous."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image

from vipx.evaluation.predictors import Answer
from vipx.evaluation.results import ModelRecord

HEIGHT, WIDTH = 20, 28
NO_HASH = "0" * 64


class Brightness:
    """Score and map are how bright a picture is."""

    record = ModelRecord(
        kind="bundle",
        path="models/bright<i>.vipx",
        sha256=NO_HASH,
        method="vip2clip",
        backbone="none",
        backbone_sha256=NO_HASH,
        engine="numpy",
        device="cpu",
        precision="fp32",
        height=HEIGHT,
        width=WIDTH,
    )
    size = (HEIGHT, WIDTH)

    def predict(self, image: UInt8[ndarray, "height width 3"]) -> Answer:
        heat: Float32[ndarray, "height width"] = image.mean(axis=2, dtype=np.float32) / 255
        return Answer(float(heat.max()), heat)


class Broken(Brightness):
    """Answers with what is no number."""

    def predict(self, image: UInt8[ndarray, "height width 3"]) -> Answer:
        return Answer(float("nan"), super().predict(image).anomaly_map)


def write_tree(root: Path, categories: tuple[str, ...] = ("bolt", "nut"), each: int = 3) -> Path:
    """Write MVTec AD's layout: dark good parts, and bright scratches of rising brightness with their masks."""
    generator = np.random.default_rng(5)
    for category in categories:
        for number in range(each):
            dark = generator.integers(0, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            _save(dark, root / category / "train" / "good" / f"{number:03}.png")
            _save(dark // 2 + number, root / category / "test" / "good" / f"{number:03}.png")
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[4 : 6 + number, 5:20] = 255
            bad = np.where(mask[..., None] > 0, 70 + 60 * number, dark).astype(np.uint8)
            _save(bad, root / category / "test" / "scratch" / f"{number:03}.png")
            truth = root / category / "ground_truth" / "scratch"
            _save(mask, truth / f"{number:03}_mask.png")
    return root


def _save(pixels: ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
