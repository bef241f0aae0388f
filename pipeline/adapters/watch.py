"""What becomes of a worker that is not live: it says so once, and ends when it stays so."""

from collections.abc import Callable

from pipeline.adapters.health import Health
from pipeline.errors import PipelineError


class WorkerStuck(PipelineError):
    """A worker was not live for too long; started again it goes on from its last checkpoint."""


class LivenessWatch:
    """Follows a worker's health.

    Parameters
    ----------
    end_stuck_ms
        Not live for so long, it is stuck, ms; 0: never.
    clock_ms
        A clock that never goes back, ms.

    """

    def __init__(self, end_stuck_ms: int, clock_ms: Callable[[], int]) -> None:
        self._end_stuck_ms = end_stuck_ms
        self._clock_ms = clock_ms
        self._since_ms: int | None = None

    def step(self, health: Health) -> bool:
        """Take the health of this moment; tell whether being live has changed.

        Raises
        ------
        WorkerStuck
            If the worker has not been live for ``end_stuck_ms``.

        """
        if health.is_live:
            was_live, self._since_ms = self._since_ms is None, None
            return not was_live
        now_ms = self._clock_ms()
        if self._since_ms is None:
            self._since_ms = now_ms
            return True
        if self._end_stuck_ms and now_ms - self._since_ms >= self._end_stuck_ms:
            raise WorkerStuck(f"not live for {(now_ms - self._since_ms) // 1000} s: {'; '.join(health.reasons)}")
        return False
