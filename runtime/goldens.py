"""Checks on this very machine that a bundle gives what it gave when it was exported."""

import numpy as np

from vipx.differences import measure
from vipx.errors import BundleError, GateError
from vipx.images import read_image
from vipx.manifest import Difference, Precision
from vipx.runtime.inspector import Inspector


def check_goldens(
    inspector: Inspector, precision: Precision | None = None
) -> tuple[Difference, ...]:
    """Inspect the bundle's golden images and compare score and map with the unfolded model's.

    The bounds are those of the export's parity gate.

    Raises:
        GateError: A difference exceeds its bound: this engine must not be used.
    """
    manifest, folder = inspector.bundle.manifest, inspector.bundle.path
    encoder = manifest.encoder(precision)
    record = next(
        (p for p in manifest.parity if encoder and p.precision == encoder.precision), None
    )
    if record is None:
        raise BundleError(f"{folder}: the manifest holds no parity record for {precision}")
    with np.load(folder / manifest.goldens.expected, allow_pickle=False) as file:
        expected = {name: file[name] for name in ("score", "anomaly_map")}
    results = [inspector.inspect(read_image(folder / name)) for name in manifest.goldens.images]
    actual = {
        "score": np.array([result.score for result in results]),
        "anomaly_map": np.stack([result.anomaly_map for result in results]),
    }
    differences = tuple(
        d.model_copy(
            update={"measured": measure(expected[d.output], actual[d.output], d.statistic)}
        )
        for d in record.differences
        if d.run == "chain" and d.output in actual
    )
    for d in differences:
        if not d.measured <= d.bound:  # also catches NaN
            raise GateError(
                f"{folder}: on this machine {d.output} ({d.statistic}) differs by {d.measured:.2e} from "
                f"the golden answers, the bound is {d.bound:.0e}; do not use this engine"
            )
    return differences
