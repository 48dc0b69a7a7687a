"""PLCs that go away, come back, refuse, say nothing, or talk nonsense."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.runtime.server.storage.records import record
from tests.runtime.sinks.plcs import ModbusPlc, OpcUaPlc, Plc
from tests.runtime.sinks.silence import Deaf, Relay
from vipx.errors import UsageError
from vipx.runtime.server.storage.record import Receipt
from vipx.runtime.sinks.live import LineValues, LiveValues, Readiness
from vipx.runtime.sinks.modbus import Modbus, ModbusSettings
from vipx.runtime.sinks.mqtt import Mqtt, MqttSettings
from vipx.runtime.sinks.opcua import OpcUa, OpcUaSettings
from vipx.runtime.sinks.sink import DeliveryError, Message
from vipx.verdict import Verdict

VALUES = LineValues(ready=True, busy=False, valid=True, verdict=1, score=0.5, seq=7)
TIMEOUT_S = 1.0
LONGEST_S = 10.0  # a busy machine must not decide what a test finds
GARBAGE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def modbus_plc() -> Iterator[Plc]:
    pytest.importorskip("pymodbus")
    plc = ModbusPlc()
    yield plc
    plc.close()


@pytest.fixture(scope="module")
def opcua_plc() -> Iterator[Plc]:
    pytest.importorskip("asyncua")
    plc = OpcUaPlc()
    yield plc
    plc.close()


@pytest.fixture(
    params=["modbus", pytest.param("opcua", marks=pytest.mark.slow)]  # it builds an address space
)
def plc(request: pytest.FixtureRequest) -> Iterator[Plc]:
    """A PLC that runs."""
    one: Plc = request.getfixturevalue(f"{request.param}_plc")
    one.start()
    yield one
    one.stop()


async def until(condition: Callable[[], Any]) -> None:
    """Look again and again, off the loop: reading a PLC waits for it."""

    async def look() -> None:
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 30)


async def refused(sink: Any) -> tuple[str, float]:
    """Write, and give what the sink says of it and how long that took."""
    started = time.monotonic()
    with pytest.raises(DeliveryError) as told:
        await sink.write(VALUES)
    return str(told.value), time.monotonic() - started


def test_a_plc_that_went_away_gets_the_newest_result_when_it_is_back(plc: Plc) -> None:
    async def run() -> None:
        live = LiveValues(plc.sink(plc.port, TIMEOUT_S), lambda: Readiness(True, False))
        task = asyncio.create_task(live.run())
        live.publish(record(Verdict.OK), Receipt(1, True))
        await until(lambda: plc.seen() == (0, 1))
        await asyncio.to_thread(plc.stop)
        live.publish(record(Verdict.NG), Receipt(2, True))
        await until(lambda: live.state.alarm is not None)
        live.publish(record(Verdict.REVIEW), Receipt(70_003, True))
        await asyncio.to_thread(plc.start)
        await until(lambda: plc.seen() == (2, 70_003))
        await until(lambda: live.state.alarm is None)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(run())


def test_a_plc_that_falls_silent_is_told_in_time_and_left(
    plc: Plc, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        relay = Relay(plc.port)
        sink = plc.sink(await relay.start(), TIMEOUT_S)
        await sink.write(VALUES)
        relay.stall()
        text, seconds = await refused(sink)
        assert sink.name in text
        assert relay.held
        assert seconds < LONGEST_S
        assert "close_session raised" not in caplog.text  # a goodbye would be waited for once more
        await sink.close()
        await relay.close()

    asyncio.run(run())


def test_an_end_while_a_plc_is_silent_leaves_nothing_open(plc: Plc) -> None:
    async def run() -> None:
        deaf = Deaf()
        live = LiveValues(plc.sink(deaf.port, 20.0), lambda: Readiness(True, False))
        task = asyncio.create_task(live.run())
        await until(lambda: deaf.open)
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.done()
        await asyncio.wait_for(live.finish(0.1), 10)
        await until(deaf.left)
        deaf.close()

    asyncio.run(run())


@pytest.mark.parametrize("says", [b"", GARBAGE], ids=["nothing", "garbage"])
@pytest.mark.parametrize("kind", ["modbus", "opcua"])
@pytest.mark.slow
def test_a_peer_that_is_no_plc_is_no_delivery_in_time(kind: str, says: bytes) -> None:
    pytest.importorskip({"modbus": "pymodbus", "opcua": "asyncua"}[kind])

    async def run() -> None:
        deaf = Deaf(says)
        url = f"opc.tcp://127.0.0.1:{deaf.port}"
        sink = (
            Modbus(ModbusSettings("127.0.0.1", deaf.port, timeout_s=TIMEOUT_S))
            if kind == "modbus"
            else OpcUa(OpcUaSettings(url, timeout_s=TIMEOUT_S))
        )
        for _ in range(2):
            text, seconds = await refused(sink)
            assert text.startswith(f"{kind}: ")
            assert not text.endswith(": ")
            assert "\n" not in text
            assert seconds < LONGEST_S
        await sink.close()
        deaf.close()

    asyncio.run(run())


@pytest.mark.parametrize("says", [b"", GARBAGE], ids=["nothing", "garbage"])
def test_a_peer_that_is_no_broker_is_no_delivery_in_time(says: bytes) -> None:
    pytest.importorskip("paho.mqtt.client")
    deaf = Deaf(says)
    sink = Mqtt(MqttSettings("127.0.0.1", deaf.port, timeout_s=TIMEOUT_S))
    started = time.monotonic()
    with pytest.raises(DeliveryError, match=r"did not answer|is it a broker"):
        sink.deliver(Message("1", "{}"))
    assert time.monotonic() - started < LONGEST_S
    deaf.close()


def test_a_place_that_a_plc_does_not_have_is_named(plc: Plc) -> None:
    where, named = ("4000", "4000") if isinstance(plc, ModbusPlc) else ("No.", "s=No.Ready")

    async def run() -> str:
        relay = Relay(plc.port)
        sink = plc.sink(await relay.start(), TIMEOUT_S, where)
        texts = {(await refused(sink))[0] for _ in range(3)}
        await sink.close()
        await relay.close()
        assert relay.connections == 1  # a PLC has few sessions
        return texts.pop()

    text = asyncio.run(run())
    assert named in text
    assert "illegal data address" in text or "BadUserAccessDenied" in text


def test_an_opcua_prefix_that_makes_no_node_is_refused_before_anything_starts() -> None:
    pytest.importorskip("asyncua")
    with pytest.raises(UsageError, match=r"opcua: expected a prefix such as .* got 'x'"):
        OpcUa(OpcUaSettings("opc.tcp://127.0.0.1", "x"))
