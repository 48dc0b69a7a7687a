"""Times a bundle on an engine as trtexec does, and records what the figures depend on."""

from vipx.runtime.bench.comparison import Change, compare, gate, upgrades
from vipx.runtime.bench.measurement import BenchOptions, Means, measure
from vipx.runtime.bench.protocol import Limits
from vipx.runtime.bench.record import BenchRecord, read_record

__all__ = [
    "BenchOptions",
    "BenchRecord",
    "Change",
    "Limits",
    "Means",
    "compare",
    "gate",
    "measure",
    "read_record",
    "upgrades",
]
