"""`meta.json`, the index of published code: {train, test} -> category -> list of pictures."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vipx.errors import InputError
from vipx.manifest import first_fault
from vipx.training.data.layouts.tree import Found, jpeg_above, not_laid_out
from vipx.training.data.samples import GoodMask, Problem, Sample, Split

__all__ = ["read_meta"]

_NAME = "meta.json"
_SPLITS: Final[Mapping[str, Split]] = {
    "train": "train",
    "Train": "train",
    "test": "test",
    "Test": "test",
}


class _Entry(BaseModel):
    """One picture; other tools add keys of their own, which are not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    img_path: str
    cls_name: str
    anomaly: Literal[0, 1]
    mask_path: str | None = None
    specie_name: str = ""


_INDEX = TypeAdapter(dict[str, dict[str, list[_Entry]]])


def read_meta(root: Path) -> Iterator[Found]:
    """Read the index `root`/meta.json, or `root` itself; its paths are relative to its folder, or absolute."""
    index = root if root.is_file() else root / _NAME
    if not index.is_file():
        raise not_laid_out(root, "meta", f"the file {_NAME}")
    try:
        content = _INDEX.validate_python(json.loads(index.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{index}: not such an index ({_first(error)}); write it again") from error
    unknown = sorted(set(content) - set(_SPLITS))
    if unknown:
        raise InputError(f"{index}: expected the splits train and test, got {', '.join(unknown)}")
    for name, categories in content.items():
        for entries in categories.values():
            for entry in entries:
                yield from _read_entry(index.parent, entry, _SPLITS[name])


def _read_entry(folder: Path, entry: _Entry, split: Split) -> Iterator[Found]:
    image = folder / entry.img_path
    if not image.is_file():
        yield Problem(image, f"no such file, but {_NAME} names it")
        return
    mask = folder / entry.mask_path if entry.mask_path else None
    if mask is not None and not mask.is_file():
        if entry.anomaly:
            yield Problem(
                mask, f"no such mask, but {_NAME} names it; only the label is used", warning=True
            )
        mask = None
    if entry.anomaly:
        defect = entry.specie_name or "anomalous"
        yield Sample(image, entry.cls_name, split, defect, mask, jpeg_above(mask))
        return
    yield Sample(image, entry.cls_name, split, None, None)
    if mask is not None:
        yield GoodMask(image, mask)


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_fault(error)
    return " ".join(str(error).split())
