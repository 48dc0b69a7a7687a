"""What goes through the pipe between server and child: one JSON object a line, of a known kind."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, get_args

from vipx.runtime.server.settings import KeepMaps


@dataclass(frozen=True, slots=True)
class Start:
    """The first line to the child: what to open, and the bounds to work in."""

    bundle: str
    precision: str | None
    options: dict[str, Any]
    recipes: list[dict[str, Any]]
    batch: int
    batch_delay_s: float
    slot_bytes: int
    pixels: int
    decode_bytes: int | None
    engine_hook: str | None


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is open and its goldens hold.

    Attributes:
        golden_s: What a golden image took, with its file and the engine's first run.
        memory: Resident bytes of the child.
    """

    engine: str
    identity: str
    height: int
    width: int
    golden_s: float
    memory: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The last line of a child that gives up; `error` names a class of vipx.errors."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Beat:
    """The child lives; `decoding_s` is how long it has been at the oldest of the files that it decodes."""

    decoding_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """One image, in a slot; `height` and `width` are 0 where it is an encoded file."""

    number: int
    slot: int
    length: int
    height: int
    width: int
    recipe: str
    line: bool
    maps: KeepMaps


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this work any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Cancelled work that never reached the engine; its slot is free."""

    number: int


@dataclass(frozen=True, slots=True)
class Started:
    """The engine runs on these."""

    numbers: list[int]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The image of this work cannot be read."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one piece of work; a map lies at the start of its slot.

    Attributes:
        fault: What was wrong with the engine's answer; the verdict is ERROR then.
        regions: x, y, width, height, area and peak of each.
        map_height: 0 where no map was asked for.
    """

    number: int
    verdict: str
    reason: str
    score: float | None = None
    threshold: float | None = None
    review: float | None = None
    regions: Sequence[Sequence[float | int]] = ()
    height: int = 0
    width: int = 0
    map_height: int = 0
    map_width: int = 0
    preprocess_us: int = 0
    infer_us: int = 0
    postprocess_us: int = 0
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Judge by this recipe from now on."""

    number: int
    recipe: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exchanged:
    """It is done, or refused for a reason; once done, work that comes later is judged by the new recipe."""

    number: int
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Check the goldens when nothing else waits."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The goldens hold."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End now."""


Message: TypeAlias = (
    Start
    | Ready
    | Failed
    | Beat
    | Work
    | Cancel
    | Dropped
    | Started
    | Unreadable
    | Answer
    | Exchange
    | Exchanged
    | Check
    | Checked
    | Stop
)
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}


def line_of(message: Message) -> bytes:
    """Write a message as a line."""
    kind = type(message)
    held = {one.name: getattr(message, one.name) for one in fields(kind)}
    return json.dumps({"kind": kind.__name__, **held}, allow_nan=False).encode() + b"\n"


def message_of(line: bytes) -> Message:
    """Read a line.

    Raises:
        ValueError: It is no message.
    """
    try:
        held = json.loads(line)
        message: Message = _KINDS[held.pop("kind")](**held)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no message: {line[:80]!r} ({error})") from error
    return message
