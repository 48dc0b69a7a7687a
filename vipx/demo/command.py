"""What `vipx demo` does: verify the built-in bundle, inspect parts that it never saw, write a page."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from vipx.bundle import read_bundle
from vipx.demo import DEMO_BUNDLE, DEMO_WEIGHTS
from vipx.demo.page import write_page
from vipx.errors import ImageError
from vipx.folders import whole_folder
from vipx.images import list_images, read_image
from vipx.runtime import Inspection, Inspector, check_goldens
from vipx.training.data.procedural import UNSEEN, Part, draw_part, write_parts
from vipx.verdict import Verdict, decide

GOOD_PARTS = 20
# Drawn parts of other seeds than training's and the accuracy script's.
_FIRST_SEED = 7_000_000
# As large as the pictures of the demo's training; the inspector resizes them to the model's input.
_SIDE = 160

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """What the user asked for.

    Attributes:
        images: Pictures or folders of the user, inspected without a threshold.
        parts: Good and defective parts to inspect of each kind.
        page: HTML file to write.
        save_bundle: Where to leave the bundle, if anywhere.
        save_images: Where to leave the drawn parts with their masks, if anywhere.
        save_weights: Where to leave the backbone and the checkpoint that the bundle came from, if anywhere.
    """

    images: tuple[Path, ...]
    parts: int
    page: Path
    save_bundle: Path | None = None
    save_images: Path | None = None
    save_weights: Path | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """One inspected picture.

    `truth` is the defect drawn, `good`, or empty for a picture of the user; `threshold` is the category's.
    """

    title: str
    truth: str
    image: UInt8[ndarray, "height width 3"]
    anomaly_map: Float32[ndarray, "map_height map_width"]
    score: float
    threshold: float | None
    verdict: Verdict
    milliseconds: float


@dataclass(frozen=True, slots=True)
class CategoryResult:
    """How one kind of part went: NG among the defective, OK among the good."""

    category: str
    threshold: float
    good: int
    good_passed: int
    defective: int
    defective_found: int


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything that the demo found out."""

    bundle: str
    worst_golden: float
    categories: tuple[CategoryResult, ...]
    pictures: tuple[Inspected, ...]
    failures: tuple[str, ...]
    page: Path

    @property
    def median_milliseconds(self) -> float:
        """Time from pixels to heat map of the middle picture."""
        return median(picture.milliseconds for picture in self.pictures)

    def record(self) -> dict[str, Any]:
        """Give the result as plain data for JSON, without pixels."""
        return {
            "bundle": self.bundle,
            "goldens": {"worst_share_of_bound": self.worst_golden},
            "categories": [
                {name: getattr(c, name) for name in CategoryResult.__slots__}
                for c in self.categories
            ],
            "images": [
                {
                    "title": p.title,
                    "truth": p.truth,
                    "score": p.score,
                    "threshold": p.threshold,
                    "verdict": p.verdict.value,
                    "milliseconds": round(p.milliseconds, 3),
                }
                for p in self.pictures
            ],
            "median_milliseconds": round(self.median_milliseconds, 3),
            "failures": list(self.failures),
            "page": str(self.page),
        }


def run_demo(request: DemoRequest, report: Report, bundle: Path = DEMO_BUNDLE) -> DemoResult:
    """Run the demo.

    Raises:
        BundleError: The built-in bundle was changed.
        GateError: This machine does not give the golden answers.
        UsageError: A folder to save to exists already.
        InputError: The page or folders cannot be written, or a folder of the user holds no images.
    """
    listing = list_images(request.images)
    with Inspector.open(bundle) as inspector:
        report("golden images")
        worst = max(d.measured / d.bound for d in check_goldens(inspector))
        pictures: list[Inspected] = []
        categories = []
        for category in UNSEEN:
            report(category.replace("_", " "))
            found = list(_inspect_category(inspector, category, request.parts))
            pictures += found
            categories.append(_summary(category, found))
        failures: list[str] = []
        for image in listing.images:
            report(str(image.path))
            try:
                pictures.append(_inspect_file(inspector, image.path))
            except ImageError as error:
                failures.append(str(error))
        identity = inspector.bundle.identity
    result = DemoResult(
        identity, worst, tuple(categories), tuple(pictures), tuple(failures), request.page
    )
    report("page")
    write_page(result)
    _save(request, bundle, report)
    return result


def _inspect_category(inspector: Inspector, category: str, parts: int) -> Iterator[Inspected]:
    """Learn a threshold from good parts, then judge others.

    The threshold lies just above the highest score of GOOD_PARTS good parts: another good part exceeds it with
    a chance of 1 in GOOD_PARTS + 1. `vipx calibrate`, once it exists, does this with confidence bounds.
    """
    seeds = range(_FIRST_SEED, _FIRST_SEED + GOOD_PARTS)
    scores = [inspector.inspect(_draw(category, seed, None).image).score for seed in seeds]
    threshold = float(np.nextafter(max(scores), 2.0))
    for part in _parts(category, parts):
        yield _judged(part, inspector.inspect(part.image), threshold)


def _parts(category: str, count: int) -> Iterator[Part]:
    """Draw good parts, then defective ones, with seeds that the threshold did not see."""
    first = _FIRST_SEED + GOOD_PARTS
    for number in range(2 * count):
        defect = None if number < count else "random"
        yield _draw(category, first + number, defect)


def _draw(category: str, seed: int, defect: str | None) -> Part:
    return draw_part(category, seed, height=_SIDE, width=_SIDE, defect=defect)


def _judged(part: Part, result: Inspection, threshold: float) -> Inspected:
    return Inspected(
        title=part.category,
        truth=part.defect or "good",
        image=part.image,
        anomaly_map=result.anomaly_map,
        score=result.score,
        threshold=threshold,
        verdict=decide(result.score, threshold).verdict,
        milliseconds=result.timings.total,
    )


def _inspect_file(inspector: Inspector, path: Path) -> Inspected:
    image = read_image(path)
    result = inspector.inspect(image)
    return Inspected(
        title=str(path),
        truth="",
        image=image,
        anomaly_map=result.anomaly_map,
        score=result.score,
        threshold=None,
        verdict=result.verdict,
        milliseconds=result.timings.total,
    )


def _summary(category: str, found: list[Inspected]) -> CategoryResult:
    good = [p for p in found if p.truth == "good"]
    defective = [p for p in found if p.truth != "good"]
    return CategoryResult(
        category=category,
        threshold=found[0].threshold or 0.0,
        good=len(good),
        good_passed=sum(p.verdict is Verdict.OK for p in good),
        defective=len(defective),
        defective_found=sum(p.verdict is Verdict.NG for p in defective),
    )


def _save(request: DemoRequest, bundle: Path, report: Report) -> None:
    if request.save_bundle is not None:
        report("bundle")
        with whole_folder(request.save_bundle) as folder:
            shutil.copytree(bundle, folder, dirs_exist_ok=True)
        read_bundle(request.save_bundle)
    if request.save_weights is not None:
        report("weights")
        with whole_folder(request.save_weights) as folder:
            shutil.copytree(DEMO_WEIGHTS, folder, dirs_exist_ok=True)
    if request.save_images is not None:
        report("images")
        with whole_folder(request.save_images) as folder:
            _save_parts(folder, request.parts)


def _save_parts(folder: Path, count: int) -> None:
    """Write the parts that thresholds were learned from as the train split, the others as the test split."""
    for category in UNSEEN:
        seeds = range(_FIRST_SEED, _FIRST_SEED + GOOD_PARTS)
        write_parts(folder, (_draw(category, seed, None) for seed in seeds), "train")
        write_parts(folder, _parts(category, count), "test")
