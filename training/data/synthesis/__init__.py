"""Defects drawn on pictures of good parts, for who has no others: plausible, various, with exact masks.

The same picture and the same state of the generator give the same bits.
"""

from vipx.training.data.synthesis.foreground import foreground
from vipx.training.data.synthesis.synthesize import KINDS, synthesized

__all__ = ["KINDS", "foreground", "synthesized"]
