"""Who goes first where several stages share one event loop: what closes windows before what judges them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

PATIENCE_MS = 500
"""So long a stage lets another one go first, and what can wait waits: more than a thousand services' windows take to close."""
BURST_MS = 250
"""So long a stage that has waited for that takes its share: under a load that never ends, a third of the time."""
LOOK_S = 0.002
CALM_MS = 50
"""So long the first stage has had nothing to do when there is calm: bundles of one flush come with gaps."""
CALM_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Turns:
    """One stage's part in who goes first.

    Attributes
    ----------
    at_work
        Entered while the stage has a batch in work.
    give_way
        Awaited between two records of a batch: another stage may go first, and the event loop do something else.
    stand_back
        Awaited before what can wait, of the first stage too: until there is calm, but not for ever.
    is_calm
        Tells whether what goes first has had nothing to do for a while: a checkpoint waits for that.

    """

    at_work: AbstractContextManager[None]
    give_way: Callable[[], Awaitable[None]]
    stand_back: Callable[[], Awaitable[None]]
    is_calm: Callable[[], bool]


async def _next_turn() -> None:
    await asyncio.sleep(0)


EQUAL = Turns(nullcontext(), _next_turn, _next_turn, lambda: True)
"""Of a stage that goes neither before nor after any other one."""


class Precedence:
    """One stage's right of way over the others of its worker.

    Parameters
    ----------
    is_waiting
        Tells whether there is something for the first stage to do that it has not begun.
    monotonic_ms
        A clock.

    """

    def __init__(self, is_waiting: Callable[[], bool], monotonic_ms: Callable[[], int]) -> None:
        self._is_waiting = is_waiting
        self._monotonic_ms = monotonic_ms
        self._n_at_work = 0
        self._burst_ends_ms = -1
        self._worked_ms = monotonic_ms() - CALM_MS

    def first(self) -> Turns:
        """Return the turns of the stage that goes first."""
        return Turns(self, EQUAL.give_way, self.stand_back, self.is_calm)

    def others(self) -> Turns:
        """Return the turns of every other stage."""
        return Turns(EQUAL.at_work, self.give_way, self.stand_back, self.is_calm)

    def __enter__(self) -> None:
        self._n_at_work += 1

    def __exit__(self, *_: object) -> None:
        self._n_at_work -= 1
        self._worked_ms = self._monotonic_ms()

    async def give_way(self) -> None:
        """Let the first stage go first, and the event loop do something else in any case; not for ever."""
        await asyncio.sleep(0)
        now_ms = self._monotonic_ms()
        if now_ms < self._burst_ends_ms or not self.is_pressing():
            return
        while self.is_pressing():
            if self._monotonic_ms() - now_ms >= PATIENCE_MS:
                self._burst_ends_ms = self._monotonic_ms() + BURST_MS
                return
            await asyncio.sleep(LOOK_S)

    async def stand_back(self) -> None:
        """Wait until there is calm, but not for ever."""
        until_ms = self._monotonic_ms() + PATIENCE_MS
        while not self.is_calm():
            if self._monotonic_ms() >= until_ms:
                return
            await asyncio.sleep(CALM_LOOK_S)

    def is_pressing(self) -> bool:
        """Tell whether the first stage has something to do."""
        return self._n_at_work > 0 or self._is_waiting()

    def is_calm(self) -> bool:
        """Tell whether the first stage has, and had for a while, nothing to do."""
        return not self.is_pressing() and self._monotonic_ms() - self._worked_ms >= CALM_MS
