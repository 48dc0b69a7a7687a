"""What was measured before an interruption: one line for each image, keyed by its content."""

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from vipx.calibration.collection.measurement import Measurement
from vipx.files import write_error


@dataclass(slots=True)
class Ledger:
    """A file beside the recipe that outlives a killed calibration and is removed at the end.

    Attributes:
        path: The file.
        found: Measurements by their own key and the image's hash.
    """

    path: Path
    found: dict[tuple[str, str], Measurement] = field(default_factory=dict)

    @classmethod
    def beside(cls, recipe: Path) -> "Ledger":
        """Open the ledger of a recipe's path; lines that were cut short or mean nothing are left out."""
        ledger = cls(recipe.with_name(f".{recipe.name}.progress"))
        with suppress(FileNotFoundError):
            for line in ledger.path.read_bytes().splitlines():
                ledger._take(line)
        return ledger

    def _take(self, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError, IndexError):
            record = json.loads(line)
            measurement = Measurement.from_record(record["measurement"])
            self.found[record["key"], measurement.sha256] = measurement

    def get(self, key: str, sha256: str, name: str) -> Measurement | None:
        """Find an image that was measured the same way, whatever its name was."""
        found = self.found.get((key, sha256))
        return None if found is None else replace(found, name=name)

    def put(self, key: str, measurement: Measurement) -> None:
        """Add an image; from then on a kill does not lose it.

        Raises:
            InputError: The place is not allowed.
            ResourceError: The disk is full.
        """
        self.found[key, measurement.sha256] = measurement
        line = json.dumps({"key": key, "measurement": measurement.record()})
        try:
            # The line before may have been cut short.
            with self.path.open("ab") as file:
                file.write(f"\n{line}\n".encode())
        except OSError as error:
            raise write_error(self.path, error) from error

    def remove(self) -> None:
        """Remove the file; the recipe stands."""
        self.path.unlink(missing_ok=True)
