"""Sinks whose receivers take connections and never answer: no verdict waits for them."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from tests.runtime.server.page.line import FakeLine, photo
from tests.runtime.server.peers.test_peers import run, state_of, until
from tests.runtime.sinks.silence import Deaf
from vipx.runtime.server.peers.making import LinePeers
from vipx.runtime.server.peers.peers import Peers
from vipx.runtime.sinks.modbus import Modbus, ModbusSettings
from vipx.runtime.sinks.mqtt import Mqtt, MqttSettings
from vipx.runtime.sinks.opcua import OpcUa, OpcUaSettings
from vipx.runtime.sinks.webhook import Webhook, WebhookSettings

NAMES = ("webhook", "mqtt", "modbus", "opcua")
PATIENCE_S = 30.0  # of the sinks; a verdict that waited for one would take as long


def test_no_verdict_waits_for_receivers_that_are_silent(tmp_path: Path) -> None:
    for name in ("paho", "asyncua", "pymodbus"):
        pytest.importorskip(name)
    deaf = {name: Deaf() for name in NAMES}
    here = "127.0.0.1"
    url = f"http://{here}:{deaf['webhook'].port}/"
    endpoint = f"opc.tcp://{here}:{deaf['opcua'].port}"
    peers = LinePeers(
        sinks=(
            Webhook(WebhookSettings(url, "a secret of enough characters", timeout_s=PATIENCE_S)),
            Mqtt(MqttSettings(here, deaf["mqtt"].port, timeout_s=PATIENCE_S)),
        ),
        values=(
            Modbus(ModbusSettings(here, deaf["modbus"].port, timeout_s=PATIENCE_S)),
            OpcUa(OpcUaSettings(endpoint, timeout_s=PATIENCE_S)),
        ),
    )

    async def use(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        async def inspect(level: int) -> str:
            asked = client.post("/v1/inspect?recipe=bolt", content=photo(level))
            answer = (await asyncio.wait_for(asked, PATIENCE_S / 3)).json()
            assert answer["stored"]
            return str(answer["verdict"])

        first = await inspect(20)
        await until(lambda: all(one.open for one in deaf.values()))  # every sink waits now
        verdicts = [first, *[await inspect(level) for level in (200, 110, 20, 200)]]
        assert verdicts == ["OK", "NG", "REVIEW", "OK", "NG"]
        assert line.store.reader.outbox() == {"webhook": 5, "mqtt": 5}
        assert [state_of(all_, name).done for name in NAMES] == [0, 0, 0, 0]
        assert (await client.get("/system")).status_code == 200
        for one in deaf.values():
            one.close()
        # pymodbus waits on for an answer though the connection is closed
        told = [name for name in NAMES if name != "modbus"]
        await until(lambda: all(state_of(all_, name).alarm for name in told))

    run(tmp_path, peers, use)
