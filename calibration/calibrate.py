"""Calibrates a bundle for a product: good images in, recipe out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float32
from numpy import ndarray

from vipx.bundle import Bundle
from vipx.calibration.choice import Chooser, moved_record
from vipx.calibration.collection.collect import Collector, Reading, good_images
from vipx.calibration.collection.goodset import GoodSet, examined
from vipx.calibration.collection.ledger import Ledger
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.collection.pictures import Pictures
from vipx.calibration.content import Found, content_from, past_recipes
from vipx.calibration.labelled import Labelled, Labels, auroc_of, labelled
from vipx.calibration.limits import plan_of, rate_warning, thresholds_from_pictures
from vipx.calibration.prompts import fold_record, folded_texts
from vipx.calibration.request import Request
from vipx.calibration.stress.rows import StressRow, stressed
from vipx.images import ListedImage
from vipx.recipe import FoldRecord, Recipe, ThresholdsRecord, recipe_of, write_recipe
from vipx.runtime.engines.engine import EngineDescription
from vipx.runtime.inspector import Inspector

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A written recipe and what it rests on.

    Attributes:
        recipe: As written.
        good: All good images that were measured, as the recipe reads them.
        defects: The defective ones, if any were given.
        goodset: What was found about the good ones.
        labelled: How the defects fared, and good images that were left out.
        stress: How perturbed images fared, if asked for.
    """

    recipe: Recipe
    good: tuple[Measurement, ...]
    defects: tuple[Measurement, ...]
    goodset: GoodSet
    labelled: Labelled | None
    stress: tuple[StressRow, ...]


@dataclass(frozen=True, slots=True)
class _Images:
    """Good and defective pictures to measure, and where measurements are kept."""

    good: tuple[ListedImage, ...]
    defects: tuple[ListedImage, ...]
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class _Measured:
    """Good and defective images as one engine gives them."""

    bundle: Bundle
    engine: EngineDescription
    good: tuple[Measurement, ...]
    defects: tuple[Measurement, ...]


def calibrate(request: Request, report: Report) -> Calibration:
    """Measure good images, choose limits, and write the recipe.

    What was measured before an interruption is not measured again.

    Raises:
        UsageError: The recipe exists already, or options contradict the bundle.
        InputError: The images cannot be used; nothing was written.
        BundleError: The bundle cannot be trusted.
        GateError: So few images cannot support the rate, or are too different to fold; nothing was written.
    """
    history = past_recipes(request)
    images = _images(request)
    measured = _measure(request, images, None, report)
    goodset = examined(measured.good)
    fold = None
    if request.fold:
        fold, measured = _fold(request, measured, images, report)
    goodset, thresholds, judged = _chosen(request, measured, goodset)
    found = Found(
        measured.bundle, measured.engine, measured.good, goodset, thresholds, fold, history
    )
    recipe = recipe_of(content_from(request, found))
    different = [images.good[place] for place in goodset.groups.first]
    stress = _stress(request, recipe, different, report) if request.stress else ()
    write_recipe(request.recipe, recipe)
    images.ledger.remove()
    return Calibration(recipe, measured.good, measured.defects, goodset, judged, stress)


def _chosen(
    request: Request, measured: _Measured, goodset: GoodSet
) -> tuple[GoodSet, ThresholdsRecord, Labelled | None]:
    """Choose the limits, and judge labelled pictures by them; a picture that repeats another counts once."""
    good = Pictures.of_good(measured.good, goodset.groups)
    plan = plan_of(good.count, request.wish)
    warning = rate_warning(good.count, plan)
    if warning is not None:
        goodset = replace(goodset, warnings=(*goodset.warnings, warning))
    thresholds = thresholds_from_pictures(good, plan)
    if not measured.defects:
        return goodset, thresholds, None
    defects = Pictures.of_defects(measured.defects)
    if request.costs is not None:
        thresholds = moved_record(thresholds, good, defects, request.costs)
    labels = Labels(measured.good, measured.defects, good, defects)
    return goodset, thresholds, labelled(thresholds, labels, Chooser(plan, request.costs))


def _images(request: Request) -> _Images:
    good = good_images(request.good, request.left_out)
    defects = () if request.defects is None else good_images(request.defects)
    return _Images(good, defects, Ledger.beside(request.recipe))


def _measure(
    request: Request,
    images: _Images,
    texts: Float32[ndarray, "texts dim"] | None,
    report: Report,
) -> _Measured:
    reading = Reading(request.region, request.wish.area)
    with Inspector.open(
        request.bundle, precision=request.precision, options=request.options, texts=texts
    ) as inspector:
        collector = Collector.of(inspector, reading, images.ledger, texts)
        return _Measured(
            bundle=inspector.bundle,
            engine=inspector.description,
            good=collector.collect(images.good, report),
            defects=collector.collect(images.defects, report),
        )


def _fold(
    request: Request, exact: _Measured, images: _Images, report: Report
) -> tuple[FoldRecord, _Measured]:
    """Fold the prompts, and measure everything again as the line will."""
    report("folding the prompts")
    folded = folded_texts(exact.bundle, exact.good)
    after = _measure(request, images, folded.texts, report)
    record = fold_record(folded, exact.bundle, exact.good, after.good)
    if exact.defects:
        both = (auroc_of(exact.good, exact.defects), auroc_of(after.good, after.defects))
        record = record.model_copy(update={"auroc": both})
    return record, after


def _stress(
    request: Request, recipe: Recipe, images: Sequence[ListedImage], report: Report
) -> tuple[StressRow, ...]:
    with Inspector.open(request.bundle, recipe=recipe, options=request.options) as inspector:
        return stressed(inspector, images, report)
