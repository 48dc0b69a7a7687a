"""A recipe: what calibration decided for one product, in one file that is trusted only unchanged."""

from vipx.recipe.file import (
    SUFFIX,
    check_bundle,
    content_sha256,
    read_recipe,
    recipe_of,
    write_recipe,
)
from vipx.recipe.records import (
    ArrayRecord,
    BundleRecord,
    EngineRecord,
    FoldRecord,
    ImageSetRecord,
    MadeRecord,
    PastRecord,
    Recipe,
    RecipeContent,
    RegionRecord,
    SummaryRecord,
)
from vipx.recipe.thresholds import CostsRecord, FitRecord, LimitRecord, ThresholdsRecord

__all__ = [
    "SUFFIX",
    "ArrayRecord",
    "BundleRecord",
    "CostsRecord",
    "EngineRecord",
    "FitRecord",
    "FoldRecord",
    "ImageSetRecord",
    "LimitRecord",
    "MadeRecord",
    "PastRecord",
    "Recipe",
    "RecipeContent",
    "RegionRecord",
    "SummaryRecord",
    "ThresholdsRecord",
    "check_bundle",
    "content_sha256",
    "read_recipe",
    "recipe_of",
    "write_recipe",
]
