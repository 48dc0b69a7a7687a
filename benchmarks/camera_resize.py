"""Times the resize of one camera frame: Pillow against the graph, in bands and as one dense product.

All run in turns in one process, so that what else the machine does falls on all of them alike. Wall and CPU
time are medians; the difference is the largest to Pillow's result, in grey levels.

    python -m benchmarks.camera_resize                                      # 5 megapixels to 518 px, one thread
    python -m benchmarks.camera_resize --camera 640x480 --size 70 --rounds 3 # something quick
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import click
import numpy as np
import onnxruntime
import openvino
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, nn

from vipx.commands.export import frames
from vipx.export.folds.camera import (
    BAND,
    FoldedCameraResize,
    ResizedAxis,
    axis_weights,
    camera_resize,
)
from vipx.export.onnx_file import GraphInterface, write_graph
from vipx.images import resize_image

INTERFACE = GraphInterface(("image",), ("pixels",))
Resize = Callable[[], ndarray]


class Taking(nn.Module):
    """The resize as it stands in the encoder: bytes in, planes of grey levels out."""

    def __init__(self, resize: nn.Module) -> None:
        super().__init__()
        self.resize = resize

    def forward(self, image: UInt8[Tensor, "batch rows columns 3"]) -> Float[Tensor, "batch 3 _ _"]:
        """Resize RGB frames."""
        return self.resize(image.float().permute(0, 3, 1, 2))


@dataclass
class Times:
    """Milliseconds of one way, and how far it is from Pillow."""

    apart: float
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def take(self, resize: Resize) -> None:
        """Time one call."""
        wall, cpu = perf_counter(), process_time()
        resize()
        self.cpu.append(1000 * (process_time() - cpu))
        self.wall.append(1000 * (perf_counter() - wall))


def banded(camera: tuple[int, int], size: tuple[int, int], band: int) -> FoldedCameraResize:
    """Make the resize with bands of any width; the exporter's are `BAND` wide."""
    exported = camera_resize(camera, size)
    if band == BAND:
        return exported
    columns, rows = (
        ResizedAxis(axis_weights(before, after), band)
        for before, after in zip(camera, size, strict=True)
    )
    return FoldedCameraResize(rows, columns, rows_first=exported.rows_first).float()


def ways(
    frame: UInt8[ndarray, "1 rows columns 3"], size: tuple[int, int], folder: Path, threads: int
) -> dict[str, Resize]:
    """Give all that is compared."""
    camera = (frame.shape[1], frame.shape[2])
    found: dict[str, Resize] = {
        "Pillow": lambda: resize_image(frame[0], height=size[0], width=size[1])
    }
    for name, band in (("bands of 16", 16), (f"bands of {BAND}", BAND), ("dense", max(size))):
        path = folder / f"{band}.onnx"
        sample = torch.zeros(2, *camera, 3, dtype=torch.uint8)
        write_graph(Taking(banded(camera, size, band)), (sample,), INTERFACE, path)
        found[f"ONNX Runtime, {name}"] = in_onnxruntime(path, frame, threads)
        found[f"OpenVINO, {name}"] = in_openvino(path, frame, threads)
    return found


def in_onnxruntime(path: Path, frame: ndarray, threads: int) -> Resize:
    """Open a session; its result is laid out as Pillow's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": frame})[0][0].transpose(1, 2, 0)


def in_openvino(path: Path, frame: ndarray, threads: int) -> Resize:
    """Compile a model; its result is laid out as Pillow's."""
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer({"image": frame})[0][0].transpose(1, 2, 0)


@click.command()
@click.option("--camera", callback=frames, default="2448x2048", show_default=True)
@click.option("--size", default=518, show_default=True, help="Input size in px.")
@click.option("--threads", default=1, show_default=True, help="Of the engines; Pillow has one.")
@click.option("--rounds", default=15, show_default=True)
def main(camera: tuple[int, int], size: int, threads: int, rounds: int) -> None:
    """Time every way in turns and print medians."""
    frame = np.random.default_rng(0).integers(0, 256, (1, *camera, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        compared = ways(frame, (size, size), Path(folder), threads)
        expected = compared["Pillow"]().astype(np.float64)
        times = {name: Times(np.abs(way() - expected).max()) for name, way in compared.items()}
        for _ in range(rounds):
            for name, way in compared.items():
                times[name].take(way)
    click.echo(
        f"{camera[1]}x{camera[0]} to {size}x{size}, {threads} threads, {rounds} rounds in turns"
    )
    for name, each in times.items():
        ratio = median(
            own / pillow for own, pillow in zip(each.cpu, times["Pillow"].cpu, strict=True)
        )
        click.echo(
            f"{name:<26} wall {median(each.wall):8.1f} ms  CPU {median(each.cpu):8.1f} ms  "
            f"{ratio:5.2f}x Pillow's CPU  {each.apart:.0f} levels apart"
        )


if __name__ == "__main__":
    main()
