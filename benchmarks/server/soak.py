"""Keeps a running server busy for a long time, and watches its memory and descriptors.

    vipx serve-local vipx/demo/bundle.vipx &                       # say its process id below
    python -m benchmarks.server.soak http://127.0.0.1:8000 picture.png --pid PID --minutes 30 --rate 20

`--rate` is yours to choose: 60 % of what `python -m benchmarks.server.load` found. Memory and descriptors are
those of the process and of all its children together, and memory is also told of each; the slope is a straight
line fitted behind the warm-up. `--samples FILE` keeps every sample as a line of JSON.
Descriptors include the connections under way at a sample, so they are also counted at rest, before and behind.
"""

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles

import click
import numpy as np

_MEGABYTE = 10**6
_SAMPLE_S = 5.0
_REST_S = 10.0  # after which no connection is left


@dataclass
class Answers:
    """What came back."""

    waits_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident bytes of each process, the server's first, and open descriptors of all at a moment."""

    seconds: float
    processes: tuple[int, ...]
    descriptors: int

    @property
    def resident(self) -> int:
        """Give the bytes of all processes."""
        return sum(self.processes)


def family(pid: int) -> list[int]:
    """Give a process and all its descendants that live now."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found.extend(int(child) for child in task.read_text().split())
    return found


def measure(pid: int, seconds: float) -> Sample:
    """Add up what the processes hold; Linux alone."""
    processes, descriptors = [], 0
    for one in family(pid):
        try:
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
            descriptors += sum(1 for _ in Path(f"/proc/{one}/fd").iterdir())
        except FileNotFoundError:  # it ended meanwhile
            continue
        processes.append(4096 * pages)
    return Sample(seconds, tuple(processes), descriptors)


def slope_per_hour(seconds: list[float], resident: list[int]) -> float:
    """Fit megabytes over hours."""
    hours = [one / 3600 for one in seconds]
    return float(np.polyfit(hours, [one / _MEGABYTE for one in resident], 1)[0])


def ask(url: str, picture: bytes, answers: Answers) -> None:
    """Inspect one picture; anything but a verdict is an error."""
    request = urllib.request.Request(f"{url}/v1/inspect", picture)
    request.add_header("Content-Type", "application/octet-stream")
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            verdict = json.loads(answer.read())["verdict"]
        if verdict == "ERROR":
            answers.errors.append(verdict)
    except (OSError, ValueError, KeyError) as error:
        answers.errors.append(repr(error))
    answers.waits_ms.append(1000 * (time.perf_counter() - began))


@click.command()
@click.argument("url")
@click.argument("picture", type=click.Path(path_type=Path, exists=True))
@click.option("--pid", type=int, required=True, help="Of the server.")
@click.option("--minutes", type=click.FloatRange(min=0.1), default=30.0, show_default=True)
@click.option(
    "--warm-up", type=click.FloatRange(min=0.0), default=3.0, show_default=True, help="Minutes."
)
@click.option("--rate", type=click.FloatRange(min=0.1), default=10.0, show_default=True)
@click.option("--samples", "kept", type=click.Path(path_type=Path), help="File for all samples.")
def main(
    url: str,
    picture: Path,
    pid: int,
    minutes: float,
    warm_up: float,
    rate: float,
    kept: Path | None,
) -> None:
    """Send pictures at a steady rate and tell what the server held."""
    data, answers, samples = picture.read_bytes(), Answers(), []
    before = measure(pid, 0.0).descriptors
    began, sent, due = time.monotonic(), 0, 0.0
    with ThreadPoolExecutor(32) as clients:
        while (now := time.monotonic() - began) < 60 * minutes:
            if now >= due:
                samples.append(measure(pid, now))
                due += _SAMPLE_S
            if sent < now * rate:
                clients.submit(ask, url, data, answers)
                sent += 1
            else:
                time.sleep(0.5 / rate)
    time.sleep(_REST_S)
    if kept is not None:
        kept.write_text("".join(f"{json.dumps(asdict(sample))}\n" for sample in samples))
    at_rest = [before, measure(pid, 0.0).descriptors]
    warm = [sample for sample in samples if sample.seconds >= 60 * warm_up]
    click.echo(json.dumps(_summary(answers, warm, minutes) | {"descriptors at rest": at_rest}))
    if answers.errors:
        raise SystemExit(6)


def _summary(answers: Answers, warm: list[Sample], minutes: float) -> dict[str, object]:
    descriptors = [sample.descriptors for sample in warm]
    seconds = [sample.seconds for sample in warm]
    # A child that was replaced, or that a sample missed, has no line of its own.
    whole = len({len(sample.processes) for sample in warm}) == 1
    each = zip(*(sample.processes for sample in warm), strict=True) if whole else ()
    return {
        "minutes": minutes,
        "answers": len(answers.waits_ms),
        "errors": len(answers.errors),
        "first error": answers.errors[0] if answers.errors else None,
        "wait, median ms": round(median(answers.waits_ms), 1),
        "wait, p99 ms": round(quantiles(answers.waits_ms, n=100)[98], 1),
        "memory, MB": round(warm[-1].resident / _MEGABYTE, 1) if warm else None,
        "slope, MB/h": _slope(seconds, [sample.resident for sample in warm]),
        "of each process: MB, slope": [
            [round(one[-1] / _MEGABYTE, 1), _slope(seconds, list(one))] for one in each
        ],
        "descriptors": [min(descriptors), max(descriptors)] if descriptors else None,
    }


def _slope(seconds: list[float], resident: list[int]) -> float | None:
    return round(slope_per_hour(seconds, resident), 2) if len(seconds) > 1 else None


if __name__ == "__main__":
    main()
