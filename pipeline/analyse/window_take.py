"""What a bundle's partials change: the windows they go into, their services' profiles and series, and counts of the late."""

import msgspec

from pipeline.analyse import notices, traces
from pipeline.analyse.contributions import Contribution, LateRow, WindowKey, WindowRow
from pipeline.analyse.edges import edge_tombstones
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import RollupRow, rollup_key
from pipeline.analyse.series import PointsPart, SeriesRow
from pipeline.analyse.window_view import View
from pipeline.contracts.ids import content_id
from pipeline.contracts.keys import service_key
from pipeline.contracts.partials import Partial
from pipeline.contracts.signals import LateCount
from pipeline.contracts.trace_samples import KEY as TRACES
from pipeline.contracts.window_times import BASE_SIZE_MS, ROLLUP_SIZE_MS


def take(view: View, partial: Partial) -> None:
    """Put one partial of the bundle where it belongs."""
    service = service_key(partial.environment, partial.service)
    if view.is_done(service):
        return
    profile = view.profile(service)
    if service == TRACES:
        profile = profile or Profile(environment=partial.environment, service=partial.service, since=view.offset)
        view.profiles[service] = traces.taken(profile, partial, view.before)
        return
    if profile is None:
        profile = Profile(environment=partial.environment, service=partial.service, since=view.offset)
    profile = profile.paced(partial)
    wanted_ms = max(partial.size_ms, profile.paced_size_ms)
    if wanted_ms > (profile.sizes[-1][1] if profile.sizes else BASE_SIZE_MS):
        profile = profile.widened(partial.start_ms, wanted_ms)
        view.say(service, notices.widened(profile))
    start_ms, size_ms = profile.window_of(partial.start_ms, partial.size_ms)
    key = (service, start_ms, size_ms)
    delay_ms = profile.delay_at(start_ms, view.params.delay_ms)
    closes_ms = start_ms + size_ms + delay_ms
    row = view.windows.get(key)
    if row is None and view.before.has_passed(closes_ms + view.params.grace_ms):
        _take_late(view, partial, key)
        view.profiles[service] = profile.touched_late(start_ms, size_ms)
        return
    was_closed = view.before.has_passed(closes_ms)
    if not view.windows.is_ahead(key):
        _put(view, key, row, partial, was_closed=was_closed)
    if partial.points and not view.series.is_ahead(service):
        _put_points(view, key, partial)
    profile = profile.touched(start_ms, size_ms, partial, low_ms=view.before.low_ms, delay_ms=view.params.delay_ms)
    if partial.calls and not profile.is_retired:  # its edges are gone, and nobody would age these out
        profile, gone = profile.calling(start_ms + size_ms, partial.calls, view.params.max_edges)
        view.outputs += edge_tombstones(profile, gone, partition=view.partition)
    view.profiles[service] = _waiting_longer(view, service, profile, start_ms, start_ms + size_ms) if was_closed else profile


def _put(view: View, key: WindowKey, row: WindowRow | None, partial: Partial, *, was_closed: bool) -> None:
    """Fold a partial into its window; of one first heard of after its close, revision 1 was the empty one."""
    _, start_ms, size_ms = key
    environment, service = partial.environment, partial.service
    if row is None:
        row = WindowRow(environment=environment, service=service, start_ms=start_ms, size_ms=size_ms)
        row = msgspec.structs.replace(row, revision=1, sent=0) if was_closed else row
    bundle = view.bundle
    contribution = Contribution(
        source=bundle.source,
        epoch=bundle.epoch,
        chunk=bundle.chunk,
        through=bundle.through,
        partial=msgspec.structs.replace(partial, points={}) if partial.points else partial,
    )
    view.windows[key] = row.put(contribution)
    rollup_at = rollup_key(*key)
    if rollup_at is None:
        return
    view.touched_rollups.add(rollup_at)
    if view.rollups.get(rollup_at) is None:
        rollup = RollupRow(environment=environment, service=service, start_ms=rollup_at[1])
        was_published = view.before.has_passed(rollup.end_ms + view.delay_ms(rollup_at[0], rollup.end_ms - 1))
        view.rollups[rollup_at] = msgspec.structs.replace(rollup, revision=1, sent=0) if was_published else rollup


def _put_points(view: View, key: WindowKey, partial: Partial) -> None:
    """Keep the points of series; what later windows' points add may change with them."""
    service, *window = key
    row = view.series.get(service) or SeriesRow(environment=partial.environment, service=partial.service)
    bundle = view.bundle
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
    view.series[service] = row.put(part)
    view.touched_windows.update((service, *later) for later in view.series_windows(service) if later >= part.window)


def _take_late(view: View, partial: Partial, window: WindowKey) -> None:
    """Count what came when its window was gone, and publish the count when it is new."""
    bundle = view.bundle
    service, start_ms, size_ms = window
    key = (service, partial.start_ms, partial.size_ms, bundle.source, bundle.epoch, bundle.chunk)
    row = view.lates.get(key)
    if row is not None and (bundle.through < row.through or view.lates.is_ahead(key)):
        return
    view.lates[key] = LateRow(
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
        late_by_ms=(view.before.low_ms or 0) - (start_ms + size_ms),
    )
    view.say(service, late)


def _waiting_longer(view: View, service: str, profile: Profile, start_ms: int, end_ms: int) -> Profile:
    """Return the profile after a published window got more; with a longer delay when that goes on and on."""
    known_ms = max(profile.touched_end_ms or 0, profile.next_start_ms or 0)
    longer = profile.revised(
        start_ms,
        from_ms=-(-known_ms // ROLLUP_SIZE_MS) * ROLLUP_SIZE_MS,  # a rollup's windows all wait equally long
        delay_ms=min((view.before.low_ms or 0) - end_ms + BASE_SIZE_MS, view.params.max_delay_ms),
        usual_ms=view.params.delay_ms,
        after=view.params.revisions_before_delay,
    )
    if longer.delays != profile.delays:
        view.say(service, notices.delay_lengthened(longer))
    return longer
