"""A child is ended for a run that takes too long, and not for a picture that decodes slowly."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

from tests.runtime.server.work.fake import image
from tests.runtime.server.work.running import fake_settings
from vipx.runtime.server.work.channel.messages import Beat, Cancel, Message, Ready, Started, Work
from vipx.runtime.server.work.process import ChildProcess
from vipx.runtime.server.work.service import Service
from vipx.runtime.server.work.task import Task


@dataclass
class Recorder:
    """A child that only listens."""

    sent: list[Message] = field(default_factory=list)
    pid: int = 1

    def send(self, message: Message) -> None:
        self.sent.append(message)


def service_with_one(task: Task) -> tuple[Service, Recorder]:
    service, child = Service(fake_settings()), Recorder()
    service.child = cast(ChildProcess, cast(Any, child))
    service.ready = Ready("an engine", "0" * 64, 160, 160, 0.01, 0)
    entry = service.book.admit(task)
    service.book.queue.add(entry)
    service.feed()
    return service, child


def in_loop(test: Any) -> None:
    async def whole() -> None:
        test()

    asyncio.run(whole())


def test_a_run_is_bounded_and_a_long_decode_is_none() -> None:
    def test() -> None:
        service, child = service_with_one(Task("part", image()))
        assert isinstance(child.sent[0], Work)
        now = monotonic()
        assert service.on_tick(now + 9) is None
        assert "did nothing" in (service.on_tick(now + 11) or "")
        service.on_message(Beat(11.0))
        assert service.on_tick(now + 11) is None
        service.on_message(Beat(121.0))
        assert "decoded for 121 s" in (service.on_tick(now + 11) or "")
        service.on_message(Beat(0.0))
        service.on_message(Started([1]))
        assert service.on_tick(monotonic() + 0.4) is None
        assert "did not answer" in (service.on_tick(monotonic() + 0.6) or "")
        service.close()

    in_loop(test)


def test_leaving_tells_the_child_once_and_only_before_the_engine_began() -> None:
    def test() -> None:
        service, child = service_with_one(Task("part", image()))
        entry = service.book.sent(1)
        service.leave(entry)
        service.leave(entry)
        assert child.sent[1:] == [Cancel(1)]
        service.close()
        service, child = service_with_one(Task("part", image()))
        service.on_message(Started([1]))
        service.leave(service.book.sent(1))
        assert len(child.sent) == 1
        service.close()

    in_loop(test)
