"""What is wrong with a request, in the words and the status that its sender gets."""

from collections.abc import Mapping

from vipx.errors import InputError


class RequestError(InputError):
    """A request cannot be answered; `str(error)` is what the client reads.

    Attributes:
        status: Of the answer; 4xx, or 503 where the same request can succeed later.
        headers: That the answer carries besides.
    """

    def __init__(
        self, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def shown(value: object) -> str:
    """Show a client's own word in an error: one line, without control characters, cut at 80."""
    text = str(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return text if text.isprintable() else ascii(text)
