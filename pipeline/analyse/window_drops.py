"""What goes once its grace is over: the windows whose sum the rollup keeps, rollups without windows, and old series.

A step says what to look at (:class:`Leftover`), and it is done before the next step or checkpoint: most of a thousand windows'
signals can be on their way by then. What goes depends on the bundles alone, not on when it is done.
"""

from dataclasses import dataclass

from pipeline.analyse.contributions import WindowKey, WindowRow
from pipeline.analyse.overlay import Overlay
from pipeline.analyse.rollup import RollupKey, RollupRow, rollup_key
from pipeline.analyse.series import SeriesRow
from pipeline.analyse.window_state import Changes, WindowState, mark_of, value_of


@dataclass(frozen=True, slots=True)
class Leftover:
    """What the step of the bundle at ``offset`` left to look at, by key."""

    offset: int
    windows: set[WindowKey]
    rollups: set[RollupKey]
    series: set[str]


def let_go(state: WindowState, leftover: Leftover, changed: Changes) -> Changes:
    """Return what goes. ``state`` has the step's own changes in it, ``changed``; it stays as it is, but for the sums of rollups."""
    return _Drops(state, leftover, changed).run()


class _Drops:
    def __init__(self, state: WindowState, leftover: Leftover, changed: Changes) -> None:
        self._state, self._head, self._left = state, state.head, leftover
        self._grace_ms = state.params.grace_ms
        offset = leftover.offset
        self._windows: Overlay[WindowKey, WindowRow] = Overlay(state.windows, offset, changed.windows)
        self._rollups: Overlay[RollupKey, RollupRow] = Overlay(state.rollups, offset, changed.rollups)
        self._series: Overlay[str, SeriesRow] = Overlay(state.series, offset, changed.series)

    def run(self) -> Changes:
        """Go over windows first: rollups wait for theirs."""
        touched = set(self._left.rollups)
        for key in sorted(self._left.windows):
            row = self._windows.get(key)
            if row is not None and self._is_gone(key, row):
                self._drop_window(key, row, touched)
        for rollup_at in touched:
            self._drop_rollup(rollup_at)
        for service in self._left.series:
            self._drop_series(service)
        return Changes(
            head=self._head,
            windows=self._windows.stamped(),
            rollups=self._rollups.stamped(),
            series=self._series.stamped(),
            lates={},
            profiles={},
            last={"window": self._windows.dropped(), "rollup": self._rollups.dropped(), "series": self._series.dropped()},
        )

    def _is_gone(self, key: WindowKey, row: WindowRow) -> bool:
        """Tell whether a window is past its grace, and all its contributions are final."""
        service, start_ms, size_ms = key
        past_ms = start_ms + size_ms + self._grace_ms
        if not self._head.has_passed(past_ms) or not self._head.has_passed(past_ms + self._state.delay_ms(service, start_ms)):
            return False
        series = self._series.get(service)
        if series is not None and not series.is_first((start_ms, size_ms)):
            return False
        return all(self._head.is_finished(c.source, c.chunk_pair) for c in row.newest)

    def _drop_window(self, key: WindowKey, row: WindowRow, touched: set[RollupKey]) -> None:
        """Drop a window; the rollup keeps its sum."""
        service, *window = key
        start_ms, size_ms = window
        rollup_at = rollup_key(*key)
        rollup = None if rollup_at is None else self._rollups.get(rollup_at)
        if rollup_at is not None and rollup is not None:
            touched.add(rollup_at)
            if not self._rollups.is_ahead(rollup_at):
                series = self._series.get(service)
                self._rollups[rollup_at] = rollup.folded(row, value_of(key, row, series), mark_of(key, series))
        self._windows.drop(key)
        series = self._series.get(service)
        if series is not None and series.holds((start_ms, size_ms)) and not self._series.is_ahead(service):
            self._series[service] = series.without((start_ms, size_ms))

    def _drop_rollup(self, key: RollupKey) -> None:
        row = self._rollups.get(key)
        if row is None or not self._head.has_passed(row.end_ms + self._grace_ms):
            return
        gone_ms = row.end_ms + self._state.delay_ms(key[0], row.end_ms - 1) + self._grace_ms
        windows = self._state.windows_by_rollup.get(key, ())
        if self._head.has_passed(gone_ms) and all(self._windows.get(window) is None for window in windows):
            self._rollups.drop(key)

    def _drop_series(self, service: str) -> None:
        """Drop a service's series when its last points are too old to tell what a further one adds."""
        row = self._series.get(service)
        if row is not None and not row.parts and self._head.has_passed(row.gone_ms) and not self._series.is_ahead(service):
            self._series.drop(service)
