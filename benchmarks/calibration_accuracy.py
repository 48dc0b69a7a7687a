"""How calibration keeps its word: false alarms on held-out good images, and defects found, for each category.

    python -m benchmarks.calibration_accuracy [--industrial FOLDER] [--out FILE.json]

Each category's good images are measured once. A seeded choice of 40 makes the limits, the others are held out.
200 further choices of 40 tell how often the held-out rate stays at or below the stated one.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from vipx.calibration.collection.collect import Collector, Reading
from vipx.calibration.collection.goodset import examined
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.labelled import auroc, verdict_of
from vipx.calibration.limits import Wish, joint_false_alarms, thresholds_from_measurements
from vipx.calibration.rates import Rate, rate_of
from vipx.demo import DEMO_BUNDLE
from vipx.errors import VipxError
from vipx.images import ListedImage, list_images
from vipx.recipe import LimitRecord, ThresholdsRecord
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import EngineOptions
from vipx.training.data.procedural import UNSEEN, draw_part, write_parts
from vipx.verdict import Verdict

CALIBRATED = 40
FEWEST_HELD_OUT = 5
CHOICES = 200
FIRST_SEED = 5_000_000
GOOD, BAD, SIDE = 200, 100, 160
WISHES = {
    "score, rate 8 %": Wish(rate=0.08, criteria="score"),
    "score, rate 11 %": Wish(rate=0.11, criteria="score"),
    "both, rate 16 %": Wish(rate=0.16, criteria="both"),
    "both, rate 5 % (default)": Wish(),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One category under one wish.

    Attributes:
        category: Its name.
        wish: What was asked for.
        images: Good images that made the limits.
        refusal: Why there are no limits, if so.
        reported: Interval of the false-alarm rate as the recipe states it.
        measured: NG among the held-out good images.
        inside: Whether the measured share is at most the reported upper end and its exact 95 % interval reaches
            the lower one (0 of 160 cannot show a rate of 0.1 %).
        kept: Share of 200 other choices in which the held-out share is at most the reported upper end.
        found: NG among the defective images.
        seen: NG or REVIEW among them.
        auroc: Of the score, held-out good against defective.
    """

    category: str
    wish: str
    images: int
    refusal: str | None = None
    reported: tuple[float, float] | None = None
    measured: Rate | None = None
    inside: bool | None = None
    kept: float | None = None
    found: Rate | None = None
    seen: Rate | None = None
    auroc: float | None = None


@click.command()
@click.option("--industrial", type=click.Path(path_type=Path), help="shared/data/industrial")
@click.option("--out", type=click.Path(path_type=Path))
def main(industrial: Path | None, out: Path | None) -> None:
    """Print a table, and write the rows as JSON."""
    rows: list[Row] = []
    options = EngineOptions(engine="onnxruntime", threads=1)
    with Inspector.open(DEMO_BUNDLE, options=options) as inspector, TemporaryDirectory() as folder:
        collector = Collector.of(inspector, Reading())
        for category, good, bad in _categories(Path(folder), industrial):
            measured = [collector.collect(each, lambda _: None) for each in (good, bad)]
            for name, wish in WISHES.items():
                rows.append(_row((category, name), wish, measured[0], measured[1]))
                click.echo(_line(rows[-1]))
    if out:
        out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def _categories(
    folder: Path, industrial: Path | None
) -> Iterator[tuple[str, Sequence[ListedImage], Sequence[ListedImage]]]:
    for category in UNSEEN:
        seeds = range(FIRST_SEED, FIRST_SEED + GOOD + BAD)
        parts = (
            draw_part(
                category, seed, height=SIDE, width=SIDE, defect=None if i < GOOD else "random"
            )
            for i, seed in enumerate(seeds)
        )
        write_parts(folder, parts, "test")
        yield category, *_split(folder / category)
    for root in sorted(industrial.iterdir()) if industrial else ():
        if root.is_dir():
            yield root.name, *_split(root)


def _split(root: Path) -> tuple[list[ListedImage], list[ListedImage]]:
    """Give good and defective images of a category in MVTec AD's layout."""
    images = list_images([one for one in (root / "train", root / "test") if one.is_dir()]).images
    good = [one for one in images if one.path.parent.name == "good"]
    return good, [one for one in images if one.path.parent.name != "good"]


def _row(
    names: tuple[str, str], wish: Wish, good: Sequence[Measurement], bad: Sequence[Measurement]
) -> Row:
    count = min(CALIBRATED, len(good) - FEWEST_HELD_OUT)
    try:
        thresholds, held_out = _calibrated(good, count, wish, seed=0)
    except VipxError as error:
        return Row(*names, count, refusal=str(error))
    reported = joint_false_alarms(thresholds)
    measured = _ng(thresholds, held_out)
    verdicts = [verdict_of(thresholds, one) for one in bad]
    ng = verdicts.count(Verdict.NG)
    return Row(
        *names,
        count,
        reported=reported,
        measured=measured,
        inside=measured.share <= reported[1] and reported[0] <= measured.upper,
        kept=_kept(good, count, wish),
        found=rate_of(ng, len(bad)),
        seen=rate_of(ng + verdicts.count(Verdict.REVIEW), len(bad)),
        auroc=auroc(held_out, bad),
    )


def _calibrated(
    good: Sequence[Measurement], count: int, wish: Wish, *, seed: int
) -> tuple[ThresholdsRecord, list[Measurement]]:
    order = np.random.default_rng(seed).permutation(len(good))
    chosen = [good[place] for place in order[:count]]
    thresholds = thresholds_from_measurements(chosen, examined(chosen).groups, wish)
    return thresholds, [good[place] for place in order[count:]]


def _kept(good: Sequence[Measurement], count: int, wish: Wish) -> float | None:
    """Count the choices whose held-out rate is no higher than stated; None for the slow tail fits."""
    if "order" not in {limit.kind for limit in _limits(_calibrated(good, count, wish, seed=0)[0])}:
        return None
    kept = 0
    for seed in range(1, CHOICES + 1):
        thresholds, held_out = _calibrated(good, count, wish, seed=seed)
        kept += _ng(thresholds, held_out).share <= joint_false_alarms(thresholds)[1]
    return kept / CHOICES


def _limits(thresholds: ThresholdsRecord) -> list[LimitRecord]:
    return [one for one in (thresholds.score, thresholds.level) if one is not None]


def _ng(thresholds: ThresholdsRecord, images: Sequence[Measurement]) -> Rate:
    verdicts = [verdict_of(thresholds, one) for one in images]
    return rate_of(verdicts.count(Verdict.NG), len(images))


def _line(row: Row) -> str:
    if row.measured is None or row.reported is None or row.found is None or row.seen is None:
        return f"| {row.category} | {row.wish} | {row.images} | {row.refusal} |"
    lower, upper = row.reported
    kept = "-" if row.kept is None else f"{row.kept:.1%}"
    return (
        f"| {row.category} | {row.wish} | {row.images} | {lower:.1%} to {upper:.1%} | {row.measured.text} "
        f"| {'yes' if row.inside else 'no'} | {kept} | {row.found.text} | {row.seen.text} | {row.auroc:.3f} |"
    )


if __name__ == "__main__":
    main()
