"""Bundle and image in, verdict out; imports no torch."""

from vipx.runtime.goldens import check_goldens
from vipx.runtime.inspector import Inspection, Inspector, Timings

__all__ = ["Inspection", "Inspector", "Timings", "check_goldens"]
