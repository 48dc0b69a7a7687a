"""Changes of thresholds: saved with who, when and why, then put into force; never the other way round."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from vipx.errors import UsageError, VipxError
from vipx.recipe import (
    LimitRecord,
    MadeRecord,
    PastRecord,
    Recipe,
    RecipeContent,
    recipe_of,
    write_recipe,
)
from vipx.runtime.server.storage.changes import ThresholdChange
from vipx.runtime.server.storage.reader import ThresholdVersion
from vipx.runtime.server.storage.record import iso_time
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.work.faults import WorkError
from vipx.runtime.server.work.recipes import LoadedRecipe


@runtime_checkable
class Recipes(Protocol):
    """What judges: `vipx.runtime.server.work.pool.Pool`."""

    def loaded_recipe(self, name: str) -> LoadedRecipe:
        """Give the recipe that answers for a name."""

    async def replace_recipe(self, name: str, recipe: LoadedRecipe) -> None:
        """Judge by another recipe from now on."""


class ChangeRefusedError(VipxError):
    """The engine did not take the new thresholds; the old ones stay in force."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What a recipe is judged by.

    Attributes:
        name: Of the recipe.
        version: Number of the saved version; 0 for the recipe as it was calibrated.
        threshold: Scores from here on are NG; None if the score does not decide.
        review: Scores from here on are REVIEW.
        level_decides: Whether the heat map decides as well.
    """

    name: str
    version: int
    threshold: float | None
    review: float | None
    level_decides: bool


class ThresholdDesk:
    """Keeps what was saved and what is in force in step."""

    def __init__(self, recipes: Recipes, store: Store) -> None:
        self._recipes, self._store = recipes, store
        self._calibrated: dict[str, LoadedRecipe] = {}
        self._versions: dict[str, int] = {}

    async def start(self, names: list[str]) -> list[ThresholdVersion]:
        """Put what was saved for these recipes into force again, and write that down.

        A version that was saved for an earlier calibration is left alone.

        Returns:
            What is in force beside the recipes as they were calibrated.
        """
        taken = []
        for name in names:
            loaded = self._calibrated[name] = self._recipes.loaded_recipe(name)
            version = await self._store.thresholds_of(name, loaded.version)
            if version is not None:
                await self._recipes.replace_recipe(name, recipe_at(loaded, version))
                self._versions[name] = version.version
                taken.append(version)
                subject = f"{name} v{version.version}"
                await self._store.audit("server", "thresholds in force again", subject)
        return taken

    def in_force(self, name: str) -> InForce:
        """Say what a recipe is judged by.

        Raises:
            UnknownRecipe: There is none of this name.
        """
        thresholds = self._recipes.loaded_recipe(name).thresholds
        return InForce(
            name,
            self._versions.get(name, 0),
            thresholds.score_ng,
            thresholds.score_review,
            thresholds.level_ng is not None,
        )

    async def change(self, wanted: ThresholdChange) -> ThresholdVersion:
        """Save new thresholds and put them into force.

        Raises:
            VersionConflictError: Somebody else saved a version meanwhile.
            ChangeRefusedError: The engine did not take them; the saved version is marked as withdrawn.
            ResourceError: They cannot be saved; nothing changes then.
        """
        calibrated = self._calibrated.setdefault(
            wanted.recipe, self._recipes.loaded_recipe(wanted.recipe)
        )
        if calibrated.recipe is not None and calibrated.recipe.thresholds.score is None:
            raise UsageError(f"{wanted.recipe}: its score does not decide; calibrate it again")
        version = await self._store.save_thresholds(replace(wanted, applies_to=calibrated.version))
        changed = recipe_at(calibrated, version)
        try:
            await self._recipes.replace_recipe(wanted.recipe, changed)
        except (VipxError, WorkError) as error:
            await self._store.withdraw_thresholds(version, str(error))
            raise ChangeRefusedError(
                f"{wanted.recipe}: the old thresholds stay in force ({error}); try again"
            ) from error
        self._versions[wanted.recipe] = version.version
        if changed.recipe is not None:
            _keep_file(self._store.settings.folder / "recipes", changed.recipe, version)
        return version


def recipe_at(calibrated: LoadedRecipe, version: ThresholdVersion) -> LoadedRecipe:
    """Give a recipe with a version's thresholds; a recipe file's own history names the one it replaces."""
    old = calibrated.recipe
    if old is None:
        return LoadedRecipe(calibrated.name, None, version.threshold, version.review)
    if old.thresholds.score is None:
        raise UsageError(f"{calibrated.name}: its score does not decide; calibrate it again")
    past = PastRecord(
        sha256=old.sha256,
        author=old.made.author,
        created=old.made.created,
        thresholds=old.thresholds,
    )
    content = RecipeContent.model_validate(
        {name: getattr(old, name) for name in RecipeContent.model_fields}
        | {
            "thresholds": old.thresholds.model_copy(
                update={"score": _limit_at(old.thresholds.score, version)}
            ),
            "made": MadeRecord(
                author=version.who, created=iso_time(version.time), versions=old.made.versions
            ),
            "history": (*old.history, past),
        }
    )
    return LoadedRecipe(calibrated.name, recipe_of(content))


def _limit_at(limit: LimitRecord, version: ThresholdVersion) -> LimitRecord:
    """Move a limit; its interval and rate stay those of the calibration, and a warning says so."""
    by_hand = (
        f"set by hand to version {version.version} by {version.who}: {version.why}; "
        "rate and intervals are those of the calibrated threshold"
    )
    review = version.threshold if version.review is None else version.review
    warnings = (*limit.warnings, by_hand)
    return limit.model_copy(
        update={"ng": version.threshold, "review": review, "warnings": warnings}
    )


def _keep_file(folder: Path, recipe: Recipe, version: ThresholdVersion) -> None:
    folder.mkdir(exist_ok=True)
    write_recipe(folder / f"v{version.version}-{recipe.sha256[:16]}.recipe", recipe)
