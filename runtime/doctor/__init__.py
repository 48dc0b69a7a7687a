"""Says what this machine can run, and why not."""

from vipx.runtime.doctor.examination import examine

__all__ = ["examine"]
