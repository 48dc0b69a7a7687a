"""How calibration keeps its word: false alarms on held-out good images, and defects found, for each category.

    python -m benchmarks.calibration_accuracy [--industrial FOLDER] [--out FILE.json]

Each category's good images are measured once. A seeded choice of 40 makes the limits, the others are held out.
200 further choices of 40 tell how often the held-out rate stays at or below the stated one, and what it is in
the mean: a category with few held-out images says more that way than by one choice. Good images that repeat one
another are held out as they are, and count once where they make limits.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from vipx.calibration.choice import limits_of_record, verdicts_of
from vipx.calibration.collection.collect import Collector, Reading
from vipx.calibration.collection.goodset import examined
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.collection.pictures import Pictures
from vipx.calibration.labelled import auroc_of
from vipx.calibration.limits import Wish, joint_false_alarms, plan_of, thresholds_from_pictures
from vipx.calibration.thresholds.shares import Share, share_of
from vipx.demo import DEMO_BUNDLE
from vipx.errors import VipxError
from vipx.images import ListedImage, list_images
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import EngineOptions
from vipx.training.data.procedural import UNSEEN, draw_part, write_parts
from vipx.verdict import Limits, Verdict

CALIBRATED = 40
FEWEST_HELD_OUT = 5
CHOICES = 200
FIRST_SEED = 5_000_000
GOOD, BAD, SIDE = 200, 100, 160
WISHES = {
    "default": Wish(),
    "--by score": Wish(criteria="score"),
    "--rate 0.05": Wish(rate=0.05),
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
        review: REVIEW among them.
        inside: Whether the measured share is at most the reported upper end and its exact 95 % interval reaches
            the lower one (0 of 160 cannot show a rate of 0.1 %).
        kept: Share of 200 other choices in which the held-out share is at most the reported upper end.
        mean: Held-out share in those choices.
        found: NG among the defective images.
        seen: NG or REVIEW among them.
        auroc: Of the score, held-out good against defective.
    """

    category: str
    wish: str
    images: int
    refusal: str | None = None
    reported: tuple[float, float] | None = None
    measured: Share | None = None
    review: Share | None = None
    inside: bool | None = None
    kept: float | None = None
    mean: float | None = None
    found: Share | None = None
    seen: Share | None = None
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
    chosen, held_out = _split_at(good, count, seed=0)
    try:
        reported, limits = _calibrated(chosen, wish)
    except VipxError as error:
        return Row(*names, count, refusal=str(error))
    passed, failed = (verdicts_of(limits, _pictures(each)) for each in (held_out, bad))
    measured, ng = _share(passed, Verdict.NG), failed.count(Verdict.NG)
    kept, mean = _choices(good, count, wish)
    return Row(
        *names,
        count,
        reported=reported,
        measured=measured,
        review=_share(passed, Verdict.REVIEW),
        inside=(measured.value or 0.0) <= reported[1] and reported[0] <= measured.upper,
        kept=kept,
        mean=mean,
        found=share_of(ng, len(bad)),
        seen=share_of(ng + failed.count(Verdict.REVIEW), len(bad)),
        auroc=auroc_of(held_out, bad),
    )


def _split_at(
    good: Sequence[Measurement], count: int, *, seed: int
) -> tuple[list[Measurement], list[Measurement]]:
    order = np.random.default_rng(seed).permutation(len(good))
    return [good[place] for place in order[:count]], [good[place] for place in order[count:]]


def _calibrated(chosen: Sequence[Measurement], wish: Wish) -> tuple[tuple[float, float], Limits]:
    """Give the reported false alarms and the limits."""
    good = Pictures.of_good(chosen, examined(chosen).groups)
    thresholds = thresholds_from_pictures(good, plan_of(good.count, wish))
    return joint_false_alarms(thresholds), limits_of_record(thresholds)


def _pictures(images: Sequence[Measurement]) -> Pictures:
    score, level = (np.array([getattr(one, name) for one in images]) for name in ("score", "level"))
    return Pictures(score, level)


def _choices(good: Sequence[Measurement], count: int, wish: Wish) -> tuple[float, float]:
    """Give in how many choices the held-out rate is no higher than stated, and its mean.

    A refused choice states nothing.
    """
    kept, rates = 0, []
    for seed in range(1, CHOICES + 1):
        chosen, held_out = _split_at(good, count, seed=seed)
        try:
            reported, limits = _calibrated(chosen, wish)
        except VipxError:
            continue
        rate = _share(verdicts_of(limits, _pictures(held_out)), Verdict.NG).value or 0.0
        rates.append(rate)
        kept += rate <= reported[1]
    return kept / len(rates), float(np.mean(rates))


def _share(verdicts: Sequence[Verdict], wanted: Verdict) -> Share:
    return share_of(verdicts.count(wanted), len(verdicts))


def _line(row: Row) -> str:
    start = f"| {row.category} | {row.wish} | {row.images} "
    shares = (row.measured, row.review, row.found, row.seen)
    if row.reported is None or row.kept is None or row.mean is None or not all(shares):
        return f"{start}| {row.refusal} |"
    lower, upper = row.reported
    measured, review, found, seen = (share.text for share in shares if share)
    return (
        f"{start}| {lower:.1%} to {upper:.1%} | {measured} | {'yes' if row.inside else 'no'} "
        f"| {row.mean:.1%} | {row.kept:.1%} | {review} | {found} | {seen} | {row.auroc:.3f} |"
    )


if __name__ == "__main__":
    main()
