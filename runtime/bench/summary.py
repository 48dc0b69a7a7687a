"""Percentiles of timings, and whether they would come out the same again."""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.runtime.bench.record import SummaryRecord

DRIFT_SHARE = 0.6  # of the limit on CV: a median of half the run moves less than single runs do


def summary(milliseconds: Float64[ndarray, "iterations"]) -> SummaryRecord:
    """Sum up one stage; percentiles lie between their neighbours, as numpy's do."""
    p50, p90, p95, p99 = (float(v) for v in np.percentile(milliseconds, (50, 90, 95, 99)))
    mean = float(milliseconds.mean())
    return SummaryRecord(
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        mean=mean,
        min=float(milliseconds.min()),
        max=float(milliseconds.max()),
        cv=float(milliseconds.std()) / mean if mean else 0.0,
    )


def noise(
    totals: Float64[ndarray, "iterations"], limit: float, load: float | None, cores: int
) -> tuple[str, ...]:
    """Say in sentences why these timings would not repeat; nothing where they would.

    Args:
        totals: Milliseconds of every iteration, in order.
        limit: Most deviation divided by the mean that counts as quiet.
        load: Programs that wanted to run before the timing started, if known.
        cores: That this process may use.
    """
    found = []
    if (cv := summary(totals).cv) > limit:
        found.append(f"single runs vary by {cv:.1%} (limit {limit:.1%})")
    early, late = (float(np.median(half)) for half in np.array_split(totals, 2))
    if abs(late / early - 1) > DRIFT_SHARE * limit:
        found.append(
            f"the median moved by {late / early - 1:+.1%} from the first half to the second"
        )
    if load is not None and load > 0.25 * cores + 0.25:
        found.append(f"{load:.1f} other programs wanted to run on {cores} cores when it started")
    return tuple(found)
