"""A recipe as a file: written whole, and read only if every byte is in place."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vipx.bundle import Bundle
from vipx.errors import RecipeError
from vipx.files import write_atomically
from vipx.manifest import first_fault
from vipx.recipe.records import Recipe, RecipeContent

SUFFIX = ".recipe"
MOST_BYTES = 64 * 2**20


def recipe_of(content: RecipeContent) -> Recipe:
    """Seal what a recipe says with its hash."""
    return Recipe(**dict(content), sha256=content_sha256(content))


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe, whole or not at all.

    Raises:
        InputError: The place is not allowed.
        ResourceError: The disk is full.
    """
    write_atomically(path, _file_text(recipe).encode())


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; a file that differs in any byte from what calibration wrote is refused.

    The hash finds accidents and edits by hand. It is no signature: who recomputes it can forge a recipe.

    Raises:
        RecipeError: It is no recipe, or was changed.
    """
    data = _read(path)
    try:
        recipe = Recipe.model_validate_json(data)
    except ValidationError as error:
        raise RecipeError(
            f"{path}: not a recipe that this vipx understands: {first_fault(error)}; "
            "make it again with `vipx calibrate`"
        ) from error
    if recipe.sha256 != content_sha256(recipe) or data != _file_text(recipe).encode():
        raise RecipeError(
            f"{path}: was changed after calibration (its sha256 does not match); "
            "copy it again, or make it again with `vipx calibrate`"
        )
    return recipe


def check_bundle(recipe: Recipe, bundle: Bundle) -> None:
    """Refuse a recipe that another bundle was calibrated with.

    Raises:
        RecipeError: The bundle's identity is not the recipe's.
    """
    if recipe.bundle.identity != bundle.identity:
        raise RecipeError(
            f"recipe of {recipe.product!r}: made for the bundle {recipe.bundle.name} "
            f"({recipe.bundle.identity[:12]}), and {bundle.path} is {bundle.identity[:12]}; "
            "calibrate again with this bundle"
        )


def content_sha256(content: RecipeContent) -> str:
    """Hash everything but the hash itself, in the one form that it has in the file."""
    record = content.model_dump(mode="json", exclude={"sha256"})
    return hashlib.sha256(_canonical(record).encode()).hexdigest()


def _file_text(recipe: Recipe) -> str:
    return _canonical(recipe.model_dump(mode="json"))


def _canonical(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if len(data) > MOST_BYTES:
        raise RecipeError(f"{path}: larger than any recipe; check the path")
    return data
