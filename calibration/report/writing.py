"""Writes the page of a calibration and the same as JSON beside it."""

import json
from pathlib import Path

from vipx.calibration.calibrate import Calibration
from vipx.calibration.report.page import calibration_page
from vipx.calibration.report.plates import nearest_plates
from vipx.calibration.report.record import calibration_record
from vipx.calibration.request import Request
from vipx.errors import InputError, UsageError
from vipx.files import write_atomically


def check_page(page: Path) -> None:
    """Refuse a page that could not be written, before hours of measuring.

    Raises:
        UsageError: Its name does not end with .html.
        InputError: Its folder does not exist.
    """
    if page.suffix != ".html":
        raise UsageError(f"{page}: expected a name that ends with .html")
    if not page.parent.is_dir():
        raise InputError(f"{page}: its folder does not exist; make it, or choose another place")


def write_report(page: Path, request: Request, result: Calibration) -> None:
    """Write NAME.html and NAME.json.

    Raises:
        InputError: The place is not allowed.
        ResourceError: The disk is full.
    """
    record = json.dumps(calibration_record(result), indent=2, ensure_ascii=False, allow_nan=False)
    plates = nearest_plates(result, request.bundle, request.good)
    write_atomically(page, calibration_page(result, plates).encode())
    write_atomically(page.with_suffix(".json"), f"{record}\n".encode())
