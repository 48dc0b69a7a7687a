"""What a recipe compares an image's numbers with, and how sure that is."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_serializer, model_validator

from vipx.manifest import Record

Unit = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class FitRecord(Record):
    """A generalised Pareto tail of log odds, with Anderson-Darling's statistic of its fit."""

    shape: float
    scale: float
    location: float
    exceedances: int
    statistic: float
    p_value: float


class _Lean(Record):
    """A record that leaves out what came later and is not used, so that older files keep their bytes."""

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_unused(self, full: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        record = full(self).items()
        return {
            name: value for name, value in record if value is not None or name not in self.later
        }


class LimitRecord(_Lean):
    """Where one number of an image becomes REVIEW and where NG, and how sure that is.

    Attributes:
        ng: From here on NG.
        review: From here on REVIEW.
        rate: Share of good images that may be NG: by all numbers that decide, where `kind` is `order`; by this
            number alone for a fitted tail.
        confidence: Of everything stated here.
        kind: Distribution-free order statistic, a fitted tail, or the lowest expected cost.
        interval: Where good images alone leave the NG limit open; of one number that decides by itself, the
            confidence interval of its (1 - rate) quantile.
        false_alarms: Interval of the true rate at `ng`, by this number alone.
        images: How many images that do not repeat one another stand behind it.
        warnings: What weakens it, in sentences.
        fit: The tail, where it was fitted.
        good: Where good images alone put REVIEW and NG, if costs moved them.
    """

    later = ("good",)

    ng: Annotated[float, Field(gt=0)]
    review: float
    rate: Share
    confidence: Share
    kind: Literal["order", "tail", "cost"]
    interval: tuple[float, float]
    false_alarms: tuple[Unit, Unit]
    images: Annotated[int, Field(ge=1)]
    warnings: tuple[str, ...] = ()
    fit: FitRecord | None = None
    good: tuple[float, float] | None = None

    @property
    def good_ng(self) -> float:
        """Where good images alone put NG."""
        return self.ng if self.good is None else self.good[1]

    @model_validator(mode="after")
    def _review_comes_first(self) -> "LimitRecord":
        if self.review > self.ng:
            raise ValueError("expected review at or below ng")
        if (self.kind == "cost") != (self.good is not None):
            raise ValueError("expected the good images' limits beside one that costs moved")
        return self


class CostsRecord(Record):
    """What mistakes cost, where the limits were chosen by that.

    Attributes:
        miss: A defective part that is not NG, in any one unit.
        false_alarm: A good part that is NG, in the same.
        prevalence: Share of the line's parts that are defective.
        defects: How many defective images that do not repeat one another it rests on.
        shift: Log odds by which the good images' limits were moved.
    """

    miss: Annotated[float, Field(gt=0)]
    false_alarm: Annotated[float, Field(gt=0)]
    prevalence: Share
    defects: Annotated[int, Field(ge=1)]
    shift: float


class ThresholdsRecord(_Lean):
    """What is compared with what.

    Attributes:
        score: Limits of the image's score; None if it does not decide.
        level: Limits of the heat map: the part is NG where `minimal_area` pixels reach `level.ng`.
        minimal_area: In pixels of the model's input, inside the region.
        false_alarms: Interval of the true rate at the NG limits, by all numbers together, where it is known.
        costs: What the limits were chosen by, if not by good images alone.
    """

    later = ("false_alarms", "costs")

    score: LimitRecord | None
    level: LimitRecord | None
    minimal_area: Annotated[int, Field(ge=1)] = 1
    false_alarms: tuple[Unit, Unit] | None = None
    costs: CostsRecord | None = None

    @model_validator(mode="after")
    def _something_decides(self) -> "ThresholdsRecord":
        if self.score is None and self.level is None:
            raise ValueError("expected limits of the score, of the heat map or of both")
        return self
