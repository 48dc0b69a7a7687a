"""Measures how often thresholds keep what they promise, over simulated calibrations.

    python -m benchmarks.threshold_coverage
    python -m benchmarks.threshold_coverage --runs 200 --json
    python -m benchmarks.threshold_coverage --together

Scores are drawn from distributions whose tails are known, so that the true false-alarm rate at a threshold is
computed and not estimated. A row tells the share of runs in which it stayed within the rate asked for, and the
share in which the interval held the true quantile. Exits with 6 if a share is below what was promised by more
than three standard errors; the fitted tail promises nothing for mixtures, and 90 % for its interval.

`--together` measures limits of two numbers instead. Order statistics ask only for the numbers' ranks, so that
what matters is how the two depend on one another.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import click
import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy import stats

from vipx.calibration.thresholds import blocks, tail
from vipx.calibration.thresholds.estimate import Kind, threshold_from_scores
from vipx.calibration.thresholds.pareto import fit, goodness

# Rates that so many images support at both confidences.
RATES: dict[Kind, dict[int, tuple[float, ...]]] = {
    "order": {20: (0.17, 0.3), 50: (0.075, 0.1), 200: (0.02, 0.05)},
    "tail": {50: (0.02, 0.004), 200: (0.01, 0.003, 0.001)},
}
SMOOTH = ("normal", "skewed", "heavy", "bounded")
# Parts of another batch among them: how many, and how far their scores lie from the others'.
MIXTURES = {"mixture": (0.1, 4.0), "rare": (0.02, 6.0)}
DISTRIBUTIONS = (*SMOOTH, *MIXTURES)
FROZEN = {
    "normal": stats.norm(),
    "skewed": stats.lognorm(0.5),
    "heavy": stats.t(4),
    "bounded": stats.beta(2, 5),
}
# Correlation of two normal numbers; 1 and -1 are the same number twice, and its opposite.
DEPENDENCES = (-1.0, -0.5, 0.0, 0.7, 1.0)
TOGETHER = (20, 40, 50, 120, 200)
CONFIDENCE = 0.95
EACH_END = 0.975
TAIL_COVERAGE = 0.90


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated."""

    distribution: str
    images: int
    kind: Kind
    runs: int
    rates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """One calibration: true rates beyond the threshold and beyond the ends of its interval."""

    chosen: float
    lower: float
    upper: float
    poor: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was counted for one rate of a plan.

    Attributes:
        distribution: Of the scores.
        images: Of each calibration.
        kind: How thresholds were chosen.
        runs: Calibrations.
        rate: False-alarm rate that was asked for.
        kept: Share of runs with the true false-alarm rate at the threshold within the rate asked for.
        covered: Share of runs whose interval of nominal 95 % held the true quantile.
        above: Share of runs whose interval lay above it.
        below: Share of runs whose interval lay below it.
        alarms: Median of the true false-alarm rate at the threshold.
        warned: Share of runs that said the tail does not fit.
    """

    distribution: str
    images: int
    kind: Kind
    runs: int
    rate: float
    kept: float
    covered: float
    above: float
    below: float
    alarms: float
    warned: float

    @property
    def holds(self) -> bool:
        """Whether what was promised lies within three standard errors of what was counted."""
        if self.kind == "tail" and self.distribution in MIXTURES:
            return True
        covered = TAIL_COVERAGE if self.kind == "tail" else 2 * EACH_END - 1
        pairs = ((self.kept, CONFIDENCE), (self.covered, covered))
        return all(share >= _lowest(promised, self.runs) for share, promised in pairs)


def _lowest(promised: float, runs: int) -> float:
    return promised - 3 * math.sqrt(promised * (1 - promised) / runs)


def draw(
    distribution: str, generator: np.random.Generator, images: int
) -> Float64[ndarray, " images"]:
    """Draw scores of good images."""
    if distribution in FROZEN:
        return FROZEN[distribution].rvs(images, random_state=generator)
    share, shift = MIXTURES[distribution]
    return generator.normal(0, 1, images) + shift * (generator.random(images) < share)


def exceeded(distribution: str, score: float) -> float:
    """Give the true share of good parts that score beyond."""
    if distribution in FROZEN:
        return float(FROZEN[distribution].sf(score))
    share, shift = MIXTURES[distribution]
    normal = FROZEN["normal"]
    return float((1 - share) * normal.sf(score) + share * normal.sf(score - shift))


def simulate(plan: Plan) -> list[Coverage]:
    """Calibrate many times, once for all rates of a plan; the seed is the plan itself."""
    seed = [DISTRIBUTIONS.index(plan.distribution), plan.images, list(RATES).index(plan.kind)]
    generator = np.random.default_rng(seed)
    counted: dict[float, list[Counted]] = {rate: [] for rate in plan.rates}
    for _ in range(plan.runs):
        scores = draw(plan.distribution, generator, plan.images)
        counting = _by_order if plan.kind == "order" else _by_tail
        for rate, one in zip(plan.rates, counting(plan, scores), strict=True):
            counted[rate].append(one)
    return [_coverage(plan, rate, runs) for rate, runs in counted.items()]


def _by_order(plan: Plan, scores: Float64[ndarray, " images"]) -> Iterator[Counted]:
    true_rate = partial(exceeded, plan.distribution)
    for rate in plan.rates:
        chosen, wide = (
            threshold_from_scores(scores, rate=rate, confidence=each, kind="order")
            for each in (CONFIDENCE, EACH_END)
        )
        ends = true_rate(wide.interval.lower), true_rate(wide.interval.upper)
        yield Counted(true_rate(chosen.value), *ends, poor=False)


def _by_tail(plan: Plan, scores: Float64[ndarray, " images"]) -> Iterator[Counted]:
    """Do what `threshold_from_scores` does, with the likelihood computed once for all rates."""
    true_rate = partial(exceeded, plan.distribution)
    cut = tail.tail_of(np.sort(scores))
    surface = tail.surface_of(cut)
    poor = goodness(cut.excesses, fit(cut.excesses[None])).p_value <= 0.05
    for rate in plan.rates:
        chosen = tail.quantile_ends(surface, rate, CONFIDENCE)
        wide = tail.quantile_ends(surface, rate, EACH_END)
        ends = true_rate(wide.lower), true_rate(wide.upper)
        yield Counted(true_rate(chosen.upper), *ends, poor=poor)


def _coverage(plan: Plan, rate: float, runs: list[Counted]) -> Coverage:
    above = float(np.mean([one.lower < rate for one in runs]))
    below = float(np.mean([one.upper > rate for one in runs]))
    return Coverage(
        distribution=plan.distribution,
        images=plan.images,
        kind=plan.kind,
        runs=plan.runs,
        rate=rate,
        kept=float(np.mean([one.chosen <= rate for one in runs])),
        covered=1 - above - below,
        above=above,
        below=below,
        alarms=float(np.median([one.chosen for one in runs])),
        warned=float(np.mean([one.poor for one in runs])),
    )


def plans(runs: int, kind: Kind, names: Iterable[str] = DISTRIBUTIONS) -> Iterator[Plan]:
    """List what is simulated, the most images first."""
    for images, rates in sorted(RATES[kind].items(), reverse=True):
        for name in names:
            yield Plan(name, images, kind, runs, rates)


def table(rows: list[Coverage]) -> str:
    """Write the counts as Markdown."""
    lines = [
        "| by | images | rate | scores | rate kept | interval covers | above | below | median rate "
        "| poor fit told |",
        "|---" * 10 + "|",
    ]
    for row in rows:
        warned = f"{row.warned:.1%}" if row.kind == "tail" else "-"
        lines.append(
            f"| {row.kind} | {row.images} | {row.rate:g} | {row.distribution} | {row.kept:.1%} "
            f"| {row.covered:.1%} | {row.above:.1%} | {row.below:.1%} | {row.alarms:.2g} | {warned} |"
        )
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Joint:
    """How often limits of two numbers kept their joint rate, and the median of the true one."""

    images: int
    rate: float
    correlation: float
    kept: float
    alarms: float


def simulate_together(images: int, correlation: float, runs: int) -> Joint:
    """Calibrate two numbers many times at the default rate."""
    rate = max(0.05, blocks.smallest_rate_of(images, 2, CONFIDENCE))
    steps = blocks.blocks_within(images, rate, CONFIDENCE, 2)
    generator = np.random.default_rng([images, DEPENDENCES.index(correlation)])
    mixing = np.array([[1, correlation], [0, math.sqrt(1 - correlation**2)]])
    limits = [blocks.cut(generator.normal(size=(images, 2)) @ mixing, steps) for _ in range(runs)]
    true = np.array([_beyond(score, level, correlation) for score, level in limits])
    return Joint(images, rate, correlation, float((true <= rate).mean()), float(np.median(true)))


def _beyond(score: float, level: float, correlation: float) -> float:
    """Give the true share of parts beyond either limit."""
    normal = FROZEN["normal"]
    if abs(correlation) < 1:
        covariance = [[1, correlation], [correlation, 1]]
        return 1 - float(stats.multivariate_normal(cov=covariance).cdf([score, level]))
    if correlation > 0:
        return float(normal.sf(min(score, level)))
    return min(1.0, float(normal.sf(score) + normal.sf(level)))


def together(runs: int) -> list[Joint]:
    """Print the table of two numbers."""
    rows = [simulate_together(n, each, runs) for n in TOGETHER for each in DEPENDENCES]
    click.echo("| images | rate | correlation | rate kept | median rate |")
    click.echo("|---" * 5 + "|")
    for row in rows:
        click.echo(
            f"| {row.images} | {row.rate:.4f} | {row.correlation:g} | {row.kept:.1%} | {row.alarms:.2g} |"
        )
    return rows


@click.command()
@click.option("--runs", type=click.IntRange(min=20), default=2000, show_default=True)
@click.option(
    "--by", type=click.Choice(list(RATES)), help="Order statistics or fitted tails [both]."
)
@click.option("--scores", "name", type=click.Choice(DISTRIBUTIONS), help="One distribution [all].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as it is counted.")
@click.option("--together", "pairs", is_flag=True, help="Limits of two numbers instead.")
def main(runs: int, by: Kind | None, name: str | None, as_json: bool, pairs: bool) -> None:
    """Measure how often thresholds keep what they promise."""
    if pairs:
        lowest = _lowest(CONFIDENCE, runs)
        raise SystemExit(6 if any(row.kept < lowest for row in together(runs)) else 0)
    rows = []
    for kind in (by,) if by else RATES:
        for plan in plans(runs, kind, (name,) if name else DISTRIBUTIONS):
            counted = simulate(plan)
            rows.extend(counted)
            if as_json:
                click.echo("\n".join(json.dumps(asdict(row)) for row in counted))
    if not as_json:
        click.echo(table(rows))
    broken = [row for row in rows if not row.holds]
    for row in broken:
        click.echo(f"not kept: {row}", err=True)
    raise SystemExit(6 if broken else 0)


if __name__ == "__main__":
    main()
