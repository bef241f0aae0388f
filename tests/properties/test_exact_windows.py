"""Window totals are exact whatever crashes, and each rule of the protocol is needed for it."""

from collections import defaultdict

import msgspec
import pytest
from window_world import T0, Rules, World

from pipeline.analyse import window_step
from pipeline.analyse.contributions import WindowRow
from pipeline.analyse.overlay import Overlay
from pipeline.analyse.watermarks import Head
from pipeline.contracts.codec import decode
from pipeline.contracts.signals import LateCount, Notice, Signals, SignalsRecord
from pipeline.ingest import source as source_module
from pipeline.ingest.source import SourceReader

Place = tuple[str, int, int]


def check(world: World) -> dict[str, int]:
    """Hold what was published against the truth, with code that shares nothing with the pipeline."""
    final: dict[tuple[Place, bool], tuple[int, int]] = {}
    value_by_revision: dict[tuple[str, int], bytes] = {}
    first: set[Place] = set()
    late_by_id: dict[str, tuple[int, int, Place]] = {}
    late_values: dict[tuple[str, int], int] = {}
    widened: dict[str, list[tuple[int, int]]] = defaultdict(list)
    retired: set[str] = set()
    for record in world.signals:
        assert record.value is not None
        match decode(record.value, SignalsRecord):
            case Signals() as s:
                assert value_by_revision.setdefault((s.id, s.revision), record.value) == record.value, "one revision, two values"
                place = (record.key, s.window_start_ms, s.window_end_ms - s.window_start_ms)
                if s.revision == 1 and not s.rollup:
                    first.add(place)
                final[place, s.rollup] = max(final.get((place, s.rollup), (0, 0)), (s.revision, s.completeness.readings))
            case LateCount() as late:
                assert late_values.setdefault((late.id, late.through), late.readings) == late.readings, "one late count, two values"
                place = (record.key, late.window_start_ms, late.window_end_ms - late.window_start_ms)
                late_by_id[late.id] = max(late_by_id.get(late.id, (-1, 0, place)), (late.through, late.readings, place))
            case Notice(notice="window_widened") as notice:
                size = int(notice.text.split(" are ")[1].split(" s ")[0]) * 1000
                if (notice.at_ms, size) not in widened[record.key]:
                    widened[record.key].append((notice.at_ms, size))
            case Notice(notice="service_retired"):
                retired.add(record.key)
    published: dict[Place, int] = defaultdict(int)
    for (place, is_rollup), (_, readings) in final.items():
        if not is_rollup:
            published[place] += readings
    for _, readings, place in late_by_id.values():
        published[place] += readings
    expected: dict[Place, int] = defaultdict(int)
    for (service, start, size), n in world.truth.items():
        expected[mapped(service, start, size, widened)] += n
    wrong = {p: (published.get(p, 0), expected[p]) for p in {*published, *expected} if published.get(p, 0) != expected[p]}
    assert not wrong, ("published, true", wrong)
    check_rollups(final)
    check_no_gaps({(place, is_rollup): n for (place, is_rollup), n in final.items() if place in first}, retired, widened)
    assert len({letter.key + str(letter.headers) for letter in world.dead_letters}) == world.n_bad
    return {
        "records": sum(world.truth.values()),
        "late": sum(readings for _, readings, _ in late_by_id.values()),
        "crashes": world.n_crashes,
        "published": len(world.signals),
        "windows": len(final),
        "widened": len(widened),
        "retired": len(retired),
    }


def mapped(service: str, start: int, size: int, widened: dict[str, list[tuple[int, int]]]) -> Place:
    for since, wide in sorted(widened.get(service, ()), reverse=True):
        if start >= since:
            return (service, start // wide * wide, wide) if wide > size else (service, start, size)
    return service, start, size


def check_rollups(final: dict[tuple[Place, bool], tuple[int, int]]) -> None:
    sums: dict[tuple[str, int], int] = defaultdict(int)
    for ((service, start, size), is_rollup), (_, readings) in final.items():
        if not is_rollup and size < 300_000:
            sums[service, start // 300_000 * 300_000] += readings
    rollups = {(service, start): readings for ((service, start, _), is_rollup), (_, readings) in final.items() if is_rollup}
    low = T0 + 300_000
    for key, n in sums.items():
        if key[1] < low or n:
            assert rollups.get(key) == n, ("rollup", key, rollups.get(key), n)


def check_no_gaps(final: dict[tuple[Place, bool], tuple[int, int]], retired: set[str], widened: dict[str, list[tuple[int, int]]]) -> None:
    starts: dict[str, set[int]] = defaultdict(set)
    for (service, start, _), is_rollup in final:
        if not is_rollup and service not in retired and service not in widened:
            starts[service].add(start)
    for service, own in starts.items():
        assert own == set(range(min(own), max(own) + 1, 10_000)), ("a window is missing", service, sorted((start - T0) // 1000 for start in own))


def run(seed: int, rules: Rules | None = None) -> dict[str, int]:
    world = World(seed, rules or Rules())
    world.run()
    return check(world)
