"""A partition's state as one bundle sees it: through the changes that the bundle has made so far."""

from collections import Counter

from pipeline.analyse.contributions import LateKey, LateRow, WindowKey, WindowRow
from pipeline.analyse.overlay import Overlay
from pipeline.analyse.params import WindowParams
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import RollupKey, RollupRow, rollup_key
from pipeline.analyse.series import SeriesRow
from pipeline.analyse.watermarks import advanced
from pipeline.analyse.window_outputs import TOPIC, EmptyWindows, FilledWindow, Publisher, Rollup
from pipeline.analyse.window_state import WindowState, mark_of, value_of
from pipeline.contracts.codec import encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.limits import Bound
from pipeline.contracts.partials import Bundle, Partial
from pipeline.contracts.records import OutRecord
from pipeline.contracts.signals import SignalsRecord


class View:
    """One bundle under way: its changes, and what is to be published of them.

    A row that was written before a crash with this bundle in it (``applied >= offset``) is *ahead*: it is not changed,
    and says nothing. A profile that is ahead means that nothing of its service is left to do.

    Attributes
    ----------
    before, after
        The head without and with the bundle.
    windows, rollups, series, lates, profiles
        Rows with the changes so far.
    touched_windows, touched_rollups
        Those whose value may have changed, though their row has not.
    reached
        How often a bound was reached.
    outputs, due_rollups
        What is to be published, in order; the rollups after all else.

    """

    def __init__(
        self,
        *,
        params: WindowParams,
        directory: Directory,
        partition: int,
        state: WindowState,
        bundle: Bundle,
        offset: int,
        record_ms: int,
    ) -> None:
        self.params, self.directory, self.partition = params, directory, partition
        self.state, self.bundle, self.offset = state, bundle, offset
        self.before = state.head
        self.after = advanced(
            state.head,
            bundle,
            offset=offset,
            record_ms=record_ms,
            grace_ms=params.grace_ms,
            max_hold_ms=params.max_hold_ms,
        )
        self.windows: Overlay[WindowKey, WindowRow] = Overlay(state.windows, offset)
        self.rollups: Overlay[RollupKey, RollupRow] = Overlay(state.rollups, offset)
        self.series: Overlay[str, SeriesRow] = Overlay(state.series, offset)
        self.lates: Overlay[LateKey, LateRow] = Overlay(state.lates, offset)
        self.profiles: dict[str, Profile] = {}
        self.touched_rollups: set[RollupKey] = set()
        self.touched_windows: set[WindowKey] = set()
        self.reached: Counter[Bound] = Counter()
        self.outputs: list[OutRecord | FilledWindow | EmptyWindows] = []
        self.due_rollups: list[Rollup] = []
        self._changed_by_rollup: dict[RollupKey, list[WindowKey]] = {}
        self._n_grouped = 0

    def profile(self, service: str) -> Profile | None:
        """Return what is known of a service."""
        profile = self.profiles.get(service) or self.state.profiles.get(service)
        return None if profile is None or profile.is_forgotten else profile

    def is_done(self, service: str) -> bool:
        """Tell whether nothing of a service is left to do."""
        profile = self.state.profiles.get(service)
        return profile is not None and profile.applied >= self.offset

    def delay_ms(self, service: str, start_ms: int) -> int:
        """Return how long a window of a service is waited for, ms."""
        profile = self.profile(service)
        return self.params.delay_ms if profile is None else profile.delay_at(start_ms, self.params.delay_ms)

    def value(self, key: WindowKey, row: WindowRow) -> Partial:
        """Return all that a window holds."""
        return value_of(key, row, self.series.get(key[0]))

    def mark(self, key: WindowKey) -> int:
        """Return a number that tells whether what its service's series add to a window has changed."""
        return mark_of(key, self.series.get(key[0]))

    def series_windows(self, service: str) -> list[tuple[int, int]]:
        """Return the windows to which a service's series have points."""
        series = self.series.get(service)
        return [] if series is None else series.windows()

    def windows_of(self, rollup: RollupKey) -> list[WindowRow]:
        """Return the open windows of a rollup, by time."""
        keys = {*self.state.windows_by_rollup.get(rollup, ()), *self._changed_of(rollup)}
        rows = [self.windows.get(key) for key in sorted(keys)]
        return [row for row in rows if row is not None]

    def publisher(self, service: str) -> Publisher:
        """Return what makes the records of a service's windows."""
        known = self.state.threshold_ms
        if service not in known:
            known[service] = self.directory.entry(service).latency_threshold_ms
        return Publisher(self.params, self.partition, known[service])

    def say(self, key: str, record: SignalsRecord) -> None:
        """Publish a record that is ready."""
        self.outputs.append(OutRecord(topic=TOPIC, key=key, partition=self.partition, value=encode(record)))

    def _changed_of(self, rollup: RollupKey) -> list[WindowKey]:
        changed = self.windows.changed
        if len(changed) != self._n_grouped:  # keys only come, so that as many are the same ones
            self._changed_by_rollup = {}
            for key in changed:
                at = rollup_key(*key)
                if at is not None:
                    self._changed_by_rollup.setdefault(at, []).append(key)
            self._n_grouped = len(changed)
        return self._changed_by_rollup.get(rollup, [])
