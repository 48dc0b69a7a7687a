"""Tries one engine in a process of its own: `python -m vipx.runtime.doctor.child ENGINE DEVICE BUNDLE`."""

import sys
from pathlib import Path

from vipx.runtime.doctor.attempts import PLACES, attempt


def main(engine: str, device: str, bundle: str) -> None:
    """Write an `EngineCheck` as JSON."""
    place = next(one for one in PLACES if (one.engine, one.device) == (engine, device))
    sys.stdout.write(attempt(place, Path(bundle)).model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
