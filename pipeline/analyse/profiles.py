"""What is known of one service: its window sizes and delays, which empty windows are due, and when its silence ends."""

from collections.abc import Iterable
from typing import Self

import msgspec

from pipeline.contracts.partials import Partial
from pipeline.contracts.trace_samples import TraceSample
from pipeline.contracts.window_times import BASE_SIZE_MS, LONGEST_INTERVAL_MS, size_for_interval, window_start

RETIREMENT = "retirement"
"""Type of the change event that ends a service."""
PACED_ROLES = ("latency", "requests", "bucket")
N_GAPS = 3
"""A point that is missing now and then does not make the pace of a series look slower."""


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
    paced_series, paced_ms, gaps_ms
        Of one cumulative series of requests, by which the sender's pace is told: its name, its last time, and the last
        times between its points.
    edges
        What the service calls, by name: end of the last window in which it did, epoch ms.
    samples
        Of traces, by the start of five minutes, epoch ms: only of the profile that stands for traces.
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
    paced_series: str = ""
    paced_ms: int = 0
    gaps_ms: tuple[int, ...] = ()
    edges: dict[str, int] = {}
    samples: dict[int, TraceSample] = {}
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

    def paced(self, partial: Partial) -> Self:
        """Return the profile after points of cumulative series: how far apart they are says which windows they can fill.

        One series tells it, because many series at different moments would look like a quick one. Another one takes its
        place when it has not been heard of for longer than any interval.
        """
        if not partial.points:
            return self
        name = self.paced_series
        if name not in partial.points:
            timed = [
                key for key, series in partial.points.items() if series.meaning.role in PACED_ROLES and not series.meaning.is_delta
            ]
            if not timed or (name and partial.start_ms - self.paced_ms <= LONGEST_INTERVAL_MS):
                return self
            name = min(timed)
        gaps, last_ms = (list(self.gaps_ms), self.paced_ms) if name == self.paced_series else ([], 0)
        for time_ms in sorted(point.time_ms for point in partial.points[name].points):
            if time_ms > last_ms:
                if last_ms:
                    gaps.append(time_ms - last_ms)
                last_ms = time_ms
        return msgspec.structs.replace(self, paced_series=name, paced_ms=last_ms, gaps_ms=tuple(gaps[-N_GAPS:]))

    @property
    def paced_size_ms(self) -> int:
        """The window size that fits the pace of cumulative series; the base size while it is not known."""
        gap_ms = min(self.gaps_ms, default=0)
        return size_for_interval(gap_ms) if len(self.gaps_ms) == N_GAPS and gap_ms <= LONGEST_INTERVAL_MS else BASE_SIZE_MS

    def widened(self, start_ms: int, size_ms: int) -> Self:
        """Return the profile with wider windows, from the end of all that was ever touched or published, else ``start_ms``."""
        known = [end for end in (self.touched_end_ms, self.next_start_ms) if end is not None]
        from_ms = -(-max(known) // size_ms) * size_ms if known else window_start(start_ms, size_ms)
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

    def calling(self, end_ms: int, callees: Iterable[str], max_edges: int) -> tuple[Self, list[str]]:
        """Return the profile after calls in a window, and what had to go for them: called longest ago."""
        edges = dict(self.edges)
        for callee in callees:
            edges[callee] = max(end_ms, edges.get(callee, end_ms))
        by_age = sorted(edges, key=lambda callee: (edges[callee], callee))
        gone = by_age[: max(0, len(edges) - max_edges)]
        for callee in gone:
            del edges[callee]
        return msgspec.structs.replace(self, edges=edges), [callee for callee in gone if callee in self.edges]

    def without_edges(self, before_ms: int) -> tuple[Self, list[str]]:
        """Return the profile without what was last called in a window that ended by ``before_ms``, and what that is."""
        gone = sorted(callee for callee, last_ms in self.edges.items() if last_ms <= before_ms)
        if not gone:
            return self, gone
        kept = {callee: last_ms for callee, last_ms in self.edges.items() if last_ms > before_ms}
        return msgspec.structs.replace(self, edges=kept), gone

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
