"""Puts a recipe together from what was measured and chosen."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import scipy

from vipx import __version__
from vipx.bundle import Bundle
from vipx.calibration.collection.goodset import GoodSet
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.request import Request
from vipx.calibration.summaries import summary_of
from vipx.errors import UsageError
from vipx.recipe import (
    BundleRecord,
    EngineRecord,
    FoldRecord,
    ImageSetRecord,
    MadeRecord,
    PastRecord,
    RecipeContent,
    ThresholdsRecord,
    read_recipe,
)
from vipx.runtime.engines.engine import EngineDescription


@dataclass(frozen=True, slots=True)
class Found:
    """What calibration found out.

    Attributes:
        bundle: The verified bundle.
        engine: What measured.
        good: All good images.
        goodset: What was found about them.
        thresholds: What was chosen.
        fold: What folding changed, where it was asked for.
        history: Recipes that this one replaces.
    """

    bundle: Bundle
    engine: EngineDescription
    good: tuple[Measurement, ...]
    goodset: GoodSet
    thresholds: ThresholdsRecord
    fold: FoldRecord | None
    history: tuple[PastRecord, ...]


def content_from(request: Request, found: Found) -> RecipeContent:
    """Say everything that a recipe holds."""
    engine = found.engine
    return RecipeContent(
        product=request.product,
        bundle=BundleRecord(identity=found.bundle.identity, name=found.bundle.manifest.name),
        thresholds=found.thresholds,
        region=request.region,
        fold=found.fold,
        images=_image_set(request, found),
        summary=summary_of(found.good),
        engine=EngineRecord(
            engine=engine.engine,
            version=engine.version,
            device=engine.device,
            precision=engine.precision,
            arithmetic=engine.arithmetic,
            detail=dict(engine.detail),
        ),
        made=_made(request.author),
        history=found.history,
    )


def past_recipes(request: Request) -> tuple[PastRecord, ...]:
    """Read the recipe that is to be replaced, if there is one, and those that it replaced.

    Raises:
        UsageError: It exists and may not be replaced, or is another product's.
        RecipeError: It was changed.
    """
    if not request.recipe.exists():
        return ()
    if not request.overwrite:
        raise UsageError(
            f"{request.recipe}: already exists; choose another name, or pass --overwrite, which keeps "
            "the old thresholds in the new recipe's history"
        )
    old = read_recipe(request.recipe)
    if old.product != request.product:
        raise UsageError(
            f"{request.recipe}: is the recipe of {old.product!r}; give --product {old.product!r}, or "
            "choose another name"
        )
    past = PastRecord(
        sha256=old.sha256,
        author=old.made.author,
        created=old.made.created,
        thresholds=old.thresholds,
    )
    return (*old.history, past)


def fingerprint(good: Sequence[Measurement]) -> str:
    """Name a set of images by their content, whatever their names and order are."""
    return hashlib.sha256("".join(sorted(one.sha256 for one in good)).encode()).hexdigest()


def _image_set(request: Request, found: Found) -> ImageSetRecord:
    return ImageSetRecord(
        count=len(found.good),
        distinct=found.goodset.groups.effective,
        fingerprint=fingerprint(found.good),
        left_out=request.left_out,
        warnings=found.goodset.warnings,
    )


def _made(author: str) -> MadeRecord:
    versions = {
        "vipx": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return MadeRecord(author=author, created=created, versions=versions)
