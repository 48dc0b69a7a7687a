"""From an engine's arrays to an answer; what cannot be right is an ERROR."""

from time import perf_counter

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from vipx.runtime.engines.engine import EngineRun
from vipx.runtime.judgement import Judge
from vipx.runtime.server.work.channel.messages import Answer
from vipx.runtime.server.work.child.desk import Job
from vipx.runtime.server.work.child.engines import Served
from vipx.runtime.server.work.child.regions import regions_of
from vipx.runtime.server.work.task import Region
from vipx.verdict import Verdict


def flaw(run: EngineRun, batch: int, size: tuple[int, int]) -> str | None:
    """Say what is wrong with a run's arrays; None if a verdict may rest on them."""
    arrays = [run.arrays.get(name) for name in ("score", "anomaly_map", "patch_map")]
    score, heat, patches = arrays
    if score is None or heat is None or patches is None:
        return "the engine left out an output"
    if score.shape != (batch,) or heat.shape != (batch, *size) or patches.ndim != 3:
        return (
            f"the engine gave a score of {score.shape} and a map of {heat.shape}, "
            f"expected {(batch,)} and {(batch, *size)}"
        )
    if not all(np.isfinite(array).all() for array in (score, heat, patches)):
        return "the engine gave numbers that are not finite"
    if score.min() < 0 or score.max() > 1:
        return f"the engine gave scores from {score.min()} to {score.max()}, not in [0, 1]"
    return None


def answer(job: Job, served: Served, run: EngineRun, place: int) -> Answer:
    """Judge one image of a run without flaw.

    Args:
        job: What was asked.
        served: Its recipe.
        run: Of the batch.
        place: Of the image in it.
    """
    start = perf_counter()
    score, heat, patches = (
        run.arrays[name][place] for name in ("score", "anomaly_map", "patch_map")
    )
    evidence = served.judge.evidence(float(score), patches, heat)
    decision = served.judge.decide(evidence)
    is_error = decision.verdict is Verdict.ERROR
    found = _regions(served.judge, decision.verdict, (heat, patches), job.size)
    return Answer(
        number=job.work.number,
        verdict=decision.verdict.value,
        reason=decision.reason,
        score=None if is_error else evidence.score,
        threshold=served.thresholds.score_ng,
        review=served.thresholds.score_review,
        regions=[[r.x, r.y, r.width, r.height, r.area, r.peak] for r in found],
        height=job.size[0],
        width=job.size[1],
        preprocess_us=job.preprocess_us,
        infer_us=round(1000 * run.times.total),
        postprocess_us=round(1e6 * (perf_counter() - start)),
        fault=decision.reason if is_error else None,
    )


def fault(job: Job, reason: str) -> Answer:
    """Answer ERROR for work that the engine failed on."""
    return Answer(
        number=job.work.number,
        verdict=Verdict.ERROR.value,
        reason=reason,
        height=job.size[0],
        width=job.size[1],
        preprocess_us=job.preprocess_us,
        fault=reason,
    )


def _regions(
    judge: Judge,
    verdict: Verdict,
    maps: tuple[Float32[ndarray, "height width"], Float32[ndarray, "rows columns"]],
    size: tuple[int, int],
) -> tuple[Region, ...]:
    if verdict not in (Verdict.NG, Verdict.REVIEW):
        return ()
    heat = judge.view.anomaly_map(*maps)
    limit = judge.limits.level
    # A score alone says not where; half of the map's own peak shows it, and decides nothing.
    level = float(heat.max()) / 2 if limit is None else limit.review
    if limit is not None and verdict is Verdict.NG and heat.max() >= limit.ng:
        level = limit.ng
    return regions_of(heat, level, size) if level > 0 else ()
