"""PLCs of the real libraries, each on a thread of its own."""

import asyncio
import importlib
import threading
from collections.abc import Coroutine
from typing import Any, Protocol

from tests.runtime.sinks.mosquitto import free_port
from vipx.runtime.sinks.live import LineValues, ValueSink
from vipx.runtime.sinks.modbus import Modbus, ModbusSettings
from vipx.runtime.sinks.opcua import NODES, OpcUa, OpcUaSettings

ADDRESS = 100
WITHIN_S = 30.0


class Plc(Protocol):
    """What a test does with one."""

    port: int

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def seen(self) -> tuple[int, int]:
        """Read the verdict and the number."""

    def sink(self, port: int, timeout_s: float, where: str | None = None) -> ValueSink:
        """Make the sink that writes into it, behind a port, at the right place or another."""


class _OnThread:
    def __init__(self) -> None:
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN_S)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN_S)
        self._loop.close()


class ModbusPlc(_OnThread):
    """pymodbus's own server."""

    def __init__(self) -> None:
        super().__init__()
        self._server: Any = None

    def start(self) -> None:
        self._do(self._started())

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._do(server.shutdown())

    def close(self) -> None:
        self.stop()
        self._end()

    def seen(self) -> tuple[int, int]:
        from pymodbus.client import ModbusTcpClient

        with ModbusTcpClient("127.0.0.1", port=self.port) as client:
            found = client.read_holding_registers(ADDRESS, count=8, device_id=1).registers
        return found[4], (found[6] << 16) + found[7]

    def sink(self, port: int, timeout_s: float, where: str | None = None) -> ValueSink:
        address = ADDRESS if where is None else int(where)
        return Modbus(ModbusSettings("127.0.0.1", port, address=address, timeout_s=timeout_s))

    async def _started(self) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        data = SimData(ADDRESS, values=0, count=16, datatype=DataType.REGISTERS)
        server: Any = ModbusTcpServer(
            SimDevice(1, simdata=[data]), address=("127.0.0.1", self.port)
        )
        await server.serve_forever(background=True)
        self._server = server


class OpcUaPlc(_OnThread):
    """asyncua's own server; its address space outlives a stop, as a PLC's does."""

    def __init__(self) -> None:
        super().__init__()
        self._runs = False
        self._do(self._made())

    def start(self) -> None:
        self._do(self._server.start())
        self._runs = True

    def stop(self) -> None:
        if self._runs:
            self._do(self._server.stop())
        self._runs = False

    def close(self) -> None:
        self.stop()
        self._end()

    def seen(self) -> tuple[int, int]:
        return self._do(self._nodes["verdict"].read_value()), self._do(
            self._nodes["seq"].read_value()
        )

    def sink(self, port: int, timeout_s: float, where: str | None = None) -> ValueSink:
        prefix = f"ns={self._space};s={where or 'Vipx.'}"
        return OpcUa(OpcUaSettings(f"opc.tcp://127.0.0.1:{port}/plc", prefix, timeout_s=timeout_s))

    async def _made(self) -> None:
        asyncua: Any = importlib.import_module("asyncua")
        self._server = server = asyncua.Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/plc")
        self._space = await server.register_namespace("plc")
        self._nodes = {}
        for name, field, kind in NODES:
            self._nodes[field] = node = await server.nodes.objects.add_variable(
                asyncua.ua.NodeId(f"Vipx.{name}", self._space),
                name,
                getattr(LineValues(False, False), field),
                getattr(asyncua.ua.VariantType, kind),
            )
            await node.set_writable()
