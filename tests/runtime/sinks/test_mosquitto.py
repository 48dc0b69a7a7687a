"""MQTT against a broker as plants have one: mosquitto, where it is installed."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runtime.server.storage.records import record, with_store
from tests.runtime.sinks.mosquitto import BROKER, Mosquitto, Subscriber, certificates
from vipx.runtime.server.storage.store import Store
from vipx.runtime.sinks.dispatcher import Dispatcher, StoreOutbox
from vipx.runtime.sinks.mqtt import Mqtt, MqttSettings
from vipx.runtime.sinks.sink import DeliveryError, Message

pytest.importorskip("paho.mqtt.client")
pytestmark = pytest.mark.skipif(BROKER is None, reason="mosquitto is not installed")
TOPIC = "plant/line1"
NAME, PASSWORD = "vipx", "a broker's password"
Start = Callable[..., Mosquitto]
# paho 2.2 leaves the socket of a handshake that failed to the garbage collector.
leaves_sockets = pytest.mark.filterwarnings(
    "ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts brokers, and ends them."""
    running: list[Mosquitto] = []

    def started(*lines: str) -> Mosquitto:
        running.append(Mosquitto(tmp_path, *lines))
        return running[-1]

    yield started
    for each in running:
        each.kill()


def guarded(start: Start, folder: Path) -> Mosquitto:
    """A broker that asks for a password."""
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    command = [tool, "-b", "-c", str(folder / "passwords"), NAME, PASSWORD]
    subprocess.run(command, check=True, capture_output=True)
    return start("allow_anonymous false", f"password_file {folder / 'passwords'}")


def sink_of(port: int, **settings: object) -> Mqtt:
    options = {"topic": TOPIC, "timeout_s": 5.0} | settings
    return Mqtt(MqttSettings("127.0.0.1", port, **options))  # type: ignore[arg-type]


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


def test_a_subscriber_gets_each_message_whole_and_in_order(start: Start) -> None:
    broker = start()
    subscriber, sink = Subscriber(broker.port, TOPIC), sink_of(broker.port)
    sent = [json.dumps({"seq": seq, "part_id": "Ü" * seq * 400}) for seq in range(20)]
    for text in sent:
        sink.deliver(Message("id", text))
    sink.close()
    assert subscriber.wait_for(20) == [text.encode() for text in sent]
    subscriber.close()


def test_a_broker_takes_the_right_password(start: Start, tmp_path: Path) -> None:
    broker = guarded(start, tmp_path)
    subscriber = Subscriber(broker.port, TOPIC, username=NAME, password=PASSWORD)
    sink = sink_of(broker.port, username=NAME, password=PASSWORD)
    sink.deliver(Message("id", "{}"))
    sink.close()
    assert subscriber.wait_for(1) == [b"{}"]
    subscriber.close()


@pytest.mark.parametrize("login", [{}, {"username": NAME, "password": "wrong"}])
def test_a_broker_that_refuses_a_log_in_is_told_as_such(
    start: Start, tmp_path: Path, login: dict[str, str]
) -> None:
    sink = sink_of(guarded(start, tmp_path).port, **login)
    for _ in range(2):
        with pytest.raises(DeliveryError) as told:
            sink.deliver(Message("id", "{}"))
        assert "refused" in str(told.value)
        assert "check username and password" in str(told.value)
        assert "wrong" not in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.slow
def test_a_broker_that_was_started_again_gets_the_next_message_at_once(start: Start) -> None:
    broker = start()
    sink = sink_of(broker.port)
    sink.deliver(Message("1", "{}"))
    broker.kill()
    with pytest.raises(DeliveryError, match=r"127\.0\.0\.1"):
        sink.deliver(Message("2", "{}"))
    broker.start()
    subscriber = Subscriber(broker.port, TOPIC)
    sink.deliver(Message("2", '{"seq": 2}'))
    sink.close()
    assert subscriber.wait_for(1) == [b'{"seq": 2}']
    subscriber.close()


def test_a_frozen_broker_is_no_delivery_within_its_time(start: Start) -> None:
    broker = start()
    fresh, used = sink_of(broker.port, timeout_s=0.3), sink_of(broker.port, timeout_s=0.3)
    used.deliver(Message("1", "{}"))
    broker.freeze()
    with pytest.raises(DeliveryError, match="did not answer"):
        fresh.deliver(Message("1", "{}"))
    with pytest.raises(DeliveryError, match="acknowledged nothing"):
        used.deliver(Message("2", "{}"))


def test_nothing_is_lost_when_the_broker_is_killed_in_the_middle(
    start: Start, tmp_path: Path
) -> None:
    broker = start()
    subscriber = Subscriber(broker.port, TOPIC)
    given = [record(image=None, heat_map=None) for _ in range(9)]

    async def use(store: Store) -> None:
        sink = sink_of(broker.port, timeout_s=0.5)
        dispatcher = Dispatcher(sink, StoreOutbox(store), no_pause)

        async def append(start_: int) -> None:
            for each in given[start_ : start_ + 3]:
                assert (await asyncio.wait_for(store.append(each), 10)).stored

        await append(0)
        await dispatcher.deliver_waiting()
        await asyncio.to_thread(subscriber.wait_for, 3)
        broker.freeze()  # a message is on its way when the broker dies
        await append(3)
        assert await dispatcher.deliver_waiting() == 0
        broker.kill()
        await append(6)
        assert await dispatcher.deliver_waiting() == 0
        assert "127.0.0.1" in (dispatcher.state.alarm or "")
        assert store.reader.outbox() == {"mqtt": 6}
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(subscriber.wait_until_subscribed)
        await dispatcher.deliver_waiting()
        assert (dispatcher.state.alarm, dispatcher.state.delivered) == (None, 9)
        assert store.reader.outbox() == {}
        await dispatcher.finish(5.0)

    with_store(tmp_path / "data", lambda store: asyncio.wait_for(use(store), 60), sinks=("mqtt",))
    ids = [json.loads(text)["result_id"] for text in subscriber.wait_for(9)]
    assert ids == [each.result_id for each in given]
    subscriber.close()


def secured(start: Start, folder: Path, name: str = "IP:127.0.0.1") -> tuple[Mosquitto, Path]:
    """A broker with a certificate of the plant's own authority, and that authority's file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    at = certificates(folder / "pki", name=name)
    return start(f"certfile {at['cert']}", f"keyfile {at['key']}"), at["ca"]


def test_messages_travel_by_tls_to_a_broker_of_the_plants_own_authority(
    start: Start, tmp_path: Path
) -> None:
    broker, authority = secured(start, tmp_path)
    sink = sink_of(broker.port, ca_file=authority)
    for _ in range(3):
        sink.deliver(Message("id", "{}"))
    sink.close()
    with pytest.raises(DeliveryError):
        sink_of(broker.port, timeout_s=1.0).deliver(Message("id", "in clear"))


@leaves_sockets
def test_a_broker_whom_the_authority_does_not_know_is_refused(start: Start, tmp_path: Path) -> None:
    broker, _ = secured(start, tmp_path)
    other = certificates(tmp_path / "other")["ca"]
    with pytest.raises(DeliveryError, match=r"certificate is refused: .+"):
        sink_of(broker.port, ca_file=other).deliver(Message("id", "{}"))


@leaves_sockets
def test_a_certificate_of_another_machine_is_refused(start: Start, tmp_path: Path) -> None:
    broker, authority = secured(start, tmp_path, name="IP:10.9.8.7")
    with pytest.raises(DeliveryError, match=r"certificate is refused: .*127\.0\.0\.1"):
        sink_of(broker.port, ca_file=authority).deliver(Message("id", "{}"))
