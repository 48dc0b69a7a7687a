"""What the screens need of the server, and who looks at them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request

from vipx.runtime.server.app.inspection import Inspecting
from vipx.runtime.server.app.safety.bodies import Bodies
from vipx.runtime.server.page.board import Board
from vipx.runtime.server.page.desk import ThresholdDesk
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.work.faults import WorkError
from vipx.runtime.server.work.recipes import RecipeInfo

_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class PeerState:
    """A source or a sink, as the System screen shows it.

    Attributes:
        name: As configured.
        kind: `folder`, `camera`, `webhook`, `mqtt`, ...
        direction: Whether pictures come from it or results go to it.
        alarm: What is wrong; None where it works.
        detail: What it did, in a few words.
        done: Pictures that it delivered, or results that it took, since the start.
        failed: Pictures that could not be inspected.
        restarts: How often it ended by a bug and was started again.
    """

    name: str
    kind: str
    direction: Literal["source", "sink"]
    alarm: str | None
    detail: str
    done: int = 0
    failed: int = 0
    restarts: int = 0


def no_peers() -> Sequence[PeerState]:
    """Say that nothing is connected."""
    return ()


def no_report() -> Mapping[str, Any]:
    """Say that nobody examines this machine."""
    return {}


@dataclass(frozen=True, slots=True)
class PageContext:
    """What the screens show and change.

    Attributes:
        inspecting: The one way in which pictures are inspected.
        store: What is kept.
        board: What happens now.
        bodies: Reads request bodies within the server's bounds.
        desk: Changes thresholds.
        peers: Says how sources and sinks are.
        examine: Makes the doctor's report; slow, runs off the event loop.
        settings: What the System screen tells of the server's settings; no secret.
        deadline_s: How long a picture of the Try screen may wait.
    """

    inspecting: Inspecting
    store: Store
    board: Board
    bodies: Bodies
    desk: ThresholdDesk
    peers: Callable[[], Sequence[PeerState]] = no_peers
    examine: Callable[[], Mapping[str, Any]] = no_report
    settings: Mapping[str, str] | None = None
    deadline_s: float = 5.0

    def alarms(self) -> list[str]:
        """List what somebody should look after, in words for the bar above every screen."""
        work, store = self.inspecting.work.state, self.store.state()
        told = [] if work.ready else ["The engine is not ready: no part gets a verdict."]
        if work.degraded:
            told.append(f"The engine runs degraded: {work.degraded}")
        if store.alarm:
            told.append(f"Results are not stored: {store.alarm}")
        return told + [
            f"{peer.direction.capitalize()} {peer.name}: {peer.alarm}"
            for peer in self.peers()
            if peer.alarm
        ]

    @property
    def recipes(self) -> list[str]:
        """Give the names of the recipes that can be asked for; none before an engine was ready."""
        return [recipe.name for recipe in self.offered]

    @property
    def offered(self) -> Sequence[RecipeInfo]:
        """Give the recipes that can be asked for; none before an engine was ready."""
        try:
            return self.inspecting.work.recipes
        except WorkError:
            return ()


def role_of(request: Request) -> str:
    """Give the role that the server's guard found."""
    return str(getattr(request.state, "role", None) or "operator")


def expect_engineer(request: Request) -> None:
    """Let engineers through.

    Raises:
        RequestError: Somebody else asks (403).
    """
    if role_of(request) != "engineer":
        raise RequestError("only an engineer may do this; log in at /login", status=403)


def person(request: Request, name: object) -> str:
    """Say who acts, for the audit: the name that was typed, the role, and the address.

    Raises:
        RequestError: The name is empty or too long.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise RequestError(f"who: expected your name, 1 to {_LONGEST_NAME} characters")
    address = request.client.host if request.client else "?"
    return f"{name.strip()} ({role_of(request)}, {address})"
