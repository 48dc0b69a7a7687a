"""Industrial surfaces and parts drawn from numbers, good and defective, with exact masks.

The same (category, seed, size, defect) gives the same bits. Nothing is downloaded, nothing is learned.
"""

from vipx.training.data.procedural.catalogue import DEFECTS, SEEN, UNSEEN, defects_of
from vipx.training.data.procedural.folder import write_parts
from vipx.training.data.procedural.part import Part, draw_part, random_defect

__all__ = [
    "DEFECTS",
    "SEEN",
    "UNSEEN",
    "Part",
    "defects_of",
    "draw_part",
    "random_defect",
    "write_parts",
]
