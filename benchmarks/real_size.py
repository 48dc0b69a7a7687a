"""Exports and runs ViT-L/14 at 518 px with random weights; prints time and peak memory of each command.

Random weights cost what real ones cost, and prove nothing about accuracy. Every command is a process of its
own, so that its peak memory is its own.

    python -m benchmarks.real_size                  # about 10 GB of disk in the temporary folder
"""

import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import click
import open_clip
import torch

from vipx.training.data.procedural import UNSEEN, draw_part
from vipx.training.methods.checkpoints import save_method
from vipx.training.methods.vip2clip.configuration import preset_config
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionOptions
from vipx.training.model.weights import clip_from_file

ARCHITECTURE = "ViT-L-14-336-quickgelu"


def write_model(folder: Path) -> tuple[Path, Path]:
    """Write random CLIP weights and an untrained checkpoint; gives both paths."""
    torch.manual_seed(0)
    weights, checkpoint = folder / "clip.pt", folder / "model.ckpt"
    clip = open_clip.create_model(ARCHITECTURE, pretrained=None, load_weights=False)
    torch.save(clip.state_dict(), weights)
    backbone = Backbone(clip_from_file(weights), VisionOptions(518, 518, (6, 12, 18, 24)))
    method = Vip2Clip.untrained(preset_config("official"), backbone)
    save_method(checkpoint, method, backbone, training={"note": "random, for benchmarks"})
    return weights, checkpoint


def run(*arguments: object) -> str:
    """Run `vipx`, print its wall time and peak memory; gives its stdout."""
    command = [sys.executable, "-m", "vipx", *map(str, arguments)]
    reader, writer = os.pipe()
    start = perf_counter()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        output = pipe.read()
    _, status, usage = os.wait4(process, 0)
    seconds, peak = perf_counter() - start, usage.ru_maxrss / 2**20
    if status:
        raise SystemExit(
            f"vipx {arguments[0]} failed with status {os.waitstatus_to_exitcode(status)}"
        )
    cpu = usage.ru_utime + usage.ru_stime
    click.echo(f"{arguments[0]:8} {seconds:7.1f} s wall, {cpu:7.1f} s CPU, peak {peak:5.2f} GiB")
    return output


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to work [a temporary folder]."
)
def main(folder: Path | None) -> None:
    """Export in both precisions, then inspect one drawn part with each."""
    from PIL import Image

    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        # In a process of its own: a child's peak memory starts with its parent's (Linux, vfork).
        with ProcessPoolExecutor(1, get_context("spawn")) as maker:
            weights, checkpoint = maker.submit(write_model, work).result()
        bundle, image = work / "large.vipx", work / "part.png"
        Image.fromarray(draw_part(UNSEEN[0], 0, height=1024, width=1024).image).save(image)
        options = ("--backbone-weights", weights, "--precision", "fp32,fp16", "--json")
        manifest = json.loads(run("export", checkpoint, *options, "-o", bundle))
        for record in manifest["parity"]:
            worst = max(d["measured"] / d["bound"] for d in record["differences"])
            click.echo(f"  {record['precision']}: worst difference {worst:.1%} of its bound")
        for precision in ("fp32", "fp16"):
            row = json.loads(run("predict", bundle, image, "--json", "--precision", precision))
            click.echo(f"  {precision}: {row['timings_ms']}")


if __name__ == "__main__":
    main()
