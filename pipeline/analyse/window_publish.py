"""What a watermark publishes: windows that are due or have changed since, empty ones of known services, rollups."""

import msgspec

from pipeline.analyse import notices
from pipeline.analyse.contributions import WindowKey
from pipeline.analyse.edges import edge_records, edge_tombstones, tells_edges
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import rollup_key
from pipeline.analyse.window_outputs import EmptyWindows, FilledWindow, Rollup, ends_rollup
from pipeline.analyse.window_view import View
from pipeline.contracts.limits import Limit
from pipeline.contracts.partials import Partial
from pipeline.contracts.window_times import ROLLUP_SIZE_MS
from pipeline.errors import StateError


def publish_windows(view: View) -> None:
    """Publish windows that are due, and those that hold more than when they were published last."""
    due = {*view.state.due_windows.until(view.after.low_ms), *view.windows.changed, *view.touched_windows}
    for key in sorted(due):
        row = view.windows.get(key)
        service, start_ms, size_ms = key
        if row is None or view.is_done(service) or view.windows.is_ahead(key):
            continue
        if not view.after.has_passed(start_ms + size_ms + view.delay_ms(service, start_ms)):
            continue
        mark = view.mark(key)
        if row.readings == row.sent and mark == row.sent_mark:
            continue
        row = view.windows[key] = msgspec.structs.replace(row, revision=row.revision + 1, sent=row.readings, sent_mark=mark)
        _publish(view, key, revision=row.revision, value=view.value(key, row), n_sources=len(row.sources))
        rollup_at = rollup_key(*key)
        if rollup_at is not None:
            view.touched_rollups.add(rollup_at)


def publish_empty_windows(view: View) -> None:
    """Publish the windows of known services that are due and hold nothing."""
    for service in sorted({*view.state.due_profiles.until(view.after.low_ms), *view.profiles}):
        profile = view.profile(service)
        if profile is not None and profile.next_start_ms is not None and not view.is_done(service):
            _walk(view, service, profile)


def _walk(view: View, service: str, profile: Profile) -> None:
    """Go over the windows of a known service that are due; those that hold nothing are published from the stretch."""
    begin_ms = profile.next_start_ms
    if begin_ms is None or not _is_due(view, profile, begin_ms):
        return
    profile, gone = profile.without_edges((view.after.low_ms or 0) - view.params.edge_max_age_ms)
    view.outputs += edge_tombstones(profile, gone, partition=view.partition)
    stretch = EmptyWindows(publisher=view.publisher(service), profile=profile, begin_ms=begin_ms, end_ms=begin_ms)
    view.outputs.append(stretch)
    start_ms = begin_ms
    while _is_due(view, profile, start_ms):
        if profile.is_over_at(start_ms, view.params.silence_max_ms):
            view.say(service, notices.retired(profile, start_ms))
            view.outputs += edge_tombstones(profile, sorted(profile.edges), partition=view.partition)
            view.profiles[service] = msgspec.structs.replace(profile, is_retired=True, next_start_ms=None, edges={})
            break
        size_ms = profile.size_at(start_ms)
        if view.windows.get((service, start_ms, size_ms)) is not None:
            stretch.filled.add(start_ms)
        start_ms += size_ms
        rollup_ms = start_ms - ROLLUP_SIZE_MS
        if ends_rollup(start_ms, size_ms) and view.rollups.get((service, rollup_ms)) is not None:
            stretch.rolled_up.add(rollup_ms)
    else:
        view.profiles[service] = msgspec.structs.replace(profile, next_start_ms=start_ms)
    stretch.end_ms = start_ms


def _is_due(view: View, profile: Profile, start_ms: int) -> bool:
    closes_ms = start_ms + profile.size_at(start_ms) + profile.delay_at(start_ms, view.params.delay_ms)
    return view.after.has_passed(closes_ms)


def publish_rollups(view: View) -> None:
    """Publish the rollups that are due, and those that have changed since they were published."""
    for key in sorted({*view.state.due_rollups.until(view.after.low_ms), *view.touched_rollups}):
        row = view.rollups.get(key)
        service = key[0]
        if row is None or view.is_done(service) or view.rollups.is_ahead(key):
            continue
        if not view.after.has_passed(row.end_ms + view.delay_ms(service, row.end_ms - 1)):
            continue
        windows = view.windows_of(key)
        marks = (view.mark((service, window.start_ms, window.size_ms)) for window in windows)
        readings, mark = row.readings(windows), row.base_mark + sum(marks)
        if readings == row.sent and mark == row.sent_mark:
            continue
        row = view.rollups[key] = msgspec.structs.replace(row, revision=row.revision + 1, sent=readings, sent_mark=mark)
        rollup = Rollup(view.publisher(service), _profile(view, service), row, windows, view.series.get(service))
        view.due_rollups.append(rollup)


def _publish(view: View, key: WindowKey, *, revision: int, value: Partial, n_sources: int) -> None:
    service, start_ms, size_ms = key
    profile = _profile(view, service)
    if len(value.operations) > view.params.max_operations:
        view.reached[Limit.PUBLISHED_OPERATIONS] += 1
    if len(value.templates) > view.params.max_templates:
        view.reached[Limit.PUBLISHED_TEMPLATES] += 1
    view.outputs.append(FilledWindow(view.publisher(service), profile, key, revision, value, n_sources))
    if value.calls and tells_edges(start_ms, size_ms):
        view.outputs += edge_records(profile, value, start_ms=start_ms, size_ms=size_ms, partition=view.partition)


def _profile(view: View, service: str) -> Profile:
    profile = view.profile(service)
    if profile is None:
        raise StateError(f"a window of {service} has no profile beside it")
    return profile
