"""Describes a checkpoint, a bundle or a recipe as plain data, for `vipx show`."""

from pathlib import Path
from typing import Any

from vipx.bundle import MANIFEST, read_bundle
from vipx.checkpoint import DESCRIPTION, read_description
from vipx.errors import ArtifactError
from vipx.recipe import SUFFIX, read_recipe


def describe(path: Path) -> dict[str, Any]:
    """Verify what lies at `path` and say what it is.

    Raises:
        BundleError: The bundle cannot be trusted.
        CheckpointError: The checkpoint cannot be trusted.
        RecipeError: The recipe cannot be trusted.
        ArtifactError: There is neither.
    """
    if path.suffix == SUFFIX:
        return _recipe(path)
    if (path / MANIFEST).exists():
        return _bundle(path)
    if (path / DESCRIPTION).exists():
        return {"kind": "checkpoint", "verified": True} | read_description(path).model_dump(
            mode="json"
        )
    raise ArtifactError(
        f"{path}: neither a bundle ({MANIFEST}) nor a checkpoint ({DESCRIPTION}) nor a recipe "
        f"(*{SUFFIX}); give what vipx wrote"
    )


def _bundle(path: Path) -> dict[str, Any]:
    bundle = read_bundle(path)
    manifest = bundle.manifest.model_dump(mode="json")
    size = sum(record.size for record in bundle.manifest.files.values())
    return {
        "kind": "bundle",
        "verified": True,
        "identity": bundle.identity,
        "bytes": size,
    } | manifest


def _recipe(path: Path) -> dict[str, Any]:
    """Leave out what only programs read: arrays and summaries."""
    recipe = read_recipe(path)
    omitted: dict[str, Any] = {"summary": True, "fold": {"texts": {"data"}}}
    omitted["region"] = {"mask": {"data"}}
    return {"kind": "recipe", "verified": True} | recipe.model_dump(mode="json", exclude=omitted)
