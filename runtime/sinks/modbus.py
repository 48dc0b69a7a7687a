"""Writes the newest result into holding registers of a PLC by Modbus TCP."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vipx.errors import EngineError, UsageError
from vipx.runtime.sinks.live import LineValues
from vipx.runtime.sinks.sink import DeliveryError

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient

REGISTERS = 8
_REASONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "the device failed",
    6: "the device is busy",
    10: "the gateway has no path",
    11: "nobody answers behind the gateway",
}


@dataclass(frozen=True, slots=True)
class ModbusSettings:
    """Which PLC, and where in it.

    Attributes:
        host: Of the PLC.
        port: TCP.
        device: Unit identifier.
        address: First of eight holding registers: beat, ready, busy, valid, verdict, score x 10,000
            (65535: none), then the number of the result as two registers, high first.
        name: Of the sink.
        timeout_s: Of one request.
    """

    host: str
    port: int = 502
    device: int = 1
    address: int = 0
    name: str = "modbus"
    timeout_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.address <= 2**16 - REGISTERS:
            raise UsageError(f"{self.name}: expected an address up to {2**16 - REGISTERS}")


class Modbus:
    """Writes six registers, then the two of the number: a PLC that waits for the number reads whole results."""

    kind = "modbus"

    def __init__(self, settings: ModbusSettings) -> None:
        """Prepare a client; nothing is connected yet.

        Raises:
            EngineError: pymodbus is not installed.
        """
        try:
            from pymodbus.client import AsyncModbusTcpClient
        except ModuleNotFoundError as error:
            raise EngineError(
                "the Python package pymodbus is not installed; Modbus needs: pip install 'vipx[modbus]'"
            ) from error
        self._make = AsyncModbusTcpClient
        self._settings = settings
        self._client: AsyncModbusTcpClient | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self._settings.name

    async def write(self, values: LineValues) -> None:
        """Write all values, the number of the result last.

        Raises:
            DeliveryError: The PLC did not take them.
        """
        from pymodbus.exceptions import ModbusException, ModbusIOException

        registers = registers_of(values)
        try:
            client = self._client or await self._connected()
            await self._put(client, self._settings.address, registers[:6])
            await self._put(client, self._settings.address + 6, registers[6:])
        except (OSError, ModbusException) as error:
            await self.close()
            reason = "no answer" if isinstance(error, ModbusIOException) else error
            raise DeliveryError(f"{self.name}: {self._settings.host}: {reason}") from error

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _connected(self) -> "AsyncModbusTcpClient":
        settings = self._settings
        client = self._make(
            settings.host,
            port=settings.port,
            timeout=settings.timeout_s,
            retries=0,
            reconnect_delay=0,
        )
        if not await client.connect():
            client.close()
            raise ConnectionError("cannot be reached")
        self._client = client
        return client

    async def _put(
        self, client: "AsyncModbusTcpClient", address: int, registers: list[int]
    ) -> None:
        answer = await client.write_registers(address, registers, device_id=self._settings.device)
        if answer.isError():
            reason = _REASONS.get(getattr(answer, "exception_code", 0), answer)
            where = f"{self.name}: {self._settings.host}"
            raise DeliveryError(f"{where}: refused registers from {address} on ({reason})")


def registers_of(values: LineValues) -> list[int]:
    """Give the eight registers."""
    score = 65535 if values.score < 0 else round(min(values.score, 1.0) * 10_000)
    number = values.seq % 2**32
    flags = [int(values.ready), int(values.busy), int(values.valid)]
    return [values.beat, *flags, values.verdict, score, number >> 16, number & 0xFFFF]
