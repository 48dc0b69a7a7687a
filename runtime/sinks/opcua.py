"""Writes the newest result into variables of an OPC UA server, as PLCs and SCADA systems have one.

Flat variables; no companion specification is claimed.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vipx.errors import EngineError, UsageError
from vipx.runtime.sinks.live import LineValues
from vipx.runtime.sinks.sink import DeliveryError

if TYPE_CHECKING:
    from asyncua.client.client import Client

_SESSION_MS = (
    60_000  # after a client that went without a goodbye a server keeps its session for so long
)
# The number comes last: who waits for it reads whole results.
NODES = (
    ("Ready", "ready", "Boolean"),
    ("Busy", "busy", "Boolean"),
    ("ResultValid", "valid", "Boolean"),
    ("Verdict", "verdict", "Int16"),
    ("Score", "score", "Double"),
    ("PartId", "part_id", "String"),
    ("ModelHash", "model", "String"),
    ("Beat", "beat", "Int32"),
    ("Seq", "seq", "Int64"),
)


@dataclass(frozen=True, slots=True)
class OpcUaSettings:
    """Which server, and where in it.

    Attributes:
        url: `opc.tcp://...`.
        prefix: Of the nodes' identifiers, such as `ns=2;s=Vipx.`; `Ready`, `Verdict` and so on follow it.
        name: Of the sink.
        timeout_s: Of one request.
    """

    url: str
    prefix: str = "ns=2;s=Vipx."
    name: str = "opcua"
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.url.startswith("opc.tcp://"):
            raise UsageError(f"{self.name}: expected opc.tcp://..., got {self.url!r}")


class OpcUa:
    """Writes nine variables: all but the number in one request, then the number."""

    kind = "opcua"

    def __init__(self, settings: OpcUaSettings) -> None:
        """Prepare a client; nothing is connected yet.

        Raises:
            EngineError: asyncua is not installed.
            UsageError: The prefix makes no nodes.
        """
        try:
            import asyncua
            from asyncua.ua.uaerrors import UaError
        except ModuleNotFoundError as error:
            raise EngineError(
                "the Python package asyncua is not installed; OPC UA needs: pip install 'vipx[opcua]'"
            ) from error
        self._library, self._faults = asyncua, (OSError, asyncio.TimeoutError, UaError)
        self._settings = settings
        self._client: Client | None = None
        try:
            asyncua.ua.NodeId.from_string(f"{settings.prefix}Ready")
        except UaError as error:
            raise UsageError(
                f"{settings.name}: expected a prefix such as ns=2;s=Vipx., got {settings.prefix!r}"
            ) from error

    @property
    def name(self) -> str:
        """What it is called."""
        return self._settings.name

    async def write(self, values: LineValues) -> None:
        """Write all values, the number of the result last.

        Raises:
            DeliveryError: The server did not take them.
        """
        try:
            client = self._client or await self._connected()
            await self._put(client, values, NODES[:-1])
            await self._put(client, values, NODES[-1:])
        except self._faults as error:
            if self._client is not None:  # no goodbye: who is silent would be waited for once more
                self._client.disconnect_socket()
            await self.close()
            reason = str(error) or "no answer"
            raise DeliveryError(f"{self.name}: {self._settings.url}: {reason}") from error

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            try:
                await client.disconnect()
            except self._faults:
                return  # the server is gone already

    async def _connected(self) -> "Client":
        from asyncua.client.client import Client

        client = Client(self._settings.url, timeout=self._settings.timeout_s)
        client.session_timeout = _SESSION_MS
        try:
            await client.connect()
        except asyncio.CancelledError:  # of other failures the library cleans up itself
            client.disconnect_socket()
            raise
        self._client = client
        return client

    async def _put(
        self, client: "Client", values: LineValues, nodes: tuple[tuple[str, str, str], ...]
    ) -> None:
        places = [self._settings.prefix + name for name, _, _ in nodes]
        answers = await client.write_values(
            [client.get_node(place) for place in places],
            [self._variant(values, name, kind) for _, name, kind in nodes],
            raise_on_partial_error=False,
        )
        for place, answer in zip(places, answers, strict=True):
            if not answer.is_good():
                # The session stays: PLCs have few of them, and each goes on for a while without its client.
                raise DeliveryError(
                    f"{self.name}: {self._settings.url}: refused {place} ({answer.name})"
                )

    def _variant(self, values: LineValues, name: str, kind: str) -> Any:  # noqa: ANN401 - ua.Variant
        ua = self._library.ua
        return ua.DataValue(ua.Variant(getattr(values, name), getattr(ua.VariantType, kind)))
