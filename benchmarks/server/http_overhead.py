"""What HTTP, the child process and the store cost: a running server beside the bare inspector, in turns.

    vipx serve-local vipx/demo/bundle.vipx --threshold 0.5 --timeout-ms 5000 &
    python -m benchmarks.server.http_overhead http://127.0.0.1:8000 --model bundle

Each round measures both with one client: a raw 518 x 518 frame with score and verdict, and a JPEG of one
megapixel with the verdict alone. The bare inspector decodes the JPEG too.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.server.load import Load, percentiles, run
from vipx.images import decode_image
from vipx.runtime.inspector import Inspector

_DEMO = Path("vipx/demo/bundle.vipx")


def picture(side: int) -> np.ndarray:
    """Draw a part-like picture: smooth, with some noise."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    smooth = np.stack([rows, columns, 0.5 + 0.4 * np.sin(9 * rows * columns)], -1) * 200
    noise = np.random.default_rng(0).normal(0, 6, (side, side, 3))
    return np.clip(smooth + noise + 20, 0, 255).astype(np.uint8)


def frame_load(url: str, model: str, frame: np.ndarray, seconds: float) -> Load:
    """Make a binary request for score and verdict."""
    tensor = {"name": "IMAGE", "datatype": "UINT8", "shape": [1, *frame.shape]}
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in ("score", "verdict")]
    binary = {"parameters": {"binary_data_size": frame.nbytes}}
    text = json.dumps({"inputs": [tensor | binary], "outputs": outputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    path = f"/v2/models/{model}/infer"
    return Load(url, path, text + frame.tobytes(), headers, 1, seconds)


def bare(inspect: Callable[[], object], seconds: float) -> list[float]:
    """Call again and again; milliseconds of each call."""
    end, spent = time.perf_counter() + seconds, []
    while (start := time.perf_counter()) < end:
        inspect()
        spent.append(1000 * (time.perf_counter() - start))
    return spent


def compare(load: Load, inspect: Callable[[], object], rounds: int) -> dict[str, object]:
    """Measure both in turns; `above` is the median over rounds of the difference of medians."""
    above, served, alone = [], [], []
    inspect()
    for _ in range(rounds):
        alone.append(bare(inspect, load.seconds))
        measured = run(load)
        if set(measured.statuses) != {200}:
            raise SystemExit(f"the server answered {dict(measured.statuses)}")
        served.append(measured.milliseconds)
        above.append(median(served[-1]) - median(alone[-1]))
    return {
        "bare": percentiles([one for each in alone for one in each]),
        "http": percentiles([one for each in served for one in each]),
        "above_p50": round(median(above), 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--model", default="bundle")
    parser.add_argument("--bundle", type=Path, default=_DEMO)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    frame, file = picture(518), io.BytesIO()
    Image.fromarray(picture(1024)).save(file, "JPEG", quality=92)
    jpeg = file.getvalue()
    query = f"/v1/inspect?recipe={given.model}"
    posted = Load(given.url, query, jpeg, {"Content-Type": "image/jpeg"}, 1, given.seconds)
    framed = frame_load(given.url, given.model, frame, given.seconds)
    with Inspector.open(given.bundle, threshold=0.5) as inspector:
        decode = decode_image
        record = {
            "frame_518": compare(framed, lambda: inspector.inspect(frame), given.rounds),
            "jpeg_1mp": {"bytes": len(jpeg)}
            | compare(
                posted, lambda: inspector.inspect(decode(jpeg, name="picture")), given.rounds
            ),
        }
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
