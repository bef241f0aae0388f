"""The window stage goes first, and nobody is starved."""

import asyncio

from pipeline.adapters.precedence import BURST_MS, CALM_LOOK_S, CALM_MS, EQUAL, PATIENCE_MS, Precedence


class Scene:
    """A right of way with a clock and a queue to set."""

    def __init__(self) -> None:
        self.clock_ms, self.waits = 0, False
        self.way = Precedence(lambda: self.waits, lambda: self.clock_ms)


async def is_let_by(scene: Scene) -> bool:
    task = asyncio.create_task(scene.way.give_way())
    await asyncio.sleep(0.02)
    if task.done():
        return True
    task.cancel()
    return False


async def test_nobody_waits_while_the_first_stage_has_nothing_to_do() -> None:
    assert await is_let_by(Scene())


async def test_the_others_wait_while_it_works_or_something_waits_for_it() -> None:
    scene = Scene()
    with scene.way:
        assert not await is_let_by(scene)
    assert await is_let_by(scene)

    scene.waits = True
    assert not await is_let_by(scene)


async def test_who_has_waited_long_enough_takes_a_share_and_then_waits_again() -> None:
    scene = Scene()
    scene.waits = True
    task = asyncio.create_task(scene.way.give_way())
    await asyncio.sleep(0.01)
    scene.clock_ms = PATIENCE_MS
    await asyncio.wait_for(task, 1)

    assert await is_let_by(scene)
    scene.clock_ms += BURST_MS
    assert not await is_let_by(scene)


async def test_what_can_wait_waits_for_calm_but_not_for_ever() -> None:
    scene = Scene()
    first, others = scene.way.first(), scene.way.others()
    assert first.is_calm()
    assert others.is_calm()

    with first.at_work:
        scene.clock_ms = 10 * CALM_MS
        assert not others.is_calm()
    scene.clock_ms += CALM_MS - 1
    assert not first.is_calm()
    waits = asyncio.create_task(first.stand_back())
    await asyncio.sleep(3 * CALM_LOOK_S)
    assert not waits.done()

    scene.clock_ms += 1
    await asyncio.wait_for(waits, 1)
    assert first.is_calm()

    scene.waits = True
    waits = asyncio.create_task(others.stand_back())
    await asyncio.sleep(3 * CALM_LOOK_S)
    assert not waits.done()
    scene.clock_ms += PATIENCE_MS
    await asyncio.wait_for(waits, 1)


async def test_the_first_stage_goes_before_the_others_and_gives_way_to_nobody() -> None:
    scene = Scene()
    first, others = scene.way.first(), scene.way.others()
    with first.at_work, others.at_work:
        await asyncio.wait_for(first.give_way(), 1)
        await asyncio.wait_for(EQUAL.give_way(), 1)
        waits = asyncio.create_task(others.give_way())
        await asyncio.sleep(0.02)
        assert not waits.done()
    await asyncio.wait_for(waits, 1)

    with others.at_work:
        await asyncio.wait_for(others.give_way(), 1)
