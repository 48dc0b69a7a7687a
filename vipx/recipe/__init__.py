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
    FitRecord,
    FoldRecord,
    ImageSetRecord,
    LimitRecord,
    MadeRecord,
    PastRecord,
    Recipe,
    RecipeContent,
    RegionRecord,
    SummaryRecord,
    ThresholdsRecord,
)

__all__ = [
    "SUFFIX",
    "ArrayRecord",
    "BundleRecord",
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
