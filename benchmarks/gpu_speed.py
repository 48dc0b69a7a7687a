"""Times ONNX Runtime's CUDA provider against PyTorch as published and as compiled, on one NVIDIA GPU.

Every path takes the same bytes on the host, at the input size, to a score and a map on the host; they answer
turn by turn in one process. `published` is the method's code in float32 with scipy's Gaussian, `compiled` the
same with its vision tower in float16 through torch.compile. `ort` is what vipx runs, `ort-graph` the same
graphs with ONNX Runtime's own capture in CUDA graphs.

    python -m benchmarks.gpu_speed BUNDLE CHECKPOINT --weights clip.pt       # a bundle with fp16

Not run on a GPU yet (docs/benchmarks/not-measured.md); its test runs `--device cpu`, where nothing is captured.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import numpy as np
import torch
from numpy import ndarray

from benchmarks.published_pipeline import Published, open_published
from vipx.bundle import read_bundle
from vipx.manifest import Precision
from vipx.runtime.engines.engine import ANSWER, Device, EngineOptions, Model
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.onnxruntime import OnnxRuntimeEngine, load_onnxruntime

Run = Callable[[ndarray], tuple[ndarray, ndarray]]
PATHS = ("published", "compiled", "ort", "ort-graph")


@dataclass(frozen=True, slots=True)
class Given:
    """What is measured on."""

    bundle: Path
    checkpoint: Path
    weights: Path
    device: Device
    precision: Precision

    @property
    def model(self) -> Model:
        """Open the bundle."""
        return model_of(read_bundle(self.bundle), self.precision)

    def published(self) -> Published:
        """Open the method's own code on the device."""
        model = open_published(self.checkpoint, self.weights)
        model.backbone.to(self.device)
        model.method.to(self.device)
        return model


def compiled(given: Given) -> Run:
    """Give the published code with a compiled vision tower, in float16 where the device has it."""
    model = given.published()
    kind = torch.float16 if given.device == "cuda" else torch.bfloat16
    tower = torch.compile(model.backbone.vision)

    class Compiled(Published):
        def encode(self, images: torch.Tensor) -> Any:  # noqa: ANN401 - VisionFeatures
            with torch.autocast(given.device, kind):
                features = tower(self.backbone.normalise(images))
            return type(features)(features.global_feature.float(), features.patch_features.float())

    return Compiled(model.backbone, model.method).answer


def engine(given: Given) -> Run:
    """Give what vipx runs."""
    opened = OnnxRuntimeEngine(given.model, EngineOptions("onnxruntime", given.device))

    def run(pixels: ndarray) -> tuple[ndarray, ndarray]:
        found = opened.run(pixels, ANSWER).arrays
        return found["score"], found["anomaly_map"]

    return run


class Captured:
    """A bundle's graphs with all tensors at fixed places, captured by ONNX Runtime at the first runs."""

    def __init__(self, model: Model, batch: int) -> None:
        self._runtime = load_onnxruntime()
        height, width = model.size
        self._values = {"image": self._put(np.zeros((batch, height, width, 3), np.uint8))}
        if model.texts is not None:
            self._values["text_embeddings"] = self._put(np.repeat(model.texts[None], batch, axis=0))
        graphs = [path for path in (model.encoder, model.prompts, model.heads) if path is not None]
        self._steps = [self._bound(path, batch) for path in graphs]

    def __call__(self, pixels: ndarray) -> tuple[ndarray, ndarray]:
        """Run all graphs on images."""
        self._values["image"].update_inplace(np.ascontiguousarray(pixels))
        for session, binding in self._steps:
            session.run_with_iobinding(binding)
        return self._values["score"].numpy(), self._values["anomaly_map"].numpy()

    def _put(self, array: ndarray) -> Any:  # noqa: ANN401 - onnxruntime has no types
        return self._runtime.OrtValue.ortvalue_from_numpy(array, "cuda", 0)

    def _bound(self, graph: Path, batch: int) -> tuple[Any, Any]:
        options = {"enable_cuda_graph": "1", "use_tf32": "0"}
        session = self._runtime.InferenceSession(
            graph, providers=[("CUDAExecutionProvider", options)]
        )
        binding = session.io_binding()
        for tensor in session.get_inputs():
            binding.bind_ortvalue_input(tensor.name, self._values[tensor.name])
        for tensor in session.get_outputs():
            shape = [side if isinstance(side, int) else batch for side in tensor.shape]
            self._values[tensor.name] = self._put(np.zeros(shape, np.float32))
            binding.bind_ortvalue_output(tensor.name, self._values[tensor.name])
        return session, binding


def opened(path: str, given: Given, batch: int) -> Run:
    """Open one path."""
    if path == "published":
        return given.published().answer
    if path == "compiled":
        return compiled(given)
    return engine(given) if path == "ort" else Captured(given.model, batch)


def measured(runs: Mapping[str, Run], pixels: ndarray, rounds: int) -> dict[str, list[float]]:
    """Time all in turns, in milliseconds an image."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = perf_counter()
            run(pixels)
            spent[name].append(1000 * (perf_counter() - began) / len(pixels))
    return spent


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--weights", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--precision", default="fp16", show_default=True, help="Of the bundle's encoder.")
@click.option("--paths", default=",".join(PATHS), show_default=True)
@click.option("--batches", default="1,8", show_default=True)
@click.option("--rounds", default=100, show_default=True)
def main(paths: str, batches: str, rounds: int, **given: Any) -> None:  # noqa: ANN401 - Given
    """Time every path in turns; one line of JSON for each batch."""
    files = Given(**given)
    for batch in map(int, batches.split(",")):
        height, width = files.model.size
        pixels = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
        runs = {path: opened(path, files, batch) for path in paths.split(",")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own
            answers = {name: [run(pixels) for _ in range(4)][-1] for name, run in runs.items()}
        click.echo(json.dumps(told(measured(runs, pixels, rounds), answers, batch, files)))


def told(
    spent: Mapping[str, list[float]],
    answers: Mapping[str, tuple[ndarray, ndarray]],
    batch: int,
    given: Given,
) -> dict[str, object]:
    """Reduce to medians, ratios pair by pair, and how far the answers are from the first path's."""
    first = next(iter(answers.values()))
    rows = {}
    for name, mine in spent.items():
        row = {"ms an image": round(median(mine), 3), "p95": float(np.percentile(mine, 95))}
        for other in ("published", "compiled"):
            if other in spent:
                ratios = [a / b for a, b in zip(spent[other], mine, strict=True)]
                row[f"against {other}"] = round(median(ratios), 2)
        row["score difference"] = float(np.abs(answers[name][0] - first[0]).max())
        row["map difference"] = float(np.abs(answers[name][1] - first[1]).max())
        rows[name] = row
    device = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    return {"device": device, "batch": batch, "torch": torch.__version__, "paths": rows}


if __name__ == "__main__":
    main()
