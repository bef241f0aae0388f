"""Records taken a record batch at a time are those that aiokafka's own iteration yields, and leave it at the same position."""

import gc
import weakref
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline.adapters.codecs import install
from pipeline.adapters.transport import runs as runs_module
from pipeline.adapters.transport.runs import RawRecords
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import InRecord, RefusedBatch

install()
TP = TopicPartition("t", 0)
MAX_BATCH = 10**8
NO_LIMITS = {"max_records": 10**6, "max_bytes": 10**9}


def batch(
    base: int, n: int, *, codec: int = 0, producer: int = -1, transactional: bool = False, gaps: int = 1, size: int = 10
) -> bytes:
    """Return a record batch of message format 2; ``gaps`` above 1: compaction has removed records between."""
    builder = DefaultRecordBatchBuilder(
        2, codec, transactional, producer_id=producer, producer_epoch=0 if producer >= 0 else -1, base_sequence=0, batch_size=10**7
    )
    for i in range(0, n * gaps, gaps):
        value = None if i == 1 else b"v" * size
        builder.append(i, 1_000 + base + i, b"k%d" % i if i % 2 else None, value, [("h", b"x"), ("none", None)] if i == 2 else [])
    return at_offset(bytes(builder.build()), base)


def at_offset(data: bytes, base: int) -> bytes:
    return base.to_bytes(8, "big") + data[8:]  # the checksum does not cover it


def marker(base: int, producer: int, *, abort: bool) -> bytes:
    """Return a transaction's end: a control batch."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, producer_id=producer, producer_epoch=0, base_sequence=0, batch_size=10**6)
    builder.append(0, 1_000, b"\0\0" + (b"\0\0" if abort else b"\0\1"), b"\0" * 6, [])
    data = bytearray(builder.build())
    data[22] |= 0x20  # attributes: control
    return at_offset(with_checksum(data), base)


def with_checksum(data: bytearray) -> bytes:
    from aiokafka.record.util import calc_crc32c  # noqa: PLC0415 - only here

    data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


class OldBatch(list[Any]):
    """A record batch of message format 0, which aiokafka's builder cannot build."""

    next_offset, is_control_batch = 6, False

    def validate_crc(self) -> bool:
        return True


LOGS: dict[str, bytes] = {
    "plain": batch(5, 7) + batch(12, 3),
    "gzip": batch(5, 7, codec=1) + batch(12, 3),
    "lz4": batch(5, 7, codec=3),
    "zstd": batch(5, 7, codec=4) + batch(12, 90, codec=4),
    "compacted": batch(5, 4, gaps=3) + batch(40, 2),
    "aborted": batch(5, 3, producer=9, transactional=True) + batch(8, 2) + marker(10, 9, abort=True) + batch(11, 2),
    "committed": batch(5, 3, producer=9, transactional=True)
    + marker(8, 9, abort=False)
    + batch(9, 2, producer=9, transactional=True),
    "begins below": batch(2, 8) + batch(10, 2),
    "begins below, compressed": batch(2, 8, codec=1) + batch(10, 2),
    "only a marker": marker(5, 9, abort=True),
    "incomplete at the end": batch(5, 3) + batch(8, 3)[:-4],
}


def fetched(log: bytes, isolation: int) -> PartitionRecords:
    return PartitionRecords(TP, MemoryRecords(log), [(9, 5)], 5, None, None, True, isolation)


def by_aiokafka(log: bytes, isolation: int) -> tuple[list[InRecord], int]:
    records = fetched(log, isolation)
    found = [InRecord(r.offset, -1 if r.timestamp is None else r.timestamp, r.key, r.value, tuple(r.headers)) for r in records]
    return found, records.next_fetch_offset


def by_us(log: bytes, isolation: int, max_batch_bytes: int = MAX_BATCH, **limits: int) -> tuple[list[list[InRecord]], list[int]]:
    raw = RawRecords(fetched(log, isolation), max_batch_bytes=max_batch_bytes)
    runs: list[list[InRecord]] = []
    positions: list[int] = []
    has_more = True
    while has_more:
        records, has_more = raw.take(**{**NO_LIMITS, **limits})
        runs.append(list(records))
        positions.append(raw.next_fetch_offset)
    return runs, positions


def flat(runs: Sequence[Sequence[InRecord]]) -> list[InRecord]:
    return [record for run in runs for record in run]


@pytest.mark.parametrize("parsed_at_once", [1, 3, 65_536])
@pytest.mark.parametrize("isolation", [READ_UNCOMMITTED, READ_COMMITTED])
@pytest.mark.parametrize("limits", [{}, {"max_records": 2}, {"max_bytes": 25}, {"max_records": 1, "max_bytes": 1}])
@pytest.mark.parametrize("name", sorted(LOGS))
def test_the_same_records_and_the_same_end(
    name: str, limits: dict[str, int], isolation: int, parsed_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "PARSED_AT_ONCE", parsed_at_once)
    records, end = by_aiokafka(LOGS[name], isolation)

    runs, positions = by_us(LOGS[name], isolation, **limits)

    assert flat(runs) == records
    assert positions[-1] == end
    assert all(len(run) <= limits.get("max_records", len(run)) for run in runs)
    for run, position in zip(runs, positions, strict=True):  # each run ends where the next begins
        assert not run or run[-1].offset < position
    assert positions == sorted(positions)


def test_a_batch_that_lies_below_the_position_takes_it_nowhere() -> None:
    assert by_us(batch(2, 2), READ_UNCOMMITTED) == ([[]], [5])


def test_a_record_without_a_timestamp_has_kafkas_number_for_none() -> None:
    record = SimpleNamespace(offset=5, timestamp=None, key=None, value=b"v", headers=[])
    old = OldBatch([record])
    log = SimpleNamespace(has_next=iter([True, False]).__next__, next_batch=lambda: old)

    records, _ = RawRecords(PartitionRecords(TP, log, [], 5, None, None, True, READ_UNCOMMITTED), max_batch_bytes=MAX_BATCH).take(
        **NO_LIMITS
    )

    assert list(records) == [InRecord(5, -1, None, b"v")]


def test_a_run_ends_with_the_record_that_reaches_the_limit_and_begins_with_one_of_any_size() -> None:
    runs, _ = by_us(batch(5, 4, size=100, gaps=2), READ_UNCOMMITTED, max_bytes=150)

    assert [len(run) for run in runs] == [2, 2, 0]


def test_keys_and_headers_count_where_compression_may_make_much_of_little() -> None:
    builder = DefaultRecordBatchBuilder(2, 1, False, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=10**6)
    for i in range(4):
        builder.append(i, 1, b"k" * 80, b"", [("h" * 20, b"x" * 50)])

    runs, _ = by_us(at_offset(bytes(builder.build()), 5), READ_UNCOMMITTED, max_bytes=200)

    assert [len(run) for run in runs] == [2, 2, 0]


@pytest.mark.parametrize("damage", [lambda log: log[:-1] + bytes([log[-1] ^ 1]), lambda log: batch(5, 2) + log[:-1] + b"\x7f"])
def test_a_wrong_checksum_is_raised_and_leaves_a_position_at_which_everything_is_fetched_again(
    damage: Callable[[bytes], bytes],
) -> None:
    raw: Any = RawRecords(fetched(damage(batch(7, 3)), READ_UNCOMMITTED), max_batch_bytes=MAX_BATCH)

    with pytest.raises(CorruptRecordException):
        raw.take(**NO_LIMITS)

    assert raw.next_fetch_offset < 0


def test_what_was_fetched_goes_when_it_was_taken_without_waiting_for_the_collector() -> None:
    fetched = PartitionRecords(TP, MemoryRecords(batch(0, 5)), [], 0, None, None, True, READ_UNCOMMITTED)
    left = weakref.ref(fetched)
    gc.disable()
    try:
        RawRecords(fetched, max_batch_bytes=MAX_BATCH).take(**NO_LIMITS)
        del fetched

        assert left() is None
    finally:
        gc.enable()


CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("limits", [{}, {"max_records": 1}, {"max_bytes": 1}])
def test_a_batch_that_would_be_too_large_is_one_record_for_all_of_its_offsets_between_its_neighbours(
    codec: int, limits: dict[str, int]
) -> None:
    bomb = batch(8, 20, codec=codec, size=1_000)
    log = batch(5, 3, codec=codec) + bomb + batch(28, 2, codec=codec)

    runs, positions = by_us(log, READ_UNCOMMITTED, max_batch_bytes=10_000, **limits)

    before, found, after = flat(runs)[:3], flat(runs)[3], flat(runs)[4:]
    assert [record.offset for record in before + after] == [5, 6, 7, 28, 29]
    assert all(record.refused is None for record in before + after)
    assert (found.offset, found.timestamp_ms, found.value) == (8, 1_027, bomb[61:])
    assert found.refused == RefusedBatch(
        RejectReason.BATCH_TOO_LARGE,
        f"a record batch must have at most 10000 bytes decompressed, has more (compressed {len(bomb) - 61}) (offsets 8 to 27)",
        27,
    )
    assert positions[-1] == 30
    assert flat(by_us(log, READ_UNCOMMITTED)[0]) == by_aiokafka(log, READ_UNCOMMITTED)[0]


def test_an_uncompressed_batch_is_not_held_to_the_limit() -> None:
    runs, _ = by_us(batch(5, 3, size=1_000), READ_UNCOMMITTED, max_batch_bytes=10)

    assert [record.refused for record in flat(runs)] == [None] * 3


def test_of_a_refused_batch_the_rest_is_told_from_where_the_partition_stands() -> None:
    runs, positions = by_us(batch(2, 8, codec=4) + batch(10, 1), READ_UNCOMMITTED, max_batch_bytes=10)
    below, _ = by_us(batch(2, 3, codec=4) + batch(10, 1), READ_UNCOMMITTED, max_batch_bytes=10)

    assert [(record.offset, record.refused and record.refused.last_offset) for record in flat(runs)] == [(5, 9), (10, None)]
    assert positions[-1] == 11
    assert [record.offset for record in flat(below)] == [10]


def broken(kind: str) -> bytes:
    """Return a batch of the offsets 5 to 7 whose checksum is right, and whose content is not."""
    if kind == "cut gzip stream":
        data = bytearray(batch(5, 3, codec=1))
        data[-8:] = bytes(8)
    elif kind == "unknown codec":
        data = bytearray(batch(5, 3))
        data[22] |= 7
    elif kind == "a header's name is no UTF-8":
        data = bytearray(batch(5, 3).replace(b"\x02h\x02x", b"\x02\xff\x02x"))
    elif kind in OFFSET_DELTAS:
        data = bytearray(batch(5, 3))
        for at, delta in zip(offset_deltas_at(data), OFFSET_DELTAS[kind], strict=True):
            data[at] = delta
    else:
        data = bytearray(batch(5, 3))
        data[61] = 0x7E  # the first record's length goes beyond the batch
    return with_checksum(data)


OFFSET_DELTAS = {  # zigzag: n is 2 n, and -n is 2 n - 1
    "an offset behind the batch": (0, 2, 120),
    "an offset before the batch": (1, 2, 4),
    "the same offset twice": (0, 2, 2),
    "offsets that descend": (0, 4, 2),
}
BROKEN = ["cut gzip stream", "unknown codec", "a header's name is no UTF-8", "a record that does not end", *OFFSET_DELTAS]


def offset_deltas_at(data: bytes) -> list[int]:
    """Return where the offset deltas of a small uncompressed batch stand: behind length, attributes and timestamp of a record."""
    found, at = [], 61
    while at < len(data):
        found.append(at + 3)
        at += 1 + data[at] // 2
    return found


@pytest.mark.parametrize("kind", BROKEN)
def test_a_batch_that_nobody_can_read_is_one_record_too_and_the_partition_goes_on(kind: str) -> None:
    runs, positions = by_us(broken(kind) + batch(8, 2), READ_UNCOMMITTED)

    found, *after = flat(runs)
    assert found.refused is not None
    assert (found.offset, found.refused.reason, found.refused.last_offset) == (5, RejectReason.UNREADABLE_BATCH, 7)
    assert [record.offset for record in after] == [8, 9]
    assert positions[-1] == 10


def test_offsets_ascend_from_one_parse_of_a_batch_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "PARSED_AT_ONCE", 2)
    data = bytearray(batch(5, 4))
    data[offset_deltas_at(data)[2]] = 2  # the third record has the offset of the second

    runs, positions = by_us(with_checksum(data) + batch(9, 1), READ_UNCOMMITTED)

    assert [(record.offset, record.refused is not None) for record in flat(runs)] == [(5, False), (6, False), (7, True), (9, False)]
    assert positions[-1] == 10


def test_what_a_broken_batch_holds_before_its_defect_is_the_same_wherever_it_is_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "PARSED_AT_ONCE", 2)
    data = bytearray(batch(5, 6).replace(b"\x02h\x02x", b"\x02\xff\x02x"))  # of the third record, at 7
    log = with_checksum(data) + batch(11, 1)

    def told(position: int) -> list[tuple[int, bool]]:
        raw = RawRecords(PartitionRecords(TP, MemoryRecords(log), [], position, None, None, True, 0), max_batch_bytes=MAX_BATCH)
        return [(record.offset, record.refused is not None) for record in raw.take(**NO_LIMITS)[0]]

    assert told(5) == [(5, False), (6, False), (7, True), (11, False)]
    assert told(6) == told(5)[1:]
    assert told(7) == told(5)[2:]
    assert told(11) == told(5)[3:]


def old_batch(base: int, n: int, codec: int, size: int, magic: int) -> bytes:
    """Return records of message format 0 or 1, compressed into one that has the offset of the last."""
    builder = LegacyRecordBatchBuilder(magic, codec, 10**7)
    for i in range(n):
        builder.append(base + i if magic == 0 else i, 1_000 + i, None, b"v" * size)
    return at_offset(bytes(builder.build()), base + n - 1)


@pytest.mark.parametrize(("magic", "codec"), [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)])
def test_batches_of_old_formats_are_held_to_the_limit_too(magic: int, codec: int) -> None:
    log = old_batch(5, 3, codec, 10, magic) + old_batch(8, 20, codec, 5_000, magic) + old_batch(28, 2, codec, 10, magic)

    runs, positions = by_us(log, READ_UNCOMMITTED, max_batch_bytes=20_000)

    told = [(record.offset, record.refused and record.refused.last_offset) for record in flat(runs)]
    assert told == [(5, None), (6, None), (7, None), (8, 27), (28, None), (29, None)]
    assert positions[-1] == 30
    assert flat(by_us(log, READ_UNCOMMITTED)[0]) == by_aiokafka(log, READ_UNCOMMITTED)[0]
