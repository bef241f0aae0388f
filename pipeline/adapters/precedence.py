"""Who goes first where several stages share one event loop: what closes windows before what judges them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

PATIENCE_MS = 500
"""So long a stage lets another one go first, longer than a thousand services' windows take to close ..."""
BURST_MS = 250
"""... before it takes its share: under a load that never ends, a third of the time."""
LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Turns:
    """One stage's part in who goes first.

    Attributes
    ----------
    at_work
        Entered while the stage has a batch in work.
    give_way
        Awaited between two records of a batch: another stage may go first, and the event loop do something else.
    is_pressing
        Tells whether what goes first has something to do, so that what can wait, a checkpoint, should.

    """

    at_work: AbstractContextManager[None]
    give_way: Callable[[], Awaitable[None]]
    is_pressing: Callable[[], bool]


async def _next_turn() -> None:
    await asyncio.sleep(0)


EQUAL = Turns(nullcontext(), _next_turn, lambda: False)
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

    def first(self) -> Turns:
        """Return the turns of the stage that goes first."""
        return Turns(self, EQUAL.give_way, self.is_pressing)

    def others(self) -> Turns:
        """Return the turns of every other stage."""
        return Turns(EQUAL.at_work, self.give_way, self.is_pressing)

    def __enter__(self) -> None:
        self._n_at_work += 1

    def __exit__(self, *_: object) -> None:
        self._n_at_work -= 1

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

    def is_pressing(self) -> bool:
        """Tell whether the first stage has something to do."""
        return self._n_at_work > 0 or self._is_waiting()
