"""A recipe as calibration writes it, small and made up."""

from vipx.recipe import (
    BundleRecord,
    EngineRecord,
    ImageSetRecord,
    LimitRecord,
    MadeRecord,
    Recipe,
    RecipeContent,
    SummaryRecord,
    ThresholdsRecord,
    recipe_of,
)


def small_recipe(*, score: bool = True) -> Recipe:
    limit = LimitRecord(
        ng=0.6,
        review=0.5,
        rate=0.01,
        confidence=0.95,
        kind="order",
        interval=(0.55, 0.62),
        false_alarms=(0.0, 0.02),
        images=100,
    )
    content = RecipeContent(
        product="bolt",
        bundle=BundleRecord(identity="ab" * 32, name="part.vipx"),
        thresholds=ThresholdsRecord(score=limit if score else None, level=None if score else limit),
        images=ImageSetRecord(count=100, distinct=100, fingerprint="cd" * 32),
        summary=SummaryRecord(scores={}),
        engine=EngineRecord(
            engine="onnxruntime", version="1.31", device="cpu", precision="fp32", arithmetic="f32"
        ),
        made=MadeRecord(author="Grace", created="2026-11-20T08:00:00Z", versions={"vipx": "0.1.0"}),
    )
    return recipe_of(content)
