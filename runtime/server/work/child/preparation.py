"""From a slot to an image at the model's size, beside the engine's thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import InputError
from vipx.images import decode_image
from vipx.manifest import InputRecord
from vipx.runtime.inspector import prepared
from vipx.runtime.server.work.channel.messages import Dropped, Unreadable, Work
from vipx.runtime.server.work.channel.slots import Slots
from vipx.runtime.server.work.child.desk import Desk, Job

_AT_ONCE = 2**20  # pixels that are resized sooner than another thread is woken and told
_DECODERS = 2  # a picture that decodes slowly must not hold up the next one


class Preparation:
    """Decodes and resizes; pixels have a thread of their own, so that no file can hold up a camera.

    Args:
        slots: Where the images lie.
        desk: Where they go.
        taken: The input that the encoder takes.
        pixels: The largest picture that is decoded.
        refuse: Told of images that cannot be read, and of those that nobody waits for any more.
    """

    def __init__(
        self,
        slots: Slots,
        desk: Desk,
        taken: InputRecord,
        pixels: int,
        refuse: Callable[[Dropped | Unreadable], None],
    ) -> None:
        self._slots, self._desk, self._taken = slots, desk, taken
        self._pixels, self._refuse = pixels, refuse
        self._decoders = ThreadPoolExecutor(_DECODERS, "decode")
        self._resizer = ThreadPoolExecutor(1, "resize")
        self._since: dict[int, float] = {}

    def begin(self, work: Work) -> None:
        """Prepare an image; small pixels at once, everything else without waiting for it."""
        self._desk.expect(work.number)
        if not work.height:
            self._decoders.submit(self._prepare, work)
        elif work.height * work.width <= _AT_ONCE:
            self._prepare(work)
        else:
            self._resizer.submit(self._prepare, work)

    def oldest_s(self) -> float:
        """Give the seconds since the oldest image that is being prepared was begun; 0 if none is."""
        since = list(self._since.values())
        return perf_counter() - min(since) if since else 0.0

    def _prepare(self, work: Work) -> None:
        start = perf_counter()
        self._since[work.number] = start
        try:
            self._prepare_since(work, start)
        finally:
            del self._since[work.number]

    def _prepare_since(self, work: Work, start: float) -> None:
        try:
            pixels = self._read(work)
            image = prepared(pixels, self._taken)
        except InputError as error:
            self._give_up(work, str(error))
        except MemoryError:
            self._give_up(work, "not enough memory for this picture; use a smaller one")
        else:
            spent = round(1e6 * (perf_counter() - start))
            job = Job(work, image, (pixels.shape[0], pixels.shape[1]), spent)
            if not self._desk.put(job):
                self._refuse(Dropped(work.number))

    def _give_up(self, work: Work, reason: str) -> None:
        self._desk.forget(work.number)
        self._refuse(Unreadable(work.number, reason))

    def _read(self, work: Work) -> UInt8[ndarray, "height width 3"]:
        if work.height:
            return self._slots.pixels_of(work.slot, work.height, work.width)
        data = self._slots.bytes_of(work.slot, work.length)
        return decode_image(data, name="the picture", max_pixels=self._pixels)
