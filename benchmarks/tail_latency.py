"""Times the folded prompts and heads against the unfolded ones, side by side in one run.

The unfolded tail is the published computation in PyTorch: a text tower on all 77 positions, the FGP's key and
value projections on every patch, full-size maps of every layer, scipy's Gaussian. The folded tail is the two
ONNX graphs in ONNX Runtime. Both take the same features, on the same number of threads, in turns.

    python -m benchmarks.tail_latency                       # ViT-L/14 at 518 px, random weights
    python -m benchmarks.tail_latency --width 64 --rounds 3 # something quick
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from onnxruntime import OrtValue
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from benchmarks.published_pipeline import put_tokens_first
from vipx.export.onnx_file import HEADS_OUTPUTS, PROMPTS, GraphInterface, write_graph
from vipx.export.prompts import Prompts
from vipx.export.vip2clip_heads import Vip2ClipHeads
from vipx.runtime.engines.onnxruntime import Session
from vipx.training.methods.scoring import anomaly_map, upsampled_probabilities
from vipx.training.methods.vip2clip.configuration import preset_config
from vipx.training.methods.vip2clip.ica import ICA
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures, VisionOptions
from vipx.training.model.weights import LoadedClip

LAYERS = 4


@dataclass(frozen=True, slots=True)
class Shapes:
    """Sizes of the tail; the defaults are ViT-L/14 at 518 px."""

    width: int
    text_layers: int
    side: int
    patch: int = 14

    @property
    def cells(self) -> int:
        """Patches along one side."""
        return self.side // self.patch


def build(shapes: Shapes) -> tuple[Backbone, Vip2Clip]:
    """Make a model whose tail has these shapes; the vision tower is as small as it can be, it is not run."""
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=LAYERS, width=64, patch_size=shapes.patch, image_size=shapes.side)
    text = CLIPTextCfg(width=shapes.width, heads=shapes.width // 64, layers=shapes.text_layers)
    clip = open_clip.CLIP(shapes.width, vision_cfg=vision, text_cfg=text, quick_gelu=True)
    options = VisionOptions(shapes.side, shapes.side, tuple(range(1, LAYERS + 1)))
    backbone = Backbone(LoadedClip(clip.eval().requires_grad_(False), "random", "0" * 64), options)
    return backbone, Vip2Clip.untrained(preset_config("official"), backbone).eval()


def unfolded_tail(backbone: Backbone, method: Vip2Clip) -> Callable[[VisionFeatures], np.ndarray]:
    """Give the published tail."""
    put_tokens_first(backbone.text.transformer.resblocks)

    @torch.no_grad()
    def run(features: VisionFeatures) -> np.ndarray:
        result = method(backbone.text, features)
        result.scores()
        options = backbone.vision.options
        size = (options.height, options.width)
        planes = upsampled_probabilities(result.alignment, backbone.vision.grid, size)
        return anomaly_map(planes, method.config.sigma)

    return run


def folded_tail(
    backbone: Backbone, method: Vip2Clip, folder: Path, threads: int
) -> Callable[[VisionFeatures], np.ndarray]:
    """Export the two graphs and give a function that runs them."""
    features = random_features(backbone, batch=2)
    texts = method.text_embeddings(backbone.text, features.global_feature).detach()
    ica = method.ica
    assert isinstance(ica, ICA), "the official preset conditions its prompts"
    heads = Vip2ClipHeads(method, backbone.vision.options, backbone.vision.grid)
    write_graph(
        Prompts(ica, backbone.text), (features.global_feature,), PROMPTS, folder / "prompts.onnx"
    )
    interface = GraphInterface(heads.inputs, HEADS_OUTPUTS)
    write_graph(heads, (features.patch_features, texts), interface, folder / "heads.onnx")
    graphs = [Session(folder / f"{name}.onnx", threads=threads) for name in ("prompts", "heads")]

    def run(features: VisionFeatures) -> np.ndarray:
        values = {
            "global_feature": OrtValue.ortvalue_from_numpy(features.global_feature.numpy()),
            "patch_features": OrtValue.ortvalue_from_numpy(features.patch_features.numpy()),
        }
        for graph in graphs:
            values |= graph.run(values)
        return values["anomaly_map"].numpy()

    return run


def random_features(backbone: Backbone, batch: int = 1) -> VisionFeatures:
    """Draw unit vectors in place of the vision tower's."""
    rows, columns = backbone.vision.grid
    patches = torch.randn(batch, LAYERS, rows * columns, backbone.dim)
    return VisionFeatures(
        F.normalize(torch.randn(batch, backbone.dim), dim=-1), F.normalize(patches, dim=-1)
    )


def milliseconds(run: Callable[[VisionFeatures], Any], features: VisionFeatures) -> float:
    """Time one call."""
    start = perf_counter()
    run(features)
    return 1000 * (perf_counter() - start)


@click.command()
@click.option("--width", default=768, show_default=True, help="Width of texts and features.")
@click.option("--text-layers", default=12, show_default=True)
@click.option("--side", default=518, show_default=True, help="Input size in px.")
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=15, show_default=True)
def main(width: int, text_layers: int, side: int, threads: int, rounds: int) -> None:
    """Time both tails in turns and print the ratio of their medians."""
    torch.set_num_threads(threads)
    backbone, method = build(Shapes(width, text_layers, side))
    features = random_features(backbone)
    with tempfile.TemporaryDirectory() as folder:
        unfolded = unfolded_tail(backbone, method)
        folded = folded_tail(backbone, method, Path(folder), threads)
        difference = np.abs(unfolded(features) - folded(features)).max()
        pairs = [
            (milliseconds(unfolded, features), milliseconds(folded, features))
            for _ in range(rounds)
        ]
    before, after = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(b / a for b, a in pairs)
    click.echo(
        f"width {width}, {text_layers} text layers, {side} px, {threads} threads, {rounds} rounds"
    )
    click.echo(f"unfolded tail (PyTorch {torch.__version__}): median {before:.1f} ms")
    click.echo(f"folded tail (ONNX Runtime): median {after:.1f} ms")
    click.echo(
        f"ratio, pair by pair: median {ratio:.1f}x; largest difference of the maps {difference:.1e}"
    )


if __name__ == "__main__":
    main()
