"""Figures of others, quoted and never measured here."""

import json
from dataclasses import dataclass
from importlib.resources import files

_METHOD = "ViP2-CLIP"


@dataclass(frozen=True, slots=True)
class QuotedLatency:
    """Milliseconds for one image, as printed in a paper."""

    method: str
    milliseconds: float
    deviation: float
    source: str

    @property
    def line(self) -> str:
        """Give one line that cannot be taken for a measurement."""
        return (
            f"quoted, not measured here: {self.method} {self.milliseconds} ± {self.deviation} ms "
            f"({self.source})"
        )


def published_latency() -> QuotedLatency:
    """Give the paper's own figure for ViP2-CLIP."""
    text = files("vipx.evaluation.paper").joinpath("table3.json").read_text(encoding="utf-8")
    table = json.loads(text)
    row = next(row for row in table["rows"] if row["method"] == _METHOD)
    return QuotedLatency(
        method=_METHOD,
        milliseconds=row["inference_ms"],
        deviation=row["inference_ms_deviation"],
        source=f"{table['source']}, {table['table']}; {table['protocol'].split('; ')[-1]}",
    )
