"""Webhook and CSV behind the outbox: signed, in order, at least once, never in the verdict's way."""

import asyncio
import csv
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.runtime.server.storage.records import record, with_store
from vipx.errors import UsageError
from vipx.runtime.server.storage.store import Store
from vipx.runtime.sinks.csv_file import CsvFile
from vipx.runtime.sinks.dispatcher import Dispatcher, StoreOutbox
from vipx.runtime.sinks.sink import DeliveryError, Message
from vipx.runtime.sinks.webhook import RESULT_ID, SIGNATURE, TIMESTAMP, Webhook, WebhookSettings

SECRET = "a secret of enough characters"


class Receiver(ThreadingHTTPServer):
    """Answers with the next of `answers`, and remembers what it took."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.took: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.answers.pop(0) if self.server.answers else 204
        if status < 300:
            self.server.took.append((dict(self.headers.items()), body))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


class Pauses:
    """Remembers how long it was to wait, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)


def webhook(receiver: Receiver) -> Webhook:
    return Webhook(WebhookSettings(receiver.url, SECRET, "hook"))


def test_a_receiver_can_check_who_sent_a_message_and_when(receiver: Receiver) -> None:
    webhook(receiver).deliver(Message("01AB", '{"verdict": "NG"}'))
    headers, body = receiver.took[0]
    signed = headers[TIMESTAMP].encode() + b"." + body
    assert (
        headers[SIGNATURE]
        == "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    )
    assert abs(int(headers[TIMESTAMP]) - time.time()) < 60
    assert headers[RESULT_ID] == "01AB"
    assert json.loads(body) == {"verdict": "NG"}


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_only_success_takes_a_message_and_no_redirect_is_followed(
    receiver: Receiver, status: int
) -> None:
    receiver.answers = [status]
    with pytest.raises(DeliveryError, match=str(status)):
        webhook(receiver).deliver(Message("1", "{}"))


def test_nobody_there_is_told() -> None:
    with pytest.raises(DeliveryError, match="no answer"):
        Webhook(WebhookSettings("http://127.0.0.1:9/", SECRET)).deliver(Message("1", "{}"))


@pytest.mark.parametrize(
    "url", ["ftp://x/", "file:///etc/passwd", "http://", "http://user:pw@x/", "x"]
)
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        WebhookSettings(url, SECRET)


def test_a_secret_is_never_printed() -> None:
    with pytest.raises(UsageError):
        WebhookSettings("http://x/", "short")
    assert SECRET not in repr(WebhookSettings("http://x/", SECRET))


def test_the_outbox_drains_in_order_through_failures_and_without_losing_one(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = [204, 500, 503, 204, 302, 204]
    sent = [record(image=None, heat_map=None) for _ in range(5)]

    async def use(store: Store) -> Dispatcher:
        for each in sent:
            await store.append(each)
        dispatcher = Dispatcher(webhook(receiver), StoreOutbox(store), no_pause)
        for _ in range(10):
            await dispatcher.deliver_waiting()
        assert store.reader.outbox() == {}
        return dispatcher

    state = with_store(tmp_path, use, sinks=("hook",)).state
    assert [headers[RESULT_ID] for headers, _ in receiver.took] == [each.result_id for each in sent]
    assert (state.alarm, state.delivered) == (None, 5)


def test_messages_outlive_the_server_while_the_receiver_is_away(
    tmp_path: Path, receiver: Receiver
) -> None:
    given = record(image=None, heat_map=None)

    async def away(store: Store) -> None:
        await store.append(given)
        gone = Webhook(WebhookSettings("http://127.0.0.1:9/", SECRET, "hook"))
        dispatcher = Dispatcher(gone, StoreOutbox(store), no_pause)
        await dispatcher.deliver_waiting()
        assert "no answer" in (dispatcher.state.alarm or "")

    async def back(store: Store) -> None:
        await Dispatcher(webhook(receiver), StoreOutbox(store), no_pause).deliver_waiting()

    with_store(tmp_path, away, sinks=("hook",))
    with_store(tmp_path, back, sinks=("hook",))
    assert [headers[RESULT_ID] for headers, _ in receiver.took] == [given.result_id]


def test_pauses_grow_while_nobody_takes_and_shrink_when_somebody_does(
    tmp_path: Path, receiver: Receiver
) -> None:
    pauses = Pauses()

    async def use(store: Store) -> None:
        await store.append(record(image=None, heat_map=None))
        dispatcher = Dispatcher(webhook(receiver), StoreOutbox(store), pauses.pause)
        receiver.answers = [500] * 9
        for _ in range(10):
            await dispatcher.deliver_waiting()
        await store.append(record(image=None, heat_map=None))
        receiver.answers = [500]
        await dispatcher.deliver_waiting()

    with_store(tmp_path, use, sinks=("hook",))
    assert pauses.seconds == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 0.5]


def test_pauses_do_not_grow_for_a_receiver_that_takes_some(
    tmp_path: Path, receiver: Receiver
) -> None:
    pauses = Pauses()

    async def use(store: Store) -> None:
        for _ in range(4):
            await store.append(record(image=None, heat_map=None))
        dispatcher = Dispatcher(webhook(receiver), StoreOutbox(store), pauses.pause)
        receiver.answers = [500, 500, 204, 503, 204, 503, 503]
        for _ in range(5):
            await dispatcher.deliver_waiting()

    with_store(tmp_path, use, sinks=("hook",))
    assert pauses.seconds == [0.5, 1.0, 0.5, 0.5, 1.0]


def test_a_stuck_sink_does_not_delay_a_result(tmp_path: Path) -> None:
    stuck = threading.Event()

    class Stuck:
        name, kind = "hook", "webhook"

        def deliver(self, message: Message) -> None:
            stuck.wait(20)

        def close(self) -> None:
            pass

    async def use(store: Store) -> None:
        await store.append(record(image=None, heat_map=None))
        task = asyncio.create_task(Dispatcher(Stuck(), StoreOutbox(store)).run())
        await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(store.append(record(image=None)), 10)).stored
        stuck.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with_store(tmp_path, use, sinks=("hook",))


class Slow:
    """Takes a message when it is let."""

    kind = "webhook"

    def __init__(self, name: str = "hook") -> None:
        self.name = name
        self.begun, self.let = threading.Event(), threading.Event()
        self.took: list[str] = []

    def deliver(self, message: Message) -> None:
        self.begun.set()
        self.let.wait(20)
        self.took.append(message.result_id)

    def close(self) -> None:
        pass


async def until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.005)


def test_sinks_that_hang_leave_the_threads_of_verdicts_alone(tmp_path: Path) -> None:
    names = [f"hook{number}" for number in range(40)]  # more than the loop's own threads

    async def use(store: Store) -> None:
        await store.append(record(image=None, heat_map=None))
        sinks = [Slow(name) for name in names]
        tasks = [asyncio.create_task(Dispatcher(sink, StoreOutbox(store)).run()) for sink in sinks]
        for sink in sinks:
            await until(sink.begun)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 10) == 1
        for sink, task in zip(sinks, tasks, strict=True):
            sink.let.set()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with_store(tmp_path, use, sinks=names)


def test_a_message_that_is_taken_while_the_server_ends_is_not_sent_again(tmp_path: Path) -> None:
    async def use(store: Store) -> list[str]:
        for _ in range(2):
            await store.append(record(image=None, heat_map=None))
        slow = Slow()
        dispatcher = Dispatcher(slow, StoreOutbox(store))
        task = asyncio.create_task(dispatcher.run())
        await until(slow.begun)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        slow.let.set()
        await asyncio.wait({task})
        assert len(slow.took) == 1
        await dispatcher.finish(20.0)
        assert store.reader.outbox() == {}
        return slow.took

    took = with_store(tmp_path, use, sinks=("hook",))
    assert len(took) == len(set(took)) == 2


def test_at_the_end_a_receiver_that_takes_nothing_more_is_left_alone(
    tmp_path: Path, receiver: Receiver
) -> None:
    async def use(store: Store) -> dict[str, int]:
        for _ in range(3):
            await store.append(record(image=None, heat_map=None))
        receiver.answers = [204, 500, 500, 204, 204]
        await Dispatcher(webhook(receiver), StoreOutbox(store)).finish(20.0)
        return store.reader.outbox()

    assert with_store(tmp_path, use, sinks=("hook",)) == {"hook": 2}
    assert len(receiver.took) == 1


def test_the_end_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    async def use(store: Store) -> dict[str, int]:
        for _ in range(3):
            await store.append(record(image=None, heat_map=None))
        slow = Slow()
        asyncio.get_running_loop().call_later(0.2, slow.let.set)
        await Dispatcher(slow, StoreOutbox(store)).finish(0.05)
        assert len(slow.took) == 1
        return store.reader.outbox()

    assert with_store(tmp_path, use, sinks=("hook",)) == {"hook": 2}


def test_the_csv_file_has_one_header_a_day_and_no_formula(tmp_path: Path) -> None:
    sink = CsvFile(tmp_path, "line")
    for part, day in (("A", "2026-11-21"), ("=1+1", "2026-11-21"), ("B", "2026-11-22")):
        text = json.dumps({"time": f"{day}T12:00:00.000Z", "part_id": part, "seq": 1})
        sink.deliver(Message("1", text))
    first = (tmp_path / "line-2026-11-21.csv").read_text()
    rows = list(csv.DictReader(first.splitlines()))
    assert [row["part_id"] for row in rows] == ["A", "'=1+1"]
    assert (tmp_path / "line-2026-11-22.csv").exists()


def test_a_csv_folder_that_cannot_be_written_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeliveryError):
        CsvFile(tmp_path / "file").deliver(Message("1", '{"time": "2026-11-21T"}'))
