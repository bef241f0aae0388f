"""The rows of one target partition in memory, with the indexes that make a bundle cost only what it touches and closes."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from pipeline.analyse.contributions import LateKey, LateRow, WindowKey, WindowRow
from pipeline.analyse.params import WindowParams
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import RollupKey, RollupRow, rollup_key
from pipeline.analyse.series import SeriesRow
from pipeline.analyse.watermarks import Head
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound
from pipeline.contracts.partial_sums import merge_partials
from pipeline.contracts.partials import Partial

K = TypeVar("K")


class Timetable(Generic[K]):
    """Keys by the time at which they are due."""

    def __init__(self) -> None:
        self._keys_by_ms: dict[int, set[K]] = {}
        self._ms_by_key: dict[K, int] = {}

    def put(self, key: K, due_ms: int) -> None:
        """Note when a key is due; an earlier note of it is void."""
        if self._ms_by_key.get(key) == due_ms:
            return
        self.discard(key)
        self._ms_by_key[key] = due_ms
        self._keys_by_ms.setdefault(due_ms, set()).add(key)

    def discard(self, key: K) -> None:
        """Forget a key."""
        due_ms = self._ms_by_key.pop(key, None)
        if due_ms is not None:
            keys = self._keys_by_ms[due_ms]
            keys.discard(key)
            if not keys:
                del self._keys_by_ms[due_ms]

    def until(self, time_ms: int | None) -> list[K]:
        """Return the keys that are due by a time."""
        if time_ms is None:
            return []
        return [key for due_ms, keys in self._keys_by_ms.items() if due_ms <= time_ms for key in keys]


class Changes(msgspec.Struct):
    """What one step changes: new rows by key, ``None`` where a row goes.

    ``last`` is what such a row was, by kind; ``reached`` is how often a bound was reached.
    """

    head: Head
    windows: dict[WindowKey, WindowRow | None]
    rollups: dict[RollupKey, RollupRow | None]
    series: dict[str, SeriesRow | None]
    lates: dict[LateKey, LateRow | None]
    profiles: dict[str, Profile]
    last: dict[str, Mapping[Any, WindowRow | RollupRow | SeriesRow | LateRow]]
    reached: dict[Bound, int] = {}


def value_of(key: WindowKey, row: WindowRow, series: SeriesRow | None) -> Partial:
    """Return all that a window holds, with what its service's series add to it."""
    grown = None if series is None else series.value(key[1:])
    return row.value if grown is None else merge_partials([row.value, grown])


def mark_of(key: WindowKey, series: SeriesRow | None) -> int:
    """Return a number that tells whether what its service's series add to a window has changed."""
    return 0 if series is None else series.mark(key[1:])


class WindowState:
    """All rows of one partition. Only :meth:`apply` changes them; rollups add up in place (:meth:`RollupRow.folded`)."""

    def __init__(self, params: WindowParams) -> None:
        self.params = params
        self.head = Head()
        self.windows: dict[WindowKey, WindowRow] = {}
        self.rollups: dict[RollupKey, RollupRow] = {}
        self.series: dict[str, SeriesRow] = {}
        self.lates: dict[LateKey, LateRow] = {}
        self.profiles: dict[str, Profile] = {}
        self.due_windows: Timetable[WindowKey] = Timetable()
        self.due_rollups: Timetable[RollupKey] = Timetable()
        self.due_profiles: Timetable[str] = Timetable()
        self.old_windows: Timetable[WindowKey] = Timetable()
        self.old_rollups: Timetable[RollupKey] = Timetable()
        self.old_series: Timetable[str] = Timetable()
        self.waiting_by_source: defaultdict[str, set[WindowKey]] = defaultdict(set)
        self.lates_by_source: defaultdict[str, set[LateKey]] = defaultdict(set)
        self.windows_by_rollup: defaultdict[RollupKey, set[WindowKey]] = defaultdict(set)
        self.n_rows: Counter[str] = Counter()
        self.threshold_ms: dict[str, float | None] = {}
        """Of each known service, once it was looked up: the configuration is found by patterns."""

    def rows(self, kind: str) -> Mapping[Any, WindowRow | RollupRow | SeriesRow | LateRow | Profile]:
        """Return the rows of a kind by key."""
        rows: dict[str, Mapping[Any, WindowRow | RollupRow | SeriesRow | LateRow | Profile]]
        rows = {
            "window": self.windows,
            "rollup": self.rollups,
            "series": self.series,
            "late": self.lates,
            "profile": self.profiles,
        }
        return rows[kind]

    def delay_ms(self, service: str, start_ms: int) -> int:
        """Return how long a window of a service is waited for, ms."""
        profile = self.profiles.get(service)
        return self.params.delay_ms if profile is None else profile.delay_at(start_ms, self.params.delay_ms)

    def apply(self, changes: Changes) -> None:
        """Take a step's changes over."""
        before, self.head = self.head, changes.head
        for service, profile in changes.profiles.items():
            self.put_profile(service, profile)
        for window_key, window in changes.windows.items():
            self.put_window(window_key, window)
        for key, rollup in changes.rollups.items():
            self.put_rollup(key, rollup)
        for service, series in changes.series.items():
            self.put_series(service, series)
        for late_key, late in changes.lates.items():
            self.put_late(late_key, late)
        for source, chunk in changes.head.chunks.items():
            if before.chunks.get(source) != chunk:
                self._look_again(source)
        self.let_wait()

    def take(self, row: object) -> bool:
        """Put a stored row in, unless the head says that it is gone; return whether it was put in."""
        head, grace_ms = self.head, self.params.grace_ms
        match row:
            case WindowRow(environment=environment, start_ms=start_ms, size_ms=size_ms):
                service = service_key(environment, row.service)
                is_past = head.has_passed(start_ms + size_ms + self.delay_ms(service, start_ms) + grace_ms)
                series = self.series.get(service)
                is_first = series is None or series.is_first((start_ms, size_ms))
                if is_past and is_first and all(head.is_finished(c.source, c.chunk_pair) for c in row.newest):
                    return False
                self.put_window((service, start_ms, size_ms), row)
            case RollupRow(environment=environment, end_ms=end_ms):
                key = (service_key(environment, row.service), row.start_ms)
                is_past = head.has_passed(end_ms + self.delay_ms(key[0], end_ms - 1) + grace_ms)
                if is_past and row.applied <= head.applied and not self.windows_by_rollup.get(key):
                    return False
                self.put_rollup(key, row)
            case SeriesRow(environment=environment, gone_ms=gone_ms):
                if head.has_passed(gone_ms) and not row.parts and row.applied <= head.applied:
                    return False
                self.put_series(service_key(environment, row.service), row)
            case LateRow(source=source, epoch=epoch, chunk=chunk):
                if head.is_finished(source, (epoch, chunk)):
                    return False
                service = service_key(row.environment, row.service)
                self.put_late((service, row.start_ms, row.size_ms, source, epoch, chunk), row)
        return True

    def put_profile(self, service: str, profile: Profile | None) -> None:
        """Set or forget a service's profile; the one touched last stands last."""
        self.profiles.pop(service, None)
        self.due_profiles.discard(service)
        if profile is None:
            self.threshold_ms.pop(service, None)
            return
        self.profiles[service] = profile
        start_ms = profile.next_start_ms
        if start_ms is not None:
            due_ms = start_ms + profile.size_at(start_ms) + profile.delay_at(start_ms, self.params.delay_ms)
            self.due_profiles.put(service, due_ms)

    def put_window(self, key: WindowKey, row: WindowRow | None) -> None:
        """Set or drop a window."""
        service, start_ms, size_ms = key
        rollup = rollup_key(service, start_ms, size_ms)
        if row is None:
            if self.windows.pop(key, None) is not None:
                self._count_row(service, -1)
            self.due_windows.discard(key)
            self.old_windows.discard(key)
            if rollup is not None:
                self.windows_by_rollup[rollup].discard(key)
                if not self.windows_by_rollup[rollup]:
                    del self.windows_by_rollup[rollup]
            return
        if key not in self.windows:
            self._count_row(service, 1)
        self.windows[key] = row
        closes_ms = start_ms + size_ms + self.delay_ms(service, start_ms)
        if row.revision:
            self.due_windows.discard(key)
        else:
            self.due_windows.put(key, closes_ms)
        self.old_windows.put(key, closes_ms + self.params.grace_ms)
        if rollup is not None:
            self.windows_by_rollup[rollup].add(key)

    def put_rollup(self, key: RollupKey, row: RollupRow | None) -> None:
        """Set or drop a rollup."""
        service, _ = key
        if row is None:
            if self.rollups.pop(key, None) is not None:
                self._count_row(service, -1)
            self.due_rollups.discard(key)
            self.old_rollups.discard(key)
            return
        if key not in self.rollups:
            self._count_row(service, 1)
        self.rollups[key] = row
        closes_ms = row.end_ms + self.delay_ms(service, row.end_ms - 1)
        if row.revision:
            self.due_rollups.discard(key)
        else:
            self.due_rollups.put(key, closes_ms)
        self.old_rollups.put(key, closes_ms + self.params.grace_ms)

    def put_series(self, service: str, row: SeriesRow | None) -> None:
        """Set or drop the series of a service."""
        self.old_series.discard(service)
        if row is None:
            if self.series.pop(service, None) is not None:
                self._count_row(service, -1)
            return
        if service not in self.series:
            self._count_row(service, 1)
        self.series[service] = row
        if not row.parts:
            self.old_series.put(service, row.gone_ms)

    def put_late(self, key: LateKey, row: LateRow | None) -> None:
        """Set or drop a late count."""
        if row is None:
            if self.lates.pop(key, None) is not None:
                self._count_row(key[0], -1)
            self.lates_by_source[key[3]].discard(key)
            return
        if key not in self.lates:
            self._count_row(key[0], 1)
        self.lates[key] = row
        self.lates_by_source[key[3]].add(key)

    def _look_again(self, source: str) -> None:
        """Take the windows that waited for a chunk of a source out of the queue."""
        for key in self.waiting_by_source.pop(source, set()):
            if key in self.windows:
                self.put_window(key, self.windows[key])

    def let_wait(self) -> None:
        """Put what is past grace, but holds something of an unfinished chunk, beside the sources that can finish it.

        A window that only waits for an earlier one of its service to go stays where it is looked for.
        """
        for key in self.old_windows.until(self.head.low_ms):
            open_sources = {c.source for c in self.windows[key].newest if not self.head.is_finished(c.source, c.chunk_pair)}
            for source in open_sources:
                self.waiting_by_source[source].add(key)
            if open_sources:
                self.old_windows.discard(key)
        for rollup in self.old_rollups.until(self.head.low_ms):
            self.old_rollups.discard(rollup)  # looked at again when one of its windows goes

    def _count_row(self, service: str, n: int) -> None:
        self.n_rows[service] += n
        if not self.n_rows[service]:
            del self.n_rows[service]
