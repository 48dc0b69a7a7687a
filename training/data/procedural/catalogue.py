"""What can be drawn: the categories, the defects, and which defect makes sense on which category."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from numpy.random import Generator

from vipx.errors import UsageError
from vipx.training.data.procedural.defects import blots, breaks, marks
from vipx.training.data.procedural.grid import Grid
from vipx.training.data.procedural.materials import fabrics, metals, minerals
from vipx.training.data.procedural.noise import Picture
from vipx.training.data.procedural.parts import assemblies, hardware, panels
from vipx.training.data.procedural.scene import Scene

Drawing = Callable[[Generator, Grid], Scene]
Flaw = Callable[[Generator, Scene, Picture], Picture]

_SEEN: tuple[Drawing, ...] = (
    # surfaces
    minerals.asphalt,
    fabrics.braid,
    metals.brushed_metal,
    fabrics.carpet,
    metals.cast_metal,
    minerals.ceramic_tile,
    minerals.concrete,
    metals.corrugated_sheet,
    fabrics.film,
    fabrics.foam,
    fabrics.halftone,
    fabrics.leather,
    minerals.marble,
    fabrics.paper,
    minerals.mosaic,
    metals.perforated_sheet,
    metals.wire_mesh,
    minerals.wood,
    minerals.terrazzo,
    # parts
    assemblies.battery,
    assemblies.blister_pack,
    panels.bulk,
    assemblies.cable_bundle,
    hardware.cap,
    assemblies.connector,
    panels.dial,
    assemblies.circuit_board,
    panels.faceplate,
    hardware.gear,
    assemblies.label,
    hardware.pill,
    hardware.screw,
    hardware.seal,
    hardware.spring,
    hardware.washer,
)

# Held out: surfaces and parts whose normal look one picture shows. Where the normal look is itself a random
# layout (terrazzo, a populated board), or carries marks that only someone who knows the part can tell from a
# defect (print, grade marks), a picture alone does not say what is wrong; docs/demo-model.md tells what
# was changed for this reason, and when.
_UNSEEN: tuple[Drawing, ...] = (
    metals.checker_plate,
    metals.honeycomb,
    fabrics.knit,
    fabrics.woven_fabric,
    hardware.bottle_mouth,
    assemblies.capsule,
    hardware.drilled_plate,
    hardware.hex_bolt,
)

_ANYWHERE: tuple[Flaw, ...] = (
    breaks.blister,
    blots.burn,
    blots.contamination,
    marks.crack,
    marks.cut,
    breaks.dent,
    blots.discoloration,
    marks.fibre,
    breaks.foreign_patch,
    breaks.hole,
    blots.misprint,
    breaks.pits,
    marks.scratch,
    marks.scuff,
    blots.smear,
    blots.stain,
)

_PATTERNED = frozenset(
    {
        "braid",
        "brushed_metal",
        "ceramic_tile",
        "checker_plate",
        "corrugated_sheet",
        "halftone",
        "honeycomb",
        "knit",
        "mosaic",
        "perforated_sheet",
        "wire_mesh",
        "wood",
        "woven_fabric",
    }
)

_EDGED = frozenset(
    {
        "battery",
        "blister_pack",
        "bottle_mouth",
        "cable_bundle",
        "cap",
        "capsule",
        "connector",
        "dial",
        "drilled_plate",
        "faceplate",
        "gear",
        "hex_bolt",
        "label",
        "pill",
        "screw",
        "seal",
        "washer",
    }
)

_COUNTED = frozenset(
    {
        "blister_pack",
        "cable_bundle",
        "connector",
        "dial",
        "drilled_plate",
        "faceplate",
        "gear",
    }
)

DRAWINGS = MappingProxyType({one.__name__: one for one in (*_SEEN, *_UNSEEN)})
"""The function that draws each category."""

FLAWS = MappingProxyType(
    {
        one.__name__: one
        for one in (*_ANYWHERE, breaks.chipped_edge, breaks.missing_element, breaks.pattern_fault)
    }
)
"""The function that draws each defect."""

SEEN: tuple[str, ...] = tuple(sorted(one.__name__ for one in _SEEN))
"""Categories to train on."""

UNSEEN: tuple[str, ...] = tuple(sorted(one.__name__ for one in _UNSEEN))
"""Categories that no training sees: they measure what was learned."""

DEFECTS: tuple[str, ...] = tuple(sorted(FLAWS))
"""All kinds of defects."""


def defects_of(category: str) -> tuple[str, ...]:
    """The defects that make sense on a category, sorted.

    Raises:
        UsageError: an unknown category.
    """
    if category not in DRAWINGS:
        known = ", ".join((*SEEN, *UNSEEN))
        raise UsageError(f"unknown category {category!r}; known are {known}")
    only_some = {
        "chipped_edge": _EDGED,
        "missing_element": _COUNTED,
        "pattern_fault": _PATTERNED,
    }
    return tuple(one for one in DEFECTS if category in only_some.get(one, DRAWINGS))
