"""Runs pool, backbone and heads one after the other, and writes what they make."""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from vipx.errors import UsageError
from vipx.training.demo.clip import save_clip, small_clip
from vipx.training.demo.plan import DemoPlan
from vipx.training.demo.pool import Pool, drawn_pool, opened_pool
from vipx.training.demo.training import Progress, pretrain, train_heads
from vipx.training.methods.checkpoints import save_method
from vipx.training.methods.vip2clip.configuration import preset_config
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionOptions
from vipx.training.model.weights import LoadedClip, clip_from_file

STAGE_1, BACKBONE, CHECKPOINT = "stage1.pt", "backbone.safetensors", "demo.ckpt"
SNAPSHOT_EVERY = 300


def make_demo(folder: Path, plan: DemoPlan) -> None:
    """Train the demo model from nothing into `folder`: `backbone.safetensors` and `demo.ckpt`.

    Raises:
        UsageError: torch is older than 2.9 and has no Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise UsageError(f"the demo's training needs torch 2.9 or newer, found {torch.__version__}")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    pool = drawn_pool(folder / "pool", plan)
    _say(f"pool: {plan.drawn} pictures, {time.monotonic() - began:.0f} s")
    train_backbone(folder, plan)
    finish_heads(folder, pool, plan)
    _say(f"done: {time.monotonic() - began:.0f} s in all")


def train_backbone(folder: Path, plan: DemoPlan) -> None:
    """Stage 1, in as many processes as the plan has workers; leaves `stage1.pt`."""
    if plan.workers == 1:
        _worker(0, folder, plan)
        return
    (folder / "meeting").unlink(missing_ok=True)
    with ProcessPoolExecutor(plan.workers, get_context("spawn")) as workers:
        jobs = [workers.submit(_worker, rank, folder, plan) for rank in range(plan.workers)]
        for job in jobs:
            job.result()


def finish_heads(folder: Path, pool: Pool, plan: DemoPlan) -> None:
    """Stage 2 on the backbone as written to its file, so that the checkpoint names that file's hash."""
    clip, method = _untrained(plan)
    _load(folder / STAGE_1, clip, method)
    save_clip(clip, folder / BACKBONE)
    options = VisionOptions(plan.final_side, plan.final_side, plan.feature_layers)
    backbone = Backbone(clip_from_file(folder / BACKBONE), options)
    torch.manual_seed(plan.seed)
    began = time.monotonic()
    for progress in train_heads(backbone, method, pool, plan):
        _report("heads", progress, began)
    made = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(plan).items()}
    save_method(
        folder / CHECKPOINT,
        method,
        backbone,
        training={"program": "vipx.training.demo", **made},
        overwrite=True,
    )


def _worker(rank: int, folder: Path, plan: DemoPlan) -> None:
    """One process of stage 1: one thread, so that workers do not wait for each other's at every product."""
    if plan.workers > 1:
        torch.set_num_threads(1)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        meeting = f"file://{(folder / 'meeting').absolute()}"
        dist.init_process_group("gloo", meeting, rank=rank, world_size=plan.workers)
    clip, method = _untrained(plan)
    backbone = Backbone(LoadedClip(clip, "inferred", "0" * 64), _options(plan))
    pool = opened_pool(folder / "pool")
    began = time.monotonic()
    for progress in pretrain(backbone, method, pool, plan, rank):
        if rank == 0:
            _report("stage 1", progress, began)
            if progress.step % SNAPSHOT_EVERY == 0 or progress.step == plan.steps:
                state = {"clip": clip.state_dict(), "method": method.state_dict()}
                torch.save(state, folder / STAGE_1)
    if plan.workers > 1:
        dist.destroy_process_group()


def _load(path: Path, clip: nn.Module, method: Vip2Clip) -> None:
    state = torch.load(path, weights_only=True)
    clip.load_state_dict(state["clip"])
    method.load_state_dict(state["method"])


def _untrained(plan: DemoPlan) -> tuple[nn.Module, Vip2Clip]:
    """The model before its first step; equal in every process."""
    torch.manual_seed(plan.seed)
    clip = small_clip(plan)
    backbone = Backbone(LoadedClip(clip, "inferred", "0" * 64), _options(plan))
    config = preset_config("official", normal_word="good", top_k=plan.top_k, sigma=plan.sigma)
    return clip, Vip2Clip.untrained(config, backbone)


def _options(plan: DemoPlan) -> VisionOptions:
    return VisionOptions(plan.side, plan.side, plan.feature_layers)


def _report(stage: str, progress: Progress, began: float) -> None:
    _say(
        f"{stage} {progress.step}: loss {progress.loss:.3f}, "
        f"cross-entropy {progress.cross_entropy:.3f}, {time.monotonic() - began:.0f} s"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
