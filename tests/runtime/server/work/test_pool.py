"""A pool answers by recipe, keeps its bounds, and frees what nobody waits for."""

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

import numpy as np
import pytest
from PIL import Image

from tests.runtime.server.work.fake import image, score_of
from tests.runtime.server.work.running import PART, Background, fake_settings, with_pool
from vipx.errors import ImageError, UsageError
from vipx.runtime.server.work.faults import EngineDown, QueueFull, TooLate, UnknownRecipe
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.settings import Bounds
from vipx.runtime.server.work.task import Outcome, Task
from vipx.verdict import Verdict


@pytest.fixture(scope="module")
def running() -> Iterator[Background]:
    background = Background(fake_settings(recipes=(PART, LoadedRecipe("open"))))
    yield background
    background.close()


@pytest.fixture(scope="module")
def slow() -> Iterator[Background]:
    background = Background(fake_settings("open_slow"))
    yield background
    background.close()


@pytest.mark.parametrize(
    ("grey", "verdict"), [(100, Verdict.OK), (140, Verdict.REVIEW), (200, Verdict.NG)]
)
def test_thresholds_decide(running: Background, grey: int, verdict: Verdict) -> None:
    outcome = running.run(running.pool.inspect(Task("part", image(grey))))
    assert (outcome.verdict, outcome.score) == (verdict, score_of(image(grey)))
    assert (outcome.threshold, outcome.review) == (0.6, 0.5)
    assert outcome.identity == running.pool.identity
    assert "onnxruntime" in outcome.engine


def test_without_thresholds_every_verdict_is_review(running: Background) -> None:
    outcome = running.run(running.pool.inspect(Task("open", image(0))))
    assert outcome.verdict is Verdict.REVIEW


def test_a_file_is_decoded_by_the_child_to_the_same_score_as_pixels(running: Background) -> None:
    file = io.BytesIO()
    Image.fromarray(image(77)).save(file, "PNG")
    outcome = running.run(running.pool.inspect(Task("part", file.getvalue())))
    assert outcome.score == score_of(image(77))


def test_the_map_comes_only_if_it_is_asked_for(running: Background) -> None:
    without = running.run(running.pool.inspect(Task("part", image(90))))
    outcome = running.run(running.pool.inspect(Task("part", image(90), maps="all")))
    assert without.anomaly_map is None
    assert outcome.anomaly_map is not None
    np.testing.assert_array_equal(outcome.anomaly_map, np.full((160, 160), np.float32(90 / 255)))


def test_a_map_for_all_but_ok_does_not_come_with_ok(running: Background) -> None:
    task = Task("part", image(90), maps="not-ok")
    good = running.run(running.pool.inspect(task))
    bad = running.run(running.pool.inspect(replace(task, image=image(230))))
    assert (good.verdict, good.anomaly_map) == (Verdict.OK, None)
    assert bad.verdict is Verdict.NG
    assert bad.anomaly_map is not None


def test_sizes_and_regions_are_of_the_original_image(running: Background) -> None:
    large = np.full((320, 480, 3), 200, np.uint8)
    large[:6, :9] = image()[0, 0]
    outcome = running.run(running.pool.inspect(Task("part", large)))
    assert outcome.size == (320, 480)
    assert [(r.x, r.y, r.width, r.height) for r in outcome.regions] == [(0, 0, 480, 320)]


def test_pixels_need_not_lie_together_in_memory(running: Background) -> None:
    strided = np.concatenate([image(90), image(10)], axis=1)[:, :160]
    assert not strided.flags.c_contiguous
    outcome = running.run(running.pool.inspect(Task("part", strided)))
    assert outcome.score == score_of(image(90))


@pytest.mark.parametrize("broken", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_an_image_error(running: Background, broken: bytes) -> None:
    with pytest.raises(ImageError):
        running.run(running.pool.inspect(Task("part", broken)))


def test_an_image_beyond_the_bound_is_refused_before_it_is_copied(running: Background) -> None:
    with pytest.raises(ImageError, match="limit"):
        running.run(running.pool.inspect(Task("part", bytes(64 * 2**20 + 1))))


def test_an_unknown_recipe_is_named(running: Background) -> None:
    with pytest.raises(UnknownRecipe, match=r"'other'.*part, open"):
        running.run(running.pool.inspect(Task("other", image())))


def test_recipes_are_listed_with_size_thresholds_and_version(running: Background) -> None:
    part, opened = running.pool.recipes
    assert (part.name, part.size, part.thresholds.score_ng) == ("part", (160, 160), 0.6)
    assert (opened.name, opened.thresholds.score_ng) == ("open", None)
    assert part.version != opened.version


def test_a_replaced_recipe_judges_what_comes_after(running: Background) -> None:
    pool = running.pool
    running.run(pool.replace_recipe("part", LoadedRecipe("part", threshold=0.3)))
    outcome = running.run(pool.inspect(Task("part", image(100))))
    assert (outcome.verdict, outcome.threshold) == (Verdict.NG, 0.3)
    running.run(pool.replace_recipe("part", PART))
    assert running.run(pool.inspect(Task("part", image(100)))).verdict is Verdict.OK
    with pytest.raises(UsageError, match="expected the name"):
        running.run(pool.replace_recipe("part", LoadedRecipe("open")))


def test_200_clients_never_pass_the_bound_and_are_all_answered_or_refused(slow: Background) -> None:
    async def ask(pool: Pool, number: int) -> object:
        try:
            return await pool.inspect(Task("part", image(number % 100), "page", deadline_s=5.0))
        except QueueFull as error:
            return error

    async def test(pool: Pool) -> tuple[list[object], int]:
        asking = [asyncio.create_task(ask(pool, number)) for number in range(200)]
        most = 0
        while not all(task.done() for task in asking):
            most = max(most, pool.state.queued)
            await asyncio.sleep(0.001)
        return [task.result() for task in asking], most

    answers, most = slow.run(test(slow.pool))
    outcomes = [one for one in answers if isinstance(one, Outcome)]
    assert 0 < most <= 16
    assert len(outcomes) == 16 + 1
    assert all(one.verdict is Verdict.OK for one in outcomes)
    assert all(isinstance(one, QueueFull | Outcome) for one in answers)


def test_the_line_goes_before_the_page_and_takes_its_place_in_a_full_queue(
    slow: Background,
) -> None:
    async def test(pool: Pool) -> tuple[list[str], list[object]]:
        order: list[str] = []

        async def ask(name: str, priority: str) -> object:
            try:
                task = Task("part", image(), "line" if priority == "line" else "page", 5.0)
                outcome = await pool.inspect(task)
            except QueueFull as error:
                return error
            order.append(name)
            return outcome

        pages = [asyncio.create_task(ask(f"page {n}", "page")) for n in range(17)]
        await asyncio.sleep(0.02)
        line = asyncio.create_task(ask("line", "line"))
        return order, await asyncio.gather(*pages, line)

    order, answers = slow.run(test(slow.pool))
    assert order.index("line") <= 1
    assert isinstance(answers[-1], Outcome)


def test_who_waits_longer_than_allowed_is_told_so(slow: Background) -> None:
    async def test(pool: Pool) -> float:
        first = asyncio.create_task(pool.inspect(Task("part", image())))
        late = [
            asyncio.create_task(pool.inspect(Task("part", image(), deadline_s=0.02)))
            for _ in range(3)
        ]
        start = monotonic()
        done = await asyncio.gather(*late, return_exceptions=True)
        took = monotonic() - start
        assert [type(one) for one in done] == [TooLate] * 3
        assert (await first).verdict is Verdict.OK
        assert (await pool.inspect(Task("part", image()))).verdict is Verdict.OK
        return took

    assert slow.run(test(slow.pool)) < 0.5


def test_a_cancelled_request_frees_its_place(slow: Background) -> None:
    async def test(pool: Pool) -> None:
        for _ in range(5):
            tasks = [
                asyncio.create_task(pool.inspect(Task("part", image(), deadline_s=9.0)))
                for _ in range(17)
            ]
            await asyncio.sleep(0.01)
            assert pool.state.queued > 0
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert pool.state.queued == 0
        assert (await pool.inspect(Task("part", image()))).verdict is Verdict.OK

    slow.run(test(slow.pool))


def test_batches_give_each_image_its_own_answer() -> None:
    async def test(pool: Pool) -> list[Outcome]:
        tasks = [Task("part", image(grey), deadline_s=5.0) for grey in range(1, 15)]
        return await asyncio.gather(*map(pool.inspect, tasks))

    settings = fake_settings("open_slow", bounds=Bounds(batch=4, batch_delay_s=0.02))
    start = monotonic()
    outcomes = with_pool(settings, test)
    assert [one.score for one in outcomes] == [score_of(image(grey)) for grey in range(1, 15)]
    assert monotonic() - start < 10


def test_closing_answers_what_was_taken_and_refuses_the_rest() -> None:
    async def test() -> None:
        pool = Pool(fake_settings("open_slow"))
        await pool.start()
        taken = [
            asyncio.create_task(pool.inspect(Task("part", image(), deadline_s=5.0)))
            for _ in range(4)
        ]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        assert not pool.state.ready
        with pytest.raises(EngineDown, match="closing"):
            await pool.inspect(Task("part", image()))
        assert [(await one).verdict for one in taken] == [Verdict.OK] * 4
        await closing

    asyncio.run(test())


def test_two_recipes_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two are called"):
        replace(fake_settings(), recipes=(PART, PART))
