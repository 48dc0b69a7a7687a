"""Evaluates one category at a time: maps and masks of more than one are never in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from vipx.errors import EngineError
from vipx.evaluation.curves import curves_of
from vipx.evaluation.exhibits import Exhibition
from vipx.evaluation.predictors import Answer, Predictor
from vipx.evaluation.report.evaluation_page import CategoryView
from vipx.evaluation.report.plates import plate_from_exhibit
from vipx.evaluation.results import CategoryRecord, ImageRecord, MetricsRecord
from vipx.evaluation.sources import Case
from vipx.training.data.samples import LoadedSample
from vipx.training.metrics import AuproMode, measurement

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CategoryOutcome:
    """One category evaluated, without maps and masks: what the records and the report need."""

    view: CategoryView
    images: tuple[ImageRecord, ...]
    milliseconds: tuple[float, ...]


class _Pixels:
    """Masks and maps of the pictures whose pixel truth is known, in arrays made once."""

    def __init__(self, cases: Sequence[Case], size: tuple[int, int]) -> None:
        # Without one known defect every pixel metric is undefined, and the memory would be for nothing.
        usable = any(case.masked and case.defect is not None for case in cases)
        count = sum(case.masked for case in cases) if usable else 0
        self._masks = np.zeros((count, *size), np.bool_)
        self._maps = np.zeros((count, *size), np.float32)
        self._filled = 0

    def add(self, mask: Bool[ndarray, "height width"] | None, answer: Answer) -> None:
        if mask is not None and len(self._masks):
            self._masks[self._filled] = mask
            self._maps[self._filled] = answer.anomaly_map
            self._filled += 1

    @property
    def masks(self) -> Bool[ndarray, "masked height width"]:
        return self._masks[: self._filled]

    @property
    def maps(self) -> Float32[ndarray, "masked height width"]:
        return self._maps[: self._filled]


def evaluate_category(
    predictor: Predictor, cases: Sequence[Case], mode: AuproMode, report: Report
) -> CategoryOutcome:
    """Answer for every case of one category, and measure the answers.

    Raises:
        InputError: A picture or mask cannot be read.
        EngineError: The engine failed, or gave a number that is none.
    """
    height, width = predictor.size
    pixels, exhibition = _Pixels(cases, predictor.size), Exhibition()
    images: list[ImageRecord] = []
    milliseconds: list[float] = []
    heats: list[float] = []
    for number, case in enumerate(cases, 1):
        report(f"{case.category}, {number} of {len(cases)}")
        loaded = case.load(height, width)
        start = perf_counter()
        answer = predictor.predict(loaded.image)
        milliseconds.append(1000 * (perf_counter() - start))
        heats += _checked_heat(case, answer)
        pixels.add(loaded.mask, answer)
        exhibition.offer(case, loaded, answer)
        images.append(_image_record(case, loaded, answer))
    labels = np.array([image.defect is not None for image in images])
    scores = np.array([image.score for image in images])
    measured = measurement(labels, scores, pixels.masks, pixels.maps)
    record = CategoryRecord(
        category=cases[0].category,
        good=int((~labels).sum()),
        anomalous=int(labels.sum()),
        masked=sum(case.masked for case in cases),
        metrics=MetricsRecord(**measured.metrics().record(mode)),
    )
    heat = (min(heats), max(heats))
    plates = tuple(plate_from_exhibit(each, heat) for each in exhibition.exhibits())
    view = CategoryView(record, curves_of(measured, labels, scores), plates)
    return CategoryOutcome(view, tuple(images), tuple(milliseconds))


def _image_record(case: Case, loaded: LoadedSample, answer: Answer) -> ImageRecord:
    if bool(loaded.label) != (case.defect is not None):
        raise ValueError(
            f"{case.name}: listed as {case.defect!r}, loaded with label {loaded.label}"
        )
    return ImageRecord(
        category=case.category, image=case.name, defect=case.defect, score=answer.score
    )


def _checked_heat(case: Case, answer: Answer) -> tuple[float, float]:
    """Give the lowest and highest value of the map; NaN comes through both."""
    low, high = float(answer.anomaly_map.min()), float(answer.anomaly_map.max())
    if not np.isfinite([answer.score, low, high]).all():
        raise EngineError(
            f"{case.name}: the model gave a score or map that is not a finite number; "
            "try --precision fp32 or --device cpu"
        )
    return low, high
