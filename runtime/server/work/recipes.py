"""Recipes under the names that the server offers them by."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxtyping import Float32
from numpy import ndarray

from vipx.bundle import Bundle
from vipx.errors import UsageError
from vipx.recipe import Recipe
from vipx.runtime.judgement import Judge, View, judge_by_recipe
from vipx.verdict import Limit, Limits, check_threshold


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a recipe compares with what; None where that does not decide.

    Attributes:
        score_ng: Scores from here on are NG.
        score_review: Scores from here on are REVIEW.
        level_ng: Heat map values from here on make a defect, if `area` pixels reach them.
        area: Pixels of the model's input.
    """

    score_ng: float | None = None
    score_review: float | None = None
    level_ng: float | None = None
    area: int = 1


@dataclass(frozen=True, slots=True)
class RecipeInfo:
    """A recipe as clients see it.

    Attributes:
        name: Of the model.
        size: Height and width in pixels of its anomaly maps.
        thresholds: What decides.
        version: sha256 of the recipe's content.
    """

    name: str
    size: tuple[int, int]
    thresholds: Thresholds
    version: str


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe file that was read, or plain thresholds where there is none.

    Attributes:
        name: Under which it is offered.
        recipe: As calibration wrote it.
        threshold: Without a recipe: scores from here on are NG; without this too all are REVIEW.
        review: Without a recipe: scores from here on are REVIEW.
    """

    name: str
    recipe: Recipe | None = None
    threshold: float | None = None
    review: float | None = None

    def __post_init__(self) -> None:
        if self.recipe is not None and (self.threshold, self.review) != (None, None):
            raise UsageError(f"{self.name}: give either a recipe or thresholds")
        if self.review is not None and self.threshold is None:
            raise UsageError(f"{self.name}: a review threshold needs an NG threshold")
        for value in (self.threshold, self.review):
            if value is not None:
                check_threshold(value)
        self._score_limit()

    @cached_property
    def thresholds(self) -> Thresholds:
        """Say what decides."""
        if self.recipe is None:
            limit = self._score_limit()
            return Thresholds() if limit is None else Thresholds(self.threshold, limit.review)
        held = self.recipe.thresholds
        score, level = held.score, held.level
        return Thresholds(
            score_ng=None if score is None else score.ng,
            score_review=None if score is None else score.review,
            level_ng=None if level is None else level.ng,
            area=held.minimal_area,
        )

    @cached_property
    def version(self) -> str:
        """Name what decides by its hash."""
        if self.recipe is not None:
            return self.recipe.sha256
        return hashlib.sha256(json.dumps([self.threshold, self.review]).encode()).hexdigest()

    @property
    def texts(self) -> Float32[ndarray, "texts dim"] | None:
        """Give the folded text embeddings, if any."""
        return None if self.recipe is None else self.recipe.texts()

    def judge(self, bundle: Bundle) -> Judge:
        """Say how images are judged.

        Raises:
            RecipeError: The recipe was made for another bundle.
        """
        if self.recipe is not None:
            return judge_by_recipe(self.recipe, bundle)
        return Judge(View(), Limits(score=self._score_limit()))

    def record(self) -> dict[str, Any]:
        """Give it as plain data, for the child."""
        whole = None if self.recipe is None else self.recipe.model_dump_json()
        plain = {"threshold": self.threshold, "review": self.review}
        return {"name": self.name, "recipe": whole, **plain}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "LoadedRecipe":
        """Read what `record` gave."""
        whole = record["recipe"]
        recipe = None if whole is None else Recipe.model_validate_json(whole)
        return cls(record["name"], recipe, record["threshold"], record["review"])

    def _score_limit(self) -> Limit | None:
        if self.threshold is None:
            return None
        return Limit(self.threshold if self.review is None else self.review, self.threshold)
