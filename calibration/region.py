"""Reads a region of interest from a file: polygons in JSON, or a mask that is white where defects count."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vipx.errors import InputError
from vipx.images import is_image_name, read_mask, resize_mask
from vipx.manifest import first_fault
from vipx.recipe import ArrayRecord, RegionRecord

_LONGEST_SIDE = 1024  # of a stored mask; the model's input is smaller
_HOW = (
    'expected {"polygons": [[[x, y], ...], ...]} with shares of width and height from 0 to 1, or beside it '
    '"size": [width, height] and corners in pixels; or a picture that is white where defects count'
)


def read_region(path: Path) -> RegionRecord:
    """Read a region.

    Raises:
        InputError: The file is no region, or an empty one.
    """
    return _mask(path) if is_image_name(path.name) else _polygons(path)


def _mask(path: Path) -> RegionRecord:
    mask = read_mask(path, above=127)
    if not mask.any():
        raise InputError(f"{path}: no pixel is white; paint white where defects count")
    scale = min(1.0, _LONGEST_SIDE / max(mask.shape))
    if scale < 1:
        height, width = (max(1, round(scale * side)) for side in mask.shape)
        mask = resize_mask(mask, height=height, width=width)
    return RegionRecord(mask=ArrayRecord.of(mask))


def _polygons(path: Path) -> RegionRecord:
    try:
        record = json.loads(path.read_bytes())
        width, height = record.pop("size", (1, 1))
        shares = [[_share(corner, width, height) for corner in each] for each in record["polygons"]]
        return RegionRecord.model_validate_json(json.dumps(record | {"polygons": shares}))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}; {_HOW}") from error
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"{path}: no region; {_HOW}") from error


def _share(corner: Any, width: Any, height: Any) -> tuple[float, float]:  # noqa: ANN401 - as read
    x, y = corner
    return float(x / width), float(y / height)
