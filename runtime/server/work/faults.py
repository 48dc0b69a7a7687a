"""Why a task got no verdict.

    WorkError            not now, or not here; none of them is a bug
    ├── QueueFull        503: come back in `retry_after_s`
    ├── TooLate          503: it waited as long as it was allowed to
    ├── EngineDown       503: the engine is being restarted, or the server is closing
    └── UnknownRecipe    404

A picture that cannot be read is `vipx.errors.ImageError`. An engine that fails on a task answers it with the
verdict ERROR.
"""


class WorkError(Exception):
    """A task was not inspected; `str(error)` is one line for a person.

    Attributes:
        retry_after_s: When to come back, if that may help.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class QueueFull(WorkError):  # noqa: N818 - the server's contract names it so
    """As many tasks wait as may."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the queue is full; send fewer images at once", retry_after_s)


class TooLate(WorkError):  # noqa: N818
    """The task waited for the engine longer than its deadline."""


class EngineDown(WorkError):  # noqa: N818
    """No checked engine is there to answer."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason, retry_after_s)
        self.reason = reason


class UnknownRecipe(WorkError):  # noqa: N818
    """The server has no recipe of this name."""
