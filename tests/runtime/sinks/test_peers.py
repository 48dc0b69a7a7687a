"""MQTT, OPC UA and Modbus against small real peers on this machine."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.server.storage.records import record
from tests.runtime.sinks.broker import Broker
from vipx.errors import UsageError
from vipx.runtime.server.storage.record import Receipt
from vipx.runtime.sinks.live import LineValues, LiveValues, Readiness
from vipx.runtime.sinks.modbus import Modbus, ModbusSettings, registers_of
from vipx.runtime.sinks.mqtt import Mqtt, MqttSettings
from vipx.runtime.sinks.opcua import NODES, OpcUa, OpcUaSettings
from vipx.runtime.sinks.sink import DeliveryError, Message
from vipx.verdict import Verdict

VALUES = LineValues(
    ready=True,
    busy=False,
    valid=True,
    verdict=1,
    score=0.8125,
    seq=70_001,
    part_id="P-1",
    model="ab",
    beat=5,
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def broker() -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt.client")
    running = Broker()
    yield running
    running.close()


def test_mqtt_delivers_each_message_and_waits_for_its_acknowledgement(broker: Broker) -> None:
    sink = Mqtt(MqttSettings("127.0.0.1", broker.port, "plant/line1"))
    for number in range(3):
        sink.deliver(Message("id", f'{{"seq": {number}}}'))
    sink.close()
    assert broker.published == [("plant/line1", b'{"seq": %d}' % number) for number in range(3)]


def test_mqtt_without_acknowledgement_is_no_delivery(broker: Broker) -> None:
    broker.acknowledges = False
    sink = Mqtt(MqttSettings("127.0.0.1", broker.port, timeout_s=0.3))
    with pytest.raises(DeliveryError, match="acknowledged nothing"):
        sink.deliver(Message("id", "{}"))
    broker.acknowledges = True
    sink.deliver(Message("id", "{}"))
    sink.close()
    assert len(broker.published) == 1


def test_mqtt_without_broker_is_no_delivery() -> None:
    pytest.importorskip("paho.mqtt.client")
    with pytest.raises(DeliveryError, match=r"127\.0\.0\.1"):
        Mqtt(MqttSettings("127.0.0.1", free_port(), timeout_s=0.5)).deliver(Message("id", "{}"))


@pytest.mark.parametrize("topic", ["", "a/#", "+/b"])
def test_mqtt_topics_with_wildcards_are_refused(topic: str) -> None:
    with pytest.raises(UsageError):
        MqttSettings("x", topic=topic)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_ca_file_that_is_none_is_refused_before_anything_starts(
    tmp_path: Path, content: bytes | None
) -> None:
    pytest.importorskip("paho.mqtt.client")
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"ca\.pem: expected certificates"):
        Mqtt(MqttSettings("127.0.0.1", 8883, ca_file=path))


def test_registers_hold_what_the_document_says() -> None:
    assert registers_of(VALUES) == [5, 1, 0, 1, 1, 8125, 1, 4465]
    assert registers_of(replace(VALUES, score=-1.0))[5] == 65535
    assert registers_of(replace(VALUES, seq=2**32 + 3))[6:] == [0, 3]


def test_modbus_writes_the_registers_of_a_real_server() -> None:
    pytest.importorskip("pymodbus")
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    port = free_port()

    async def run() -> list[int]:
        device = SimDevice(
            1, simdata=[SimData(100, values=0, count=16, datatype=DataType.REGISTERS)]
        )
        server: Any = ModbusTcpServer(device, address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        sink = Modbus(ModbusSettings("127.0.0.1", port, address=100))
        try:
            await sink.write(VALUES)
            client = sink._client
            assert client is not None
            return list((await client.read_holding_registers(100, count=8, device_id=1)).registers)
        finally:
            await sink.close()
            await server.shutdown()

    assert asyncio.run(run()) == registers_of(VALUES)


def test_modbus_without_plc_is_no_delivery() -> None:
    pytest.importorskip("pymodbus")

    async def run() -> None:
        sink = Modbus(ModbusSettings("127.0.0.1", free_port(), timeout_s=0.3))
        with pytest.raises(DeliveryError, match="cannot be reached"):
            await sink.write(VALUES)

    asyncio.run(run())


@pytest.mark.slow  # its library builds the whole standard address space
def test_opcua_writes_the_variables_of_a_real_server() -> None:
    asyncua = pytest.importorskip("asyncua")
    url = f"opc.tcp://127.0.0.1:{free_port()}/plc"

    async def run() -> dict[str, Any]:
        server = asyncua.Server()
        await server.init()
        server.set_endpoint(url)
        space = await server.register_namespace("plc")
        nodes = {}
        for name, field, kind in NODES:
            first = getattr(LineValues(False, False), field)
            node = await server.nodes.objects.add_variable(
                asyncua.ua.NodeId(f"Vipx.{name}", space),
                name,
                first,
                getattr(asyncua.ua.VariantType, kind),
            )
            await node.set_writable()
            nodes[field] = node
        async with server:
            sink = OpcUa(OpcUaSettings(url, f"ns={space};s=Vipx.", timeout_s=5.0))
            await sink.write(VALUES)
            found = {field: await node.read_value() for field, node in nodes.items()}
            await sink.close()
        return found

    found = asyncio.run(run())
    assert found == {field: getattr(VALUES, field) for _, field, _ in NODES}


def test_opcua_without_server_is_no_delivery() -> None:
    pytest.importorskip("asyncua")

    async def run() -> None:
        sink = OpcUa(OpcUaSettings(f"opc.tcp://127.0.0.1:{free_port()}", timeout_s=0.5))
        with pytest.raises(DeliveryError, match="opcua"):
            await sink.write(VALUES)

    asyncio.run(run())


class Plc:
    """Takes values, or is away."""

    name, kind = "plc", "modbus"

    def __init__(self) -> None:
        self.seen: list[LineValues] = []
        self.away = False

    async def write(self, values: LineValues) -> None:
        if self.away:
            raise DeliveryError("away")
        self.seen.append(values)

    async def close(self) -> None:
        pass


def test_a_plc_sees_the_newest_result_and_never_ok_before_there_is_one() -> None:
    async def run() -> Plc:
        plc = Plc()
        live = LiveValues(plc, lambda: Readiness(True, False))
        await live.write_newest()
        for number in range(5):
            live.publish(record(Verdict.OK), Receipt(number, False))
        await live.write_newest()
        return plc

    plc = asyncio.run(run())
    assert [(values.valid, values.verdict, values.seq) for values in plc.seen] == [
        (False, 3, 0),
        (True, 0, 4),
    ]
    assert plc.seen[1].beat == plc.seen[0].beat + 1


def test_a_plc_that_was_away_gets_the_present_result_not_the_past() -> None:
    async def run() -> tuple[Plc, str | None]:
        plc = Plc()
        live = LiveValues(plc, lambda: Readiness(True, False))
        plc.away = True
        live.publish(record(Verdict.OK), Receipt(1, True))
        task = asyncio.create_task(live.run())
        await asyncio.sleep(0.05)
        alarm = live.state.alarm
        live.publish(record(Verdict.NG), Receipt(2, True))
        plc.away = False
        while not plc.seen:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return plc, alarm

    plc, alarm = asyncio.run(run())
    assert alarm == "away"
    assert (plc.seen[0].verdict, plc.seen[0].seq) == (1, 2)


def test_at_the_end_a_plc_sees_that_nobody_is_ready() -> None:
    async def run() -> Plc:
        plc, ready = Plc(), [True]
        live = LiveValues(plc, lambda: Readiness(ready[0], False))
        task = asyncio.create_task(live.run())
        while not plc.seen:
            await asyncio.sleep(0.005)
        ready[0] = False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await live.finish(5.0)
        return plc

    plc = asyncio.run(run())
    assert (plc.seen[0].ready, plc.seen[-1].ready) == (True, False)
