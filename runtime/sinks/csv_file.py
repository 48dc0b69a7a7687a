"""Appends each result to a CSV file a day, for programs that read nothing else."""

import json
import os
from pathlib import Path

from vipx.runtime.server.storage.archive import csv_line
from vipx.runtime.server.storage.record import JUDGED
from vipx.runtime.sinks.sink import DeliveryError, Message

COLUMNS = (*JUDGED, "source")


class CsvFile:
    """Writes `NAME-YYYY-MM-DD.csv` in a folder; the day is the result's own, in UTC."""

    kind = "csv"

    def __init__(self, folder: Path, name: str = "csv") -> None:
        self._folder, self._name = folder, name

    @property
    def name(self) -> str:
        """Which outbox is its own."""
        return self._name

    def deliver(self, message: Message) -> None:
        """Append one line, and bring it to the disk.

        Raises:
            DeliveryError: The file cannot be written.
        """
        record = json.loads(message.text)
        path = self._folder / f"{self._name}-{record['time'][:10]}.csv"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                header = csv_line(COLUMNS) if file.tell() == 0 else ""
                file.write((header + csv_line(record.get(name) for name in COLUMNS)).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(f"{path}: cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Nothing is held between two messages."""
