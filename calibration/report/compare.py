"""How two recipes differ."""

from typing import Any

from vipx.calibration.limits import joint_false_alarms
from vipx.calibration.report.record import chosen_by, limits_of
from vipx.recipe import Recipe


def compared(old: Recipe, new: Recipe) -> dict[str, Any]:
    """Say what changed from the old recipe to the new one, as plain data."""
    return {
        "product": _both(old.product, new.product),
        "same_bundle": old.bundle.identity == new.bundle.identity,
        "same_images": old.images.fingerprint == new.images.fingerprint,
        "same_region": old.region == new.region,
        "same_engine": old.engine == new.engine,
        "images": _both(old.images.count, new.images.count),
        "folded": _both(old.fold is not None, new.fold is not None),
        "minimal_area": _both(old.thresholds.minimal_area, new.thresholds.minimal_area),
        "chosen_by": _both(chosen_by(old), chosen_by(new)),
        "limits": _limits(old, new),
        "false_alarms": _both(
            joint_false_alarms(old.thresholds), joint_false_alarms(new.thresholds)
        ),
        "created": _both(old.made.created, new.made.created),
        "replaces": old.sha256 in {past.sha256 for past in new.history},
    }


def _both(old: Any, new: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever is compared
    return {"old": old, "new": new}


def _limits(old: Recipe, new: Recipe) -> dict[str, Any]:
    before, after = dict(limits_of(old)), dict(limits_of(new))
    changes = {}
    for name in sorted(before | after):
        a, b = before.get(name), after.get(name)
        changes[name] = {
            "ng": _both(a and a.ng, b and b.ng),
            "review": _both(a and a.review, b and b.review),
            "kind": _both(a and a.kind, b and b.kind),
            # Limits whose intervals overlap may differ by chance alone.
            "intervals_overlap": None
            if a is None or b is None
            else _overlap(a.interval, b.interval),
        }
    return changes


def _overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] <= second[1] and second[0] <= first[1]
