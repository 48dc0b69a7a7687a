"""Measures one cell of a sweep in a process of its own, so that a crash or its memory touches no other cell.

It reads a `Request` as JSON from stdin and writes an `Answer` as JSON to stdout.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from vipx.benchmarking.cells import AccuracyRecord
from vipx.errors import VipxError
from vipx.manifest import Precision, Record
from vipx.runtime.bench.measurement import BenchOptions, measure
from vipx.runtime.bench.protocol import Limits
from vipx.runtime.bench.record import BenchRecord, ProtocolRecord
from vipx.runtime.engines.engine import Arithmetic, CudaBackend, Device, EngineName, EngineOptions


class DataRequest(Record):
    """What accuracy is measured on, as `vipx eval` takes it."""

    dataset: str
    root: str | None = None
    limit: int | None = None


class EngineRequest(Record):
    """The fields of `EngineOptions`."""

    engine: EngineName | None
    device: Device | None
    threads: int | None
    arithmetic: Arithmetic
    cuda_backend: CudaBackend
    cuda_graph: bool


class Request(Record):
    """What a child is asked."""

    kind: Literal["cell"] = "cell"
    bundle: str
    images: tuple[str, ...]
    precision: Precision
    engine: EngineRequest
    batches: tuple[int, ...]
    protocol: ProtocolRecord
    noisy_above: float
    data: DataRequest | None


class Answer(Record):
    """What a child found, or why it found nothing."""

    bench: BenchRecord | None = None
    accuracy: AccuracyRecord | None = None
    reason: str | None = None


def answer(request: Request) -> Answer:
    """Measure latency first, so that nothing of the evaluation counts into its memory."""
    bench: BenchRecord | None = None
    engine = EngineOptions(**request.engine.model_dump())
    try:
        bench = measure(
            Path(request.bundle),
            [Path(image) for image in request.images],
            BenchOptions(
                precision=request.precision,
                engine=engine,
                batches=request.batches,
                limits=Limits(**request.protocol.model_dump()),
                noisy_above=request.noisy_above,
            ),
        )
        if request.data is None:
            return Answer(bench=bench)
        return Answer(bench=bench, accuracy=_accuracy(request, request.data, engine))
    except VipxError as error:
        return Answer(bench=bench, reason=str(error))


def _accuracy(request: Request, data: DataRequest, engine: EngineOptions) -> AccuracyRecord:
    from vipx.evaluation.evaluation import evaluate
    from vipx.evaluation.predictors import ModelChoice, open_predictor
    from vipx.evaluation.sources import DataChoice, open_source

    root = None if data.root is None else Path(data.root)
    source = open_source(DataChoice(data.dataset, root, limit=data.limit))
    choice = ModelChoice(
        Path(request.bundle), precision=request.precision, options=replace(engine, batch=1)
    )
    with open_predictor(choice) as predictor:
        results = evaluate(predictor, source, "official", lambda _: None).results
    mean = results.mean.metrics
    return AccuracyRecord(
        dataset=data.dataset,
        images=len(results.images),
        image_auroc=mean.image_auroc,
        pixel_auroc=mean.pixel_auroc,
        aupro=mean.aupro,
    )


def main() -> None:
    """Answer what stands in stdin."""
    request = Request.model_validate_json(sys.stdin.buffer.read())
    sys.stdout.write(answer(request).model_dump_json())


if __name__ == "__main__":
    main()
