"""Inspects what sources hand over, in the same way as what comes over HTTP."""

from dataclasses import dataclass

from vipx.errors import EngineError, InputError, ResourceError
from vipx.runtime.server.app.inspection import Inspecting, Recorded, inspect_and_record
from vipx.runtime.server.peers.making import Connected
from vipx.runtime.server.work.faults import EngineDown, WorkError
from vipx.runtime.server.work.task import Task
from vipx.runtime.sources.source import Picture
from vipx.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Delivering:
    """Takes the pictures of one source."""

    inspecting: Inspecting
    connected: Connected

    async def recorded(self, picture: Picture) -> Recorded:
        """Inspect, record and answer, as for a request.

        Raises:
            WorkError: It was not inspected.
            ImageError: The picture cannot be read.
            ResourceError: It could not be stored, and must be.
        """
        to = self.connected
        task = Task(to.recipe, picture.image, to.priority, to.deadline_s, part_id=picture.part_id)
        return await inspect_and_record(self.inspecting, task, source=picture.source)

    async def deliver(self, picture: Picture) -> None:
        """Inspect a picture for which nobody waits.

        Raises:
            ImageError: It cannot be read.
            InputError: The engine failed on it, which is recorded. It is not to be tried again: it could bring
                down one engine after the other.
            ResourceError: The queue is full, it waited too long, or it cannot be stored: it may come again.
            EngineError: No engine is there: it may come again.
        """
        try:
            recorded = await self.recorded(picture)
        except EngineDown as error:
            raise EngineError(str(error)) from error
        except WorkError as error:
            raise ResourceError(str(error)) from error
        if recorded.outcome.verdict is Verdict.ERROR:
            raise InputError(f"the engine failed on it: {recorded.outcome.reason}")
