"""Tries one engine in a process of its own: `python -m vipx.runtime.doctor.child PLACE BUNDLE`."""

import sys
from pathlib import Path

from vipx.runtime.doctor.attempts import PLACES, attempt


def main(place: str, bundle: str) -> None:
    """Write an `EngineCheck` of the place with this number as JSON."""
    sys.stdout.write(attempt(PLACES[int(place)], Path(bundle)).model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
