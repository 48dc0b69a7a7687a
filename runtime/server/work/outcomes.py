"""From what a child says to an outcome: the server believes no verdict that contradicts itself."""

from collections.abc import Sequence

from jaxtyping import Float32
from numpy import ndarray

from vipx.runtime.server.work.channel.messages import Answer
from vipx.runtime.server.work.task import Outcome, Region
from vipx.verdict import Verdict

_VERDICTS = {verdict.value: verdict for verdict in Verdict}


def outcome_from_answer(
    answer: Answer,
    anomaly_map: Float32[ndarray, "height width"] | None,
    queue_us: int,
    engine: tuple[str, str],
) -> Outcome:
    """Make an outcome; one that contradicts itself becomes an ERROR.

    Args:
        answer: The child's.
        anomaly_map: Copied from its slot, if it was asked for.
        queue_us: From the request to the engine's start.
        engine: Its line, and the bundle's identity.
    """
    verdict, reason = _believed(answer)
    is_error = verdict is Verdict.ERROR
    return Outcome(
        verdict=verdict,
        score=None if is_error else answer.score,
        threshold=answer.threshold,
        review=answer.review,
        reason=reason,
        regions=() if is_error else tuple(_region(numbers) for numbers in answer.regions),
        anomaly_map=None if is_error else anomaly_map,
        size=(answer.height, answer.width),
        microseconds={
            "queue": max(0, queue_us - answer.preprocess_us),
            "preprocess": answer.preprocess_us,
            "infer": answer.infer_us,
            "postprocess": answer.postprocess_us,
        },
        engine=engine[0],
        identity=engine[1],
    )


def outcome_of_loss(reason: str, queue_us: int, engine: tuple[str, str]) -> Outcome:
    """Make the outcome of a task that the engine died on."""
    gone = Answer(number=0, verdict=Verdict.ERROR.value, reason=f"no answer: {reason}")
    return outcome_from_answer(gone, None, queue_us, engine)


def _believed(answer: Answer) -> tuple[Verdict, str]:
    verdict = _VERDICTS.get(answer.verdict, Verdict.ERROR)
    if verdict is Verdict.ERROR or answer.fault is not None:
        return Verdict.ERROR, answer.reason
    if answer.score is None or not 0 <= answer.score <= 1:
        return Verdict.ERROR, f"the engine's process gave the score {answer.score}"
    if verdict is Verdict.OK and not _is_below(answer.score, answer.review, answer.threshold):
        return Verdict.ERROR, f"the engine's process called the score {answer.score} OK"
    return verdict, answer.reason


def _is_below(score: float, *limits: float | None) -> bool:
    return all(limit is None or score < limit for limit in limits)


def _region(numbers: Sequence[float | int]) -> Region:
    x, y, width, height, area = map(int, numbers[:5])
    return Region(x, y, width, height, area, numbers[5])
