"""What is said of a service's calls: one record an edge of the call graph, and a tombstone when an edge is gone."""

from collections.abc import Iterable

from pipeline.analyse.profiles import Profile
from pipeline.contracts.codec import encode
from pipeline.contracts.keys import service_key
from pipeline.contracts.partials import Partial
from pipeline.contracts.records import OutRecord
from pipeline.contracts.topology import TOPIC, Edge, edge_key, split_callee
from pipeline.contracts.window_times import ROLLUP_SIZE_MS

MINUTE_MS = 60_000
"""Base windows that begin a minute tell edges, too, so that a new one is known before its rollup is published."""


def tells_edges(start_ms: int, size_ms: int) -> bool:
    """Return whether a window or a rollup tells edges; five-minute sums do, and the first window of each minute."""
    return size_ms >= ROLLUP_SIZE_MS or start_ms % MINUTE_MS == 0


def edge_records(profile: Profile, value: Partial, *, start_ms: int, size_ms: int, partition: int) -> list[OutRecord]:
    """Return what a window says of the service's edges that are known."""
    caller = service_key(profile.environment, profile.service)
    records = []
    for name in sorted(value.calls):
        if name not in profile.edges:
            continue  # it had to go, or is gone already
        call = value.calls[name]
        kind, environment, callee = split_callee(name)
        edge = Edge(
            environment=profile.environment,
            service=profile.service,
            version=profile.version,
            callee_kind=kind,
            callee_environment=environment,
            callee=callee,
            window_start_ms=start_ms,
            window_end_ms=start_ms + size_ms,
            calls=call.calls,
            errors=call.errors,
            calls_per_minute=call.calls * MINUTE_MS / size_ms,
            errors_per_minute=call.errors * MINUTE_MS / size_ms,
            last_seen_ms=profile.edges[name],
        )
        records.append(OutRecord(topic=TOPIC, key=edge_key(caller, name), partition=partition, value=encode(edge)))
    return records


def edge_tombstones(profile: Profile, callees: Iterable[str], *, partition: int) -> list[OutRecord]:
    """Return what takes edges off the topic."""
    caller = service_key(profile.environment, profile.service)
    return [OutRecord(topic=TOPIC, key=edge_key(caller, callee), partition=partition, value=None) for callee in callees]
