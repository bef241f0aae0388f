"""Who calls whom across messages: spans of sampled traces meet here, and every five minutes tell the edges between them.

A sample is a set of spans, so what a cumulative partial brings a second time changes nothing. It stands in the profile row of
:data:`pipeline.contracts.trace_samples.KEY`, which follows from bundles and the head alone.
"""

from collections.abc import Mapping

import msgspec

from pipeline.analyse.profiles import Profile
from pipeline.analyse.watermarks import Head
from pipeline.contracts.codec import encode
from pipeline.contracts.keys import split_service_key
from pipeline.contracts.partials import CallPartial, Partial
from pipeline.contracts.records import OutRecord
from pipeline.contracts.topology import TOPIC, CalleeKind, Edge, callee_name, edge_key, sampled_key
from pipeline.contracts.trace_samples import MAX_STUBS, TraceSample, is_below, merged_samples, parent_key
from pipeline.contracts.window_times import ROLLUP_SIZE_MS

HOLD_MS = 60_000
"""Waited for a caller's span that ends after the five minutes in which the callee's did."""
MAX_EDGES = 1_000
"""Edges remembered; past it, the one seen longest ago goes."""
MAX_KEPT = 6_000
"""Spans kept, of all five minutes: where a source is hours ahead of another these are many, and each has less room."""
MINUTES = ROLLUP_SIZE_MS / 60_000

Ends = tuple[str, str]
"""(caller's service key, callee's)."""


def taken(profile: Profile, partial: Partial, head: Head) -> Profile:
    """Return the profile with a partial's spans in it, unless nobody will ask for them any more."""
    start_ms, sample = partial.start_ms, partial.traces
    if sample is None or head.has_passed(_gone_ms(start_ms)):
        return profile
    before = profile.samples.get(start_ms)
    merged = merged_samples([sample] if before is None else [before, sample])
    return msgspec.structs.replace(
        profile,
        samples=_bounded({**profile.samples, start_ms: merged}),
        touched_end_ms=max(profile.touched_end_ms or 0, start_ms + ROLLUP_SIZE_MS),
    )


def told(profile: Profile, before: Head, after: Head, *, max_age_ms: int, partition: int) -> tuple[Profile, list[OutRecord]]:
    """Return the profile, and what is said of edges, as the watermark goes on from one head to the next."""
    records: list[OutRecord] = []
    for start_ms in sorted(profile.samples):
        end_ms = start_ms + ROLLUP_SIZE_MS
        if before.has_passed(end_ms + HOLD_MS) or not after.has_passed(end_ms + HOLD_MS):
            continue
        calls, share = joined(profile.samples, start_ms)
        edges = {_key(ends): _edge(ends, counted, share, start_ms) for ends, counted in calls.items()}
        profile, gone = profile.calling(end_ms, edges, MAX_EDGES)
        records += _tombstones(gone, partition)
        records += [
            OutRecord(topic=TOPIC, key=key, partition=partition, value=encode(edges[key]))
            for key in sorted(edges)
            if key in profile.edges
        ]
    if any(after.has_passed(_gone_ms(start_ms)) for start_ms in profile.samples):
        kept = {start: sample for start, sample in profile.samples.items() if not after.has_passed(_gone_ms(start))}
        profile = msgspec.structs.replace(profile, samples=kept)
    profile, gone = profile.without_edges((after.low_ms or 0) - max_age_ms)
    return profile, records + _tombstones(gone, partition)


def joined(samples: Mapping[int, TraceSample], start_ms: int) -> tuple[dict[Ends, CallPartial], float]:
    """Return the calls whose callee's span ended in five minutes, by caller and callee, and the share of traces they are of.

    The caller's span may have ended in the five minutes before, or after: the share is that of traces which are whole in
    all three.
    """
    near = [samples[at] for at in (start_ms + i * ROLLUP_SIZE_MS for i in (-1, 0, 1)) if at in samples]
    share = min(sample.share for sample in near)
    calls: dict[Ends, CallPartial] = {}
    for key, callee in samples[start_ms].stubs.items():
        if not callee.parent or not is_below(key, share):
            continue
        at = parent_key(key, callee)
        caller = next((stub for sample in near if (stub := sample.stubs.get(at)) is not None and not stub.parent), None)
        if caller is not None:
            counted = calls.setdefault((caller.service, callee.service), CallPartial())
            counted.calls += 1
            counted.errors += caller.failed
    return calls, share


def _bounded(samples: dict[int, TraceSample]) -> dict[int, TraceSample]:
    most = min(MAX_STUBS, MAX_KEPT // len(samples))
    return {
        start_ms: sample if len(sample.stubs) <= most else merged_samples([sample], most) for start_ms, sample in samples.items()
    }


def _edge(ends: Ends, counted: CallPartial, share: float, start_ms: int) -> Edge:
    environment, service = split_service_key(ends[0])
    callee_environment, callee = split_service_key(ends[1])
    calls, errors = counted.calls / share, counted.errors / share
    end_ms = start_ms + ROLLUP_SIZE_MS
    return Edge(
        environment=environment,
        service=service,
        version="",
        callee_kind=CalleeKind.SERVICE,
        callee_environment=callee_environment,
        callee=callee,
        window_start_ms=start_ms,
        window_end_ms=end_ms,
        calls=round(calls),
        errors=round(errors),
        calls_per_minute=calls / MINUTES,
        errors_per_minute=errors / MINUTES,
        last_seen_ms=end_ms,
        sampled_share=share,
    )


def _key(ends: Ends) -> str:
    caller, callee = ends
    return sampled_key(edge_key(caller, callee_name(CalleeKind.SERVICE, *split_service_key(callee))))


def _tombstones(keys: list[str], partition: int) -> list[OutRecord]:
    return [OutRecord(topic=TOPIC, key=key, partition=partition, value=None) for key in keys]


def _gone_ms(start_ms: int) -> int:
    """Return when the next five minutes are told, too: nobody looks for callers in these any more."""
    return start_ms + 2 * ROLLUP_SIZE_MS + HOLD_MS
