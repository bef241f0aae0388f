"""What one bundle does to a partition's windows: (state, bundle) -> (changes, outputs). Pure; docs/adr/0001 has the reasons."""

import heapq

import msgspec

from pipeline.analyse import notices, traces
from pipeline.analyse.edges import edge_tombstones
from pipeline.analyse.params import WindowParams
from pipeline.analyse.profiles import Profile
from pipeline.analyse.window_drops import Leftover
from pipeline.analyse.window_outputs import Outputs
from pipeline.analyse.window_publish import publish_empty_windows, publish_rollups, publish_windows
from pipeline.analyse.window_state import Changes, WindowState
from pipeline.analyse.window_take import take
from pipeline.analyse.window_view import View
from pipeline.contracts.directory import Directory
from pipeline.contracts.limits import Evicted
from pipeline.contracts.partials import Bundle
from pipeline.contracts.trace_samples import KEY as TRACES

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

    ``state`` stays as it is, but for thresholds of services that it remembers once they are looked up.
    """
    if state.head.refuses(bundle):
        head = msgspec.structs.replace(state.head, applied=offset)
        return Changes(head, {}, {}, {}, {}, {}, {}), Outputs(()), None
    view = View(
        params=params,
        directory=directory,
        partition=partition,
        state=state,
        bundle=bundle,
        offset=offset,
        record_ms=record_ms,
    )
    for key, notice in notices.source_notices(view.before, view.after, bundle.source, params.max_hold_ms):
        view.say(key, notice)
    for partial in sorted(bundle.partials, key=lambda p: (p.size_ms, p.start_ms, p.environment, p.service)):
        take(view, partial)
    _tell_traces(view)
    publish_windows(view)
    publish_empty_windows(view)
    publish_rollups(view)
    _finish_lates(view)
    _forget_services(view)
    return _changes(view), Outputs(view.outputs, view.due_rollups), _leftover(view)


def _tell_traces(view: View) -> None:
    profile = view.profile(TRACES)
    if profile is None or view.is_done(TRACES):
        return
    told, records = traces.told(profile, view.before, view.after, max_age_ms=view.params.edge_max_age_ms, partition=view.partition)
    view.outputs += records
    if told is not profile:
        view.profiles[TRACES] = told


def _finish_lates(view: View) -> None:
    source = view.bundle.source
    if view.before.chunks.get(source) == view.after.chunks[source]:
        return
    for key in sorted(view.state.lates_by_source.get(source, ())):
        service, *_, epoch, chunk = key
        if not view.after.is_finished(source, (epoch, chunk)):
            continue
        view.lates.drop(key)
        profile = view.profile(service)
        if profile is not None and not view.is_done(service):
            readings = view.state.lates[key].readings
            view.profiles[service] = msgspec.structs.replace(profile, late=profile.late + readings)


def _leftover(view: View) -> Leftover:
    """Return what is to be looked at when the changes are in the state; they move some of it elsewhere."""
    state, low_ms, source = view.state, view.after.low_ms, view.bundle.source
    windows = {*state.old_windows.until(low_ms), *view.windows.changed}
    if view.before.chunks.get(source) != view.after.chunks[source]:
        windows |= state.waiting_by_source.get(source, set())
    return Leftover(
        offset=view.offset,
        windows=windows,
        rollups={*state.old_rollups.until(low_ms), *view.touched_rollups},
        series=set(state.old_series.until(low_ms)),
    )


def _forget_services(view: View) -> None:
    """Forget, past the bound, the services not heard of for longest that have no open rows."""
    known = view.state.profiles
    n_new = sum(service not in known for service in view.profiles)
    n_over = len(known) + n_new - view.params.max_services
    if n_over <= 0 or not n_new:  # it is looked for when a service comes, not at every bundle
        return
    open_rows = {key[0] for rows in (view.windows, view.rollups, view.lates) for key in rows.changed}
    open_rows |= view.series.changed.keys()
    idle = [
        (profile.touched_end_ms or 0, service)
        for service, profile in known.items()
        if not (view.state.n_rows[service] or service in open_rows or profile.is_forgotten or view.is_done(service))
        and service != TRACES
    ]
    for _, service in heapq.nsmallest(n_over, idle):
        gone = known[service]
        view.outputs += edge_tombstones(gone, sorted(gone.edges), partition=view.partition)
        view.profiles[service] = Profile(environment=gone.environment, service=gone.service, is_forgotten=True)
        view.reached[Evicted.KNOWN_SERVICES] += 1
    low_ms = view.after.low_ms or 0
    hour = low_ms // HOUR_MS
    if hour > view.before.over_limit_hour:
        view.after = msgspec.structs.replace(view.after, over_limit_hour=hour)
        view.say(f"partition/{view.partition}", notices.over_limit(view.partition, view.params.max_services, hour, low_ms))


def _changes(view: View) -> Changes:
    return Changes(
        head=view.after,
        windows=view.windows.stamped(),
        rollups=view.rollups.stamped(),
        series=view.series.stamped(),
        lates=view.lates.stamped(),
        profiles={
            service: msgspec.structs.replace(profile, applied=view.offset)
            for service, profile in view.profiles.items()
            if profile != view.state.profiles.get(service)
        },
        last={
            "window": view.windows.dropped(),
            "rollup": view.rollups.dropped(),
            "series": view.series.dropped(),
            "late": view.lates.dropped(),
        },
        reached=dict(view.reached),
    )
