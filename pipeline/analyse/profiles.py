"""What is known of one service: its window sizes and delays, which empty windows are due, and when its silence ends."""

from typing import Self

import msgspec

from pipeline.contracts.partials import Partial
from pipeline.contracts.window_times import BASE_SIZE_MS, window_start

RETIREMENT = "retirement"
"""Type of the change event that ends a service."""


class Profile(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The profile row of a service. Everything in it follows from bundles and the head alone, never from window rows.

    Attributes
    ----------
    applied
        Offset of the last bundle that changed it. Of its service nothing is left to do up to there: the profile is
        written after the service's windows.
    since
        Offset of the bundle with which the service became known.
    next_start_ms
        Start of the next window to publish; ``None`` while the service is retired, or was only late so far.
    touched_end_ms
        End of the last window that anything was counted for, in time or late.
    last_end_ms
        End of the newest window with readings that were in time.
    sizes
        (from, size) in ms, ascending: windows that start at or after ``from`` have this size.
    delays
        (from, delay) in ms, likewise, where it is longer than usual.
    late
        Readings that came too late, in chunks that are finished.
    n_revised, revised_start_ms
        How many windows in a row got more after their first publication; the last of them.
    retire_at_ms
        End of the window that holds a retirement.
    is_forgotten
        Left in place of a profile that went, until the head vouches for it.

    """

    environment: str
    service: str
    version: str = ""
    applied: int = -1
    since: int = -1
    next_start_ms: int | None = None
    touched_end_ms: int | None = None
    last_end_ms: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    delays: tuple[tuple[int, int], ...] = ()
    late: int = 0
    n_revised: int = 0
    revised_start_ms: int | None = None
    retire_at_ms: int | None = None
    is_retired: bool = False
    is_forgotten: bool = False

    def size_at(self, start_ms: int) -> int:
        """Return the size of the windows that start at or after ``start_ms``."""
        return _at(self.sizes, start_ms, BASE_SIZE_MS)

    def delay_at(self, start_ms: int, usual_ms: int) -> int:
        """Return how long a window that starts at ``start_ms`` is waited for after its end."""
        return _at(self.delays, start_ms, usual_ms)

    def window_of(self, start_ms: int, size_ms: int) -> tuple[int, int]:
        """Return (start, size) of the window that takes a partial; the same for ever, whatever comes later."""
        current = self.size_at(start_ms)
        return (window_start(start_ms, current), current) if current > size_ms else (start_ms, size_ms)

    def widened(self, partial: Partial) -> Self:
        """Return the profile with windows as wide as the partial, from the end of all that was ever touched or published."""
        size_ms = partial.size_ms
        known = [end for end in (self.touched_end_ms, self.next_start_ms) if end is not None]
        from_ms = -(-max(known) // size_ms) * size_ms if known else partial.start_ms
        return msgspec.structs.replace(self, sizes=(*self.sizes, (from_ms, size_ms)))

    def touched(self, start_ms: int, size_ms: int, partial: Partial, *, low_ms: int | None, delay_ms: int) -> Self:
        """Return the profile after a partial that its window took in time."""
        end_ms = start_ms + size_ms
        next_start_ms = self.next_start_ms
        if next_start_ms is None:
            next_start_ms = self._first_open(start_ms, low_ms, delay_ms)
        elif self.size_at(start_ms) == size_ms and self._first_open(start_ms, low_ms, delay_ms) == start_ms:
            next_start_ms = min(next_start_ms, start_ms)
        retire_at_ms = self.retire_at_ms
        if any(change.type == RETIREMENT for change in partial.changes):
            retire_at_ms = end_ms if retire_at_ms is None else max(retire_at_ms, end_ms)
        if self.is_retired and not self._speaks_again(end_ms):
            next_start_ms = None
        return msgspec.structs.replace(
            self,
            version=_top(partial.versions) or self.version,
            next_start_ms=next_start_ms,
            touched_end_ms=end_ms if self.touched_end_ms is None else max(self.touched_end_ms, end_ms),
            last_end_ms=end_ms if self.last_end_ms is None else max(self.last_end_ms, end_ms),
            retire_at_ms=retire_at_ms,
            is_retired=self.is_retired and not self._speaks_again(end_ms),
        )

    def touched_late(self, start_ms: int, size_ms: int) -> Self:
        """Return the profile after a partial whose window was gone."""
        end_ms = start_ms + size_ms
        if self.touched_end_ms is not None and self.touched_end_ms >= end_ms:
            return self
        return msgspec.structs.replace(self, touched_end_ms=end_ms)

    def is_over_at(self, start_ms: int, silence_max_ms: int) -> bool:
        """Return whether the service is retired by the time a window starts: as announced, or silent for too long."""
        last = self.last_end_ms
        if last is None:
            return True
        announced = self.retire_at_ms is not None and last <= self.retire_at_ms <= start_ms
        return announced or start_ms >= last + silence_max_ms

    def revised(self, start_ms: int, *, from_ms: int, delay_ms: int, usual_ms: int, after: int) -> Self:
        """Return the profile after data for a window that was published before.

        Parameters
        ----------
        start_ms
            The window.
        from_ms
            Where a longer delay would begin: nothing there was touched or published yet.
        delay_ms, usual_ms
            The delay that would have sufficed, bounded; the one of every service.
        after
            Windows in a row that must have been revised.

        """
        if self.revised_start_ms is not None and start_ms <= self.revised_start_ms:
            return self
        is_in_a_row = self.revised_start_ms is not None and start_ms - self.revised_start_ms <= 2 * self.size_at(start_ms)
        n_revised = self.n_revised + 1 if is_in_a_row else 1
        known = msgspec.structs.replace(self, n_revised=n_revised, revised_start_ms=start_ms)
        if n_revised < after or delay_ms <= self.delay_at(from_ms, usual_ms):
            return known
        return msgspec.structs.replace(known, n_revised=0, delays=(*self.delays, (from_ms, delay_ms)))

    def _first_open(self, start_ms: int, low_ms: int | None, delay_ms: int) -> int:
        """Return the start of the first window from ``start_ms`` on that is not closed yet."""
        if low_ms is None:
            return start_ms
        while start_ms + self.size_at(start_ms) + self.delay_at(start_ms, delay_ms) <= low_ms:
            start_ms += self.size_at(start_ms)
        return start_ms

    def _speaks_again(self, end_ms: int) -> bool:
        return self.last_end_ms is None or end_ms > max(self.last_end_ms, self.retire_at_ms or 0)


def _at(steps: tuple[tuple[int, int], ...], start_ms: int, usual: int) -> int:
    for from_ms, value in reversed(steps):
        if start_ms >= from_ms:
            return value
    return usual


def _top(counts: dict[str, int]) -> str:
    return min(counts, key=lambda name: (-counts[name], name), default="")
