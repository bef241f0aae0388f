"""What one bundle does to a partition's windows: (state, bundle) -> (changes, outputs). Pure; docs/adr/0001 has the reasons."""

import heapq
from collections import Counter

import msgspec

from pipeline.analyse import notices, traces
from pipeline.analyse.contributions import Contribution, LateKey, LateRow, WindowKey, WindowRow
from pipeline.analyse.edges import edge_records, edge_tombstones, tells_edges
from pipeline.analyse.overlay import Overlay
from pipeline.analyse.params import WindowParams
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import RollupKey, RollupRow, rollup_key
from pipeline.analyse.series import PointsPart, SeriesRow
from pipeline.analyse.watermarks import advanced
from pipeline.analyse.window_drops import Leftover
from pipeline.analyse.window_outputs import TOPIC, EmptyWindows, FilledWindow, Outputs, Publisher, ends_rollup
from pipeline.analyse.window_state import Changes, WindowState, mark_of, value_of
from pipeline.contracts.codec import encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.ids import content_id
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound, Evicted, Limit
from pipeline.contracts.partials import Bundle, Partial
from pipeline.contracts.records import OutRecord
from pipeline.contracts.signals import LateCount, SignalsRecord
from pipeline.contracts.trace_samples import KEY as TRACES
from pipeline.contracts.window_times import BASE_SIZE_MS, ROLLUP_SIZE_MS
from pipeline.errors import StateError

HOUR_MS = 3_600_000


def step(
    *,
    params: WindowParams,
    directory: Directory,
    partition: int,
    state: WindowState,
    bundle: Bundle,
    offset: int,
    record_ms: int,
) -> tuple[Changes, Outputs, Leftover | None]:
    """Return what a bundle changes, what is to be published before the state may forget it, and what may go then.

    ``state`` stays as it is.
    """
    if state.head.refuses(bundle):
        head = msgspec.structs.replace(state.head, applied=offset)
        return Changes(head, {}, {}, {}, {}, {}, {}), Outputs(()), None
    return _Step(
        params=params,
        directory=directory,
        partition=partition,
        state=state,
        bundle=bundle,
        offset=offset,
        record_ms=record_ms,
    ).run()


class _Step:
    """One bundle under way: reads the state through the changes made so far.

    A row that was written before a crash with this bundle in it (``applied >= offset``) is *ahead*: it is not changed,
    and says nothing. A profile that is ahead means that nothing of its service is left to do.
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
        self._params, self._directory, self._partition = params, directory, partition
        self._state, self._bundle, self._offset = state, bundle, offset
        self._before = state.head
        after = advanced(
            state.head,
            bundle,
            offset=offset,
            record_ms=record_ms,
            grace_ms=params.grace_ms,
            max_hold_ms=params.max_hold_ms,
        )
        self._after = after
        self._windows: Overlay[WindowKey, WindowRow] = Overlay(state.windows, offset)
        self._rollups: Overlay[RollupKey, RollupRow] = Overlay(state.rollups, offset)
        self._series: Overlay[str, SeriesRow] = Overlay(state.series, offset)
        self._lates: Overlay[LateKey, LateRow] = Overlay(state.lates, offset)
        self._profiles: dict[str, Profile] = {}
        self._touched_rollups: set[RollupKey] = set()
        self._touched_windows: set[WindowKey] = set()
        self._reached: Counter[Bound] = Counter()
        self._changed_by_rollup: dict[RollupKey, list[WindowKey]] = {}
        self._n_grouped = 0
        self._outputs: list[OutRecord | FilledWindow | EmptyWindows] = []

    def run(self) -> tuple[Changes, Outputs, Leftover]:
        """Fold the bundle in, then close and publish what its watermark says."""
        for key, notice in notices.source_notices(self._before, self._after, self._bundle.source, self._params.max_hold_ms):
            self._say(key, notice)
        for partial in sorted(self._bundle.partials, key=lambda p: (p.size_ms, p.start_ms, p.environment, p.service)):
            self._take(partial)
        self._tell_traces()
        self._publish_windows()
        self._publish_empty_windows()
        self._publish_rollups()
        self._finish_lates()
        self._forget_services()
        return self._changes(), Outputs(self._outputs), self._leftover()

    # What the bundle holds

    def _take(self, partial: Partial) -> None:
        service = service_key(partial.environment, partial.service)
        if self._is_done(service):
            return
        profile = self._profile(service)
        if service == TRACES:
            profile = profile or Profile(environment=partial.environment, service=partial.service, since=self._offset)
            self._profiles[service] = traces.taken(profile, partial, self._before)
            return
        if profile is None:
            profile = Profile(environment=partial.environment, service=partial.service, since=self._offset)
        profile = profile.paced(partial)
        wanted_ms = max(partial.size_ms, profile.paced_size_ms)
        if wanted_ms > (profile.sizes[-1][1] if profile.sizes else BASE_SIZE_MS):
            profile = profile.widened(partial.start_ms, wanted_ms)
            self._say(service, notices.widened(profile))
        start_ms, size_ms = profile.window_of(partial.start_ms, partial.size_ms)
        key = (service, start_ms, size_ms)
        delay_ms = profile.delay_at(start_ms, self._params.delay_ms)
        closes_ms = start_ms + size_ms + delay_ms
        row = self._windows.get(key)
        if row is None and self._before.has_passed(closes_ms + self._params.grace_ms):
            self._take_late(partial, key)
            self._profiles[service] = profile.touched_late(start_ms, size_ms)
            return
        was_closed = self._before.has_passed(closes_ms)
        if not self._windows.is_ahead(key):
            self._put(key, row, partial, was_closed=was_closed)
        if partial.points and not self._series.is_ahead(service):
            self._put_points(key, partial)
        profile = profile.touched(start_ms, size_ms, partial, low_ms=self._before.low_ms, delay_ms=self._params.delay_ms)
        if partial.calls and not profile.is_retired:  # its edges are gone, and nobody would age these out
            profile, gone = profile.calling(start_ms + size_ms, partial.calls, self._params.max_edges)
            self._outputs += edge_tombstones(profile, gone, partition=self._partition)
        self._profiles[service] = self._waiting_longer(service, profile, start_ms, start_ms + size_ms) if was_closed else profile

    def _put(self, key: WindowKey, row: WindowRow | None, partial: Partial, *, was_closed: bool) -> None:
        """Fold a partial into its window; of one first heard of after its close, revision 1 was the empty one."""
        _, start_ms, size_ms = key
        environment, service = partial.environment, partial.service
        if row is None:
            row = WindowRow(environment=environment, service=service, start_ms=start_ms, size_ms=size_ms)
            row = msgspec.structs.replace(row, revision=1, sent=0) if was_closed else row
        bundle = self._bundle
        contribution = Contribution(
            source=bundle.source,
            epoch=bundle.epoch,
            chunk=bundle.chunk,
            through=bundle.through,
            partial=msgspec.structs.replace(partial, points={}) if partial.points else partial,
        )
        self._windows[key] = row.put(contribution)
        rollup_at = rollup_key(*key)
        if rollup_at is None:
            return
        self._touched_rollups.add(rollup_at)
        if self._rollups.get(rollup_at) is None:
            rollup = RollupRow(environment=environment, service=service, start_ms=rollup_at[1])
            was_published = self._before.has_passed(rollup.end_ms + self._delay_ms(rollup_at[0], rollup.end_ms - 1))
            self._rollups[rollup_at] = msgspec.structs.replace(rollup, revision=1, sent=0) if was_published else rollup

    def _put_points(self, key: WindowKey, partial: Partial) -> None:
        """Keep the points of series; what later windows' points add may change with them."""
        service, *window = key
        row = self._series.get(service) or SeriesRow(environment=partial.environment, service=partial.service)
        bundle = self._bundle
        part = PointsPart(
            source=bundle.source,
            epoch=bundle.epoch,
            chunk=bundle.chunk,
            through=bundle.through,
            start_ms=partial.start_ms,
            size_ms=partial.size_ms,
            window=(window[0], window[1]),
            series=partial.points,
        )
        self._series[service] = row.put(part)
        self._touched_windows.update((service, *later) for later in self._series_windows(service) if later >= part.window)

    def _take_late(self, partial: Partial, window: WindowKey) -> None:
        """Count what came when its window was gone, and publish the count when it is new."""
        bundle = self._bundle
        service, start_ms, size_ms = window
        key = (service, partial.start_ms, partial.size_ms, bundle.source, bundle.epoch, bundle.chunk)
        row = self._lates.get(key)
        if row is not None and (bundle.through < row.through or self._lates.is_ahead(key)):
            return
        self._lates[key] = LateRow(
            environment=partial.environment,
            service=partial.service,
            start_ms=partial.start_ms,
            size_ms=partial.size_ms,
            source=bundle.source,
            epoch=bundle.epoch,
            chunk=bundle.chunk,
            through=bundle.through,
            readings=partial.readings,
        )
        if row is not None and row.readings == partial.readings:
            return
        identity = (partial.start_ms, partial.size_ms, bundle.source, bundle.epoch, bundle.chunk)
        late = LateCount(
            id=content_id("late", partial.environment, partial.service, *identity),
            environment=partial.environment,
            service=partial.service,
            version=min(partial.versions, key=lambda name: (-partial.versions[name], name), default=""),
            window_start_ms=start_ms,
            window_end_ms=start_ms + size_ms,
            source=bundle.source,
            epoch=bundle.epoch,
            chunk=bundle.chunk,
            through=bundle.through,
            readings=partial.readings,
            requests=sum(operation.requests for operation in partial.operations.values()),
            errors=sum(operation.errors for operation in partial.operations.values()),
            late_by_ms=(self._before.low_ms or 0) - (start_ms + size_ms),
        )
        self._say(service, late)

    def _waiting_longer(self, service: str, profile: Profile, start_ms: int, end_ms: int) -> Profile:
        """Return the profile after a published window got more; with a longer delay when that goes on and on."""
        known_ms = max(profile.touched_end_ms or 0, profile.next_start_ms or 0)
        longer = profile.revised(
            start_ms,
            from_ms=-(-known_ms // ROLLUP_SIZE_MS) * ROLLUP_SIZE_MS,  # a rollup's windows all wait equally long
            delay_ms=min((self._before.low_ms or 0) - end_ms + BASE_SIZE_MS, self._params.max_delay_ms),
            usual_ms=self._params.delay_ms,
            after=self._params.revisions_before_delay,
        )
        if longer.delays != profile.delays:
            self._say(service, notices.delay_lengthened(longer))
        return longer

    # What the watermark publishes

    def _tell_traces(self) -> None:
        profile = self._profile(TRACES)
        if profile is None or self._is_done(TRACES):
            return
        told, records = traces.told(
            profile, self._before, self._after, max_age_ms=self._params.edge_max_age_ms, partition=self._partition
        )
        self._outputs += records
        if told is not profile:
            self._profiles[TRACES] = told

    def _publish_windows(self) -> None:
        due = {*self._state.due_windows.until(self._after.low_ms), *self._windows.changed, *self._touched_windows}
        for key in sorted(due):
            row = self._windows.get(key)
            service, start_ms, size_ms = key
            if row is None or self._is_done(service) or self._windows.is_ahead(key):
                continue
            if not self._after.has_passed(start_ms + size_ms + self._delay_ms(service, start_ms)):
                continue
            mark = self._mark(key)
            if row.readings == row.sent and mark == row.sent_mark:
                continue
            row = self._windows[key] = msgspec.structs.replace(row, revision=row.revision + 1, sent=row.readings, sent_mark=mark)
            self._publish(key, revision=row.revision, rollup=False, value=self._value(key, row), n_sources=len(row.sources))
            rollup_at = rollup_key(*key)
            if rollup_at is not None:
                self._touched_rollups.add(rollup_at)

    def _publish_empty_windows(self) -> None:
        for service in sorted({*self._state.due_profiles.until(self._after.low_ms), *self._profiles}):
            profile = self._profile(service)
            if profile is not None and profile.next_start_ms is not None and not self._is_done(service):
                self._walk(service, profile)

    def _walk(self, service: str, profile: Profile) -> None:
        """Go over the windows of a known service that are due; those that hold nothing are published from the stretch."""
        begin_ms = profile.next_start_ms
        if begin_ms is None or not self._is_due(profile, begin_ms):
            return
        profile, gone = profile.without_edges((self._after.low_ms or 0) - self._params.edge_max_age_ms)
        self._outputs += edge_tombstones(profile, gone, partition=self._partition)
        stretch = EmptyWindows(publisher=self._publisher(service), profile=profile, begin_ms=begin_ms, end_ms=begin_ms)
        self._outputs.append(stretch)
        start_ms = begin_ms
        while self._is_due(profile, start_ms):
            if profile.is_over_at(start_ms, self._params.silence_max_ms):
                self._say(service, notices.retired(profile, start_ms))
                self._outputs += edge_tombstones(profile, sorted(profile.edges), partition=self._partition)
                self._profiles[service] = msgspec.structs.replace(profile, is_retired=True, next_start_ms=None, edges={})
                break
            size_ms = profile.size_at(start_ms)
            if self._windows.get((service, start_ms, size_ms)) is not None:
                stretch.filled.add(start_ms)
            start_ms += size_ms
            rollup_ms = start_ms - ROLLUP_SIZE_MS
            if ends_rollup(start_ms, size_ms) and self._rollups.get((service, rollup_ms)) is not None:
                stretch.rolled_up.add(rollup_ms)
        else:
            self._profiles[service] = msgspec.structs.replace(profile, next_start_ms=start_ms)
        stretch.end_ms = start_ms

    def _is_due(self, profile: Profile, start_ms: int) -> bool:
        closes_ms = start_ms + profile.size_at(start_ms) + profile.delay_at(start_ms, self._params.delay_ms)
        return self._after.has_passed(closes_ms)

    def _publish_rollups(self) -> None:
        for key in sorted({*self._state.due_rollups.until(self._after.low_ms), *self._touched_rollups}):
            row = self._rollups.get(key)
            service, start_ms = key
            if row is None or self._is_done(service) or self._rollups.is_ahead(key):
                continue
            if not self._after.has_passed(row.end_ms + self._delay_ms(service, row.end_ms - 1)):
                continue
            windows = self._windows_of(key)
            places = [(service, window.start_ms, window.size_ms) for window in windows]
            readings, mark = row.readings(windows), row.base_mark + sum(map(self._mark, places))
            if readings == row.sent and mark == row.sent_mark:
                continue
            row = self._rollups[key] = msgspec.structs.replace(row, revision=row.revision + 1, sent=readings, sent_mark=mark)
            value = row.value([self._value(place, window) for place, window in zip(places, windows, strict=True)])
            at = (service, start_ms, ROLLUP_SIZE_MS)
            self._publish(at, revision=row.revision, rollup=True, value=value, n_sources=row.sources(windows))

    # What goes

    def _finish_lates(self) -> None:
        source = self._bundle.source
        if self._before.chunks.get(source) == self._after.chunks[source]:
            return
        for key in sorted(self._state.lates_by_source.get(source, ())):
            service, *_, epoch, chunk = key
            if not self._after.is_finished(source, (epoch, chunk)):
                continue
            self._lates.drop(key)
            profile = self._profile(service)
            if profile is not None and not self._is_done(service):
                readings = self._state.lates[key].readings
                self._profiles[service] = msgspec.structs.replace(profile, late=profile.late + readings)

    def _leftover(self) -> Leftover:
        """Return what is to be looked at when the changes are in the state; they move some of it elsewhere."""
        state, low_ms, source = self._state, self._after.low_ms, self._bundle.source
        windows = {*state.old_windows.until(low_ms), *self._windows.changed}
        if self._before.chunks.get(source) != self._after.chunks[source]:
            windows |= state.waiting_by_source.get(source, set())
        return Leftover(
            offset=self._offset,
            windows=windows,
            rollups={*state.old_rollups.until(low_ms), *self._touched_rollups},
            series=set(state.old_series.until(low_ms)),
        )

    def _forget_services(self) -> None:
        """Forget, past the bound, the services not heard of for longest that have no open rows."""
        known = self._state.profiles
        n_new = sum(service not in known for service in self._profiles)
        n_over = len(known) + n_new - self._params.max_services
        if n_over <= 0 or not n_new:  # it is looked for when a service comes, not at every bundle
            return
        open_rows = {key[0] for rows in (self._windows, self._rollups, self._lates) for key in rows.changed}
        open_rows |= self._series.changed.keys()
        idle = [
            (profile.touched_end_ms or 0, service)
            for service, profile in known.items()
            if not (self._state.n_rows[service] or service in open_rows or profile.is_forgotten or self._is_done(service))
            and service != TRACES
        ]
        for _, service in heapq.nsmallest(n_over, idle):
            gone = known[service]
            self._outputs += edge_tombstones(gone, sorted(gone.edges), partition=self._partition)
            self._profiles[service] = Profile(environment=gone.environment, service=gone.service, is_forgotten=True)
            self._reached[Evicted.KNOWN_SERVICES] += 1
        low_ms = self._after.low_ms or 0
        hour = low_ms // HOUR_MS
        if hour > self._before.over_limit_hour:
            self._after = msgspec.structs.replace(self._after, over_limit_hour=hour)
            self._say(f"partition/{self._partition}", notices.over_limit(self._partition, self._params.max_services, hour, low_ms))

    # The state, seen through the changes

    def _profile(self, service: str) -> Profile | None:
        profile = self._profiles.get(service) or self._state.profiles.get(service)
        return None if profile is None or profile.is_forgotten else profile

    def _value(self, key: WindowKey, row: WindowRow) -> Partial:
        return value_of(key, row, self._series.get(key[0]))

    def _mark(self, key: WindowKey) -> int:
        return mark_of(key, self._series.get(key[0]))

    def _series_windows(self, service: str) -> list[tuple[int, int]]:
        series = self._series.get(service)
        return [] if series is None else series.windows()

    def _windows_of(self, rollup: RollupKey) -> list[WindowRow]:
        keys = {*self._state.windows_by_rollup.get(rollup, ()), *self._changed_of(rollup)}
        rows = [self._windows.get(key) for key in sorted(keys)]
        return [row for row in rows if row is not None]

    def _changed_of(self, rollup: RollupKey) -> list[WindowKey]:
        changed = self._windows.changed
        if len(changed) != self._n_grouped:  # keys only come, so that as many are the same ones
            self._changed_by_rollup = {}
            for key in changed:
                at = rollup_key(*key)
                if at is not None:
                    self._changed_by_rollup.setdefault(at, []).append(key)
            self._n_grouped = len(changed)
        return self._changed_by_rollup.get(rollup, [])

    def _delay_ms(self, service: str, start_ms: int) -> int:
        profile = self._profile(service)
        return self._params.delay_ms if profile is None else profile.delay_at(start_ms, self._params.delay_ms)

    def _is_done(self, service: str) -> bool:
        profile = self._state.profiles.get(service)
        return profile is not None and profile.applied >= self._offset

    # What is said

    def _publish(self, key: WindowKey, *, revision: int, rollup: bool, value: Partial | None, n_sources: int) -> None:
        service = key[0]
        profile = self._profile(service)
        if profile is None:
            raise StateError(f"a window of {service} has no profile beside it")
        if value is not None and len(value.operations) > self._params.max_operations and not rollup:
            self._reached[Limit.PUBLISHED_OPERATIONS] += 1
        if value is not None and len(value.templates) > self._params.max_templates and not rollup:
            self._reached[Limit.PUBLISHED_TEMPLATES] += 1
        self._outputs.append(FilledWindow(self._publisher(service), profile, key, revision, rollup, value, n_sources))
        _, start_ms, size_ms = key
        if value is not None and value.calls and tells_edges(start_ms, size_ms):
            self._outputs += edge_records(profile, value, start_ms=start_ms, size_ms=size_ms, partition=self._partition)

    def _publisher(self, service: str) -> Publisher:
        known = self._state.threshold_ms
        if service not in known:
            known[service] = self._directory.entry(service).latency_threshold_ms
        return Publisher(self._params, self._partition, known[service])

    def _say(self, key: str, record: SignalsRecord) -> None:
        self._outputs.append(OutRecord(topic=TOPIC, key=key, partition=self._partition, value=encode(record)))

    def _changes(self) -> Changes:
        return Changes(
            head=self._after,
            windows=self._windows.stamped(),
            rollups=self._rollups.stamped(),
            series=self._series.stamped(),
            lates=self._lates.stamped(),
            profiles={
                service: msgspec.structs.replace(profile, applied=self._offset)
                for service, profile in self._profiles.items()
                if profile != self._state.profiles.get(service)
            },
            last={
                "window": self._windows.dropped(),
                "rollup": self._rollups.dropped(),
                "series": self._series.dropped(),
                "late": self._lates.dropped(),
            },
            reached=dict(self._reached),
        )
