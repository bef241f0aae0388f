"""Window totals are exact whatever crashes, and each rule of the protocol is needed for it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from pipeline.analyse import watermarks, window_view
from pipeline.analyse.contributions import Contribution, WindowRow
from pipeline.analyse.overlay import Overlay
from pipeline.analyse.watermarks import Head
from pipeline.contracts.partials import Bundle
from pipeline.contracts.records import OutRecord
from pipeline.contracts.signals import LateCount, Notice, Signals, SignalsRecord
from pipeline.errors import StateError
from pipeline.ingest import source as source_module
from pipeline.ingest.reduce_columns import ChunkFold
from pipeline.ingest.source import Owner, SourceReader
from tests.properties.window_world import T0, Rules, World

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
        said: SignalsRecord = msgspec.json.decode(record.value, type=SignalsRecord)
        match said:
            case Signals() as s:
                assert value_by_revision.setdefault((s.id, s.revision), record.value) == record.value, "one revision, two values"
                assert s.rollup or sum(lines.n for lines in s.templates.values()) == sum(s.logs.values()), "log lines were lost"
                assert len(s.templates) <= (0 if s.rollup else 3), "too many log lines are told apart"
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


def check_no_gaps(
    final: dict[tuple[Place, bool], tuple[int, int]], retired: set[str], widened: dict[str, list[tuple[int, int]]]
) -> None:
    starts: dict[str, set[int]] = defaultdict(set)
    for (service, start, _), is_rollup in final:
        if not is_rollup and service not in retired and service not in widened:
            starts[service].add(start)
    for service, own in starts.items():
        assert own == set(range(min(own), max(own) + 1, 10_000)), (
            "a window is missing",
            service,
            sorted((start - T0) // 1000 for start in own),
        )


def run(seed: int, rules: Rules | None = None) -> dict[str, int]:
    world = World(seed, rules or Rules())
    world.run()
    return check(world)


SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_window_is_exact_whatever_crashes_and_whoever_goes_on_as_a_zombie(seed: int) -> None:
    seen = run(seed)
    assert seen["records"] > 100
    assert seen["crashes"] > 10


def ignore_chunk_order(monkeypatch: pytest.MonkeyPatch) -> Rules:
    monkeypatch.setattr(Head, "refuses", lambda _head, _bundle: False)
    return Rules()


def add_instead_of_replace(monkeypatch: pytest.MonkeyPatch) -> Rules:
    def put(row: WindowRow, new: Contribution) -> WindowRow:
        return msgspec.structs.replace(row, newest=(*row.newest, new))

    monkeypatch.setattr(WindowRow, "put", put)
    return Rules()


def replace_across_chunks(monkeypatch: pytest.MonkeyPatch) -> Rules:
    def put(row: WindowRow, new: Contribution) -> WindowRow:
        return msgspec.structs.replace(row, newest=(*(c for c in row.newest if c.source != new.source), new))

    monkeypatch.setattr(WindowRow, "put", put)
    return Rules()


def forget_what_is_applied_in_rows(monkeypatch: pytest.MonkeyPatch) -> Rules:
    monkeypatch.setattr(Overlay, "is_ahead", lambda _overlay, _key: False)
    monkeypatch.setattr(window_view.View, "is_done", lambda _view, _service: False)
    return Rules()


def drop_windows_at_grace(monkeypatch: pytest.MonkeyPatch) -> Rules:
    monkeypatch.setattr(Head, "is_finished", lambda _head, _source, _chunk: True)
    return Rules()


def let_the_watermark_go_back(monkeypatch: pytest.MonkeyPatch) -> Rules:
    advanced = watermarks.advanced

    def forgetful(head: Head, bundle: Bundle, **times: int) -> Head:
        return advanced(msgspec.structs.replace(head, low_ms=None), bundle, **times)

    monkeypatch.setattr(window_view, "advanced", forgetful)
    return Rules()


def flush_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> Rules:
    flush = SourceReader._flush

    def patched(reader: SourceReader, *args: Any, **header: Any) -> list[OutRecord]:
        outputs = flush(reader, *args, **header)
        reader._fold = ChunkFold(reader._config, reader._series)
        return outputs

    monkeypatch.setattr(SourceReader, "_flush", patched)
    return Rules()


def keep_back_what_a_finished_chunk_has(monkeypatch: pytest.MonkeyPatch) -> Rules:
    flush = SourceReader._flush

    def patched(reader: SourceReader, owner: Owner, **header: Any) -> list[OutRecord]:
        return flush(reader, owner, **{**header, "whole": header.get("idle", False)})

    monkeypatch.setattr(SourceReader, "_flush", patched)
    return Rules()


def cut_chunks_where_the_reading_ends(monkeypatch: pytest.MonkeyPatch) -> Rules:
    calls = iter(range(10**9))

    def before_end(_config: object, *, n_records: int, timestamps_ms: Sequence[int], **_: object) -> int:
        n = len(timestamps_ms)
        return next((at for at in range(n) if n_records + at > 5 and next(calls) % 17 == 0), n)

    monkeypatch.setattr(source_module, "records_before_end", before_end)
    return Rules()


BROKEN: dict[str, Callable[[pytest.MonkeyPatch], Rules]] = {
    "chunks of any order are taken": ignore_chunk_order,
    "contributions are added": add_instead_of_replace,
    "a later chunk replaces an earlier one": replace_across_chunks,
    "rows forget what is applied": forget_what_is_applied_in_rows,
    "windows are dropped with open contributions": drop_windows_at_grace,
    "the watermark goes back": let_the_watermark_go_back,
    "flushes are not cumulative": flush_only_what_is_new,
    "a finished chunk keeps something back": keep_back_what_a_finished_chunk_has,
    "chunks are cut where reading ends": cut_chunks_where_the_reading_ends,
    "progress is committed before the acks": lambda _: Rules(commits_after_acks=False),
    "chunks are cut when their owner goes": lambda _: Rules(commits_at_chunk_ends_only=False),
    "the head is written first": lambda _: Rules(head_is_written_last=False),
    "kinds of rows are written the other way round": lambda _: Rules(rows_are_written_in_order=False),
    "the row written last is recovered": lambda _: Rules(recovery_takes_highest_applied=False),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_without_any_one_rule_of_the_protocol_windows_are_wrong(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = BROKEN[rule](monkeypatch)
    for seed in range(40):
        try:
            run(seed, rules)
        except (AssertionError, StateError):
            return
    pytest.fail(f"nothing went wrong in 40 runs although {rule}")
