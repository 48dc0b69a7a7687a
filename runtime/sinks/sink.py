"""What every sink does, and how it is."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Message:
    """One result for a sink.

    Attributes:
        result_id: For the receiver to notice that it had this one already.
        text: One line of JSON.
    """

    result_id: str
    text: str


@dataclass(frozen=True, slots=True)
class SinkState:
    """How a sink is.

    Attributes:
        name: As configured.
        kind: `webhook`, `csv`, `mqtt`, `opcua` or `modbus`.
        alarm: What is wrong; None where it works.
        delivered: Messages that the receiver took since the start.
    """

    name: str
    kind: str
    alarm: str | None
    delivered: int


class DeliveryError(Exception):
    """The receiver did not take a message; it is sent again later."""


@runtime_checkable
class Sink(Protocol):
    """Delivers messages in order, each at least once."""

    @property
    def name(self) -> str:
        """Which outbox is its own."""

    @property
    def kind(self) -> str:
        """What it is."""

    def deliver(self, message: Message) -> None:
        """Deliver one message; called off the event loop, from one thread at a time.

        Raises:
            DeliveryError: It was not taken.
        """

    def close(self) -> None:
        """Let go of the receiver."""
