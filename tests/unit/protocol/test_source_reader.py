import json
from typing import Any

import pytest

from pipeline.contracts.codec import decode
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.dead_letters import HEADER, DeadLetter
from pipeline.contracts.keys import partition_for
from pipeline.contracts.partials import Bundle
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.ingest.source import Owner, SourceParams, SourceReader

T0 = 1_700_000_100_000
SOURCE = "telemetry.metrics/3"


def record(offset: int, at_ms: int, service: str = "cart", value: bytes | None = None) -> InRecord:
    request = {"kind": "request", "service": service, "time": T0 + at_ms, "duration_ms": 5, "status": 200}
    return InRecord(offset, T0 + at_ms, None, value or json.dumps(request).encode(), (("trace", b"1"),))


def owner(now_ms: int, *, is_caught_up: bool = False, heard_ms: int = 0, n_targets: int = 1, generation: int = 7) -> Owner:
    return Owner(
        now_ms=T0 + now_ms,
        generation=generation,
        is_caught_up=is_caught_up,
        heard_ms=T0 + heard_ms,
        partitions={"telemetry.metrics": 4},
        n_targets=n_targets,
    )


def reader(config: IngestConfig | None = None, **params: Any) -> SourceReader:
    return SourceReader(
        config=config or IngestConfig(), params=SourceParams(**params), source=SOURCE, epoch=2, position=10, watermark_ms=None
    )


def bundles(outputs: list[OutRecord]) -> list[Bundle]:
    return [decode(o.value or b"", Bundle) for o in outputs if o.topic == "partials"]


def test_a_chunk_ends_before_the_record_that_is_too_many_and_the_rest_waits() -> None:
    source = reader(IngestConfig(chunk_records=2))

    outcome = source.read([record(10, 0), record(14, 10), record(15, 20)], owner(5_000))

    assert outcome.n_read == 2
    assert outcome.chunk_end is not None
    assert (outcome.chunk_end.next_offset, outcome.chunk_end.watermark_ms, outcome.chunk_end.epoch) == (15, T0 + 10, 2)
    (bundle,) = bundles(outcome.outputs)
    assert (bundle.chunk, bundle.through, bundle.partials[0].readings) == (10, 14, 2)
    with pytest.raises(ValueError, match="begin the next one"):
        source.read([record(15, 20)], owner(5_000))


def test_a_chunk_ends_by_record_time_wherever_the_batches_are_cut() -> None:
    records = [record(10 + i, i * 400) for i in range(12)]
    config = IngestConfig(chunk_ms=1_000)

    def cuts(batch: int) -> list[int]:
        source, left, ends = reader(config), records, []
        while left:
            outcome = source.read(left[:batch], owner(60_000))
            left = left[outcome.n_read :]
            if outcome.chunk_end is not None:
                ends.append(outcome.chunk_end.next_offset)
                source.begin_chunk(config)
        return ends

    assert cuts(1) == cuts(5) == cuts(12) == [13, 16, 19]


def test_a_flush_carries_all_that_its_chunk_holds_of_what_was_touched() -> None:
    source = reader()
    source.read([record(10, 0, "cart"), record(11, 0, "shop")], owner(100))

    source.read([record(12, 13_000)], owner(13_000))
    source.read([record(13, 50, "cart")], owner(13_100))
    (bundle,) = bundles(source.tick(owner(14_000)))

    assert [(p.service, p.readings) for p in bundle.partials] == [("cart", 2)]
    assert (bundle.chunk, bundle.through) == (10, 13)


def test_what_a_window_holds_waits_until_the_window_is_over() -> None:
    source = reader()
    source.read([record(10, 0, "cart")], owner(0))

    (header,) = bundles(source.tick(owner(1_000)))
    (over,) = bundles(source.read([record(11, 13_000, "shop")], owner(13_000)).outputs)

    assert (header.through, header.partials) == (10, [])
    assert (over.through, [p.service for p in over.partials]) == (11, ["cart"])


def test_a_source_that_becomes_idle_holds_nothing_back_because_its_windows_may_close_without_it() -> None:
    source = reader()
    source.read([record(10, 0, "cart")], owner(0))

    (idle,) = bundles(source.tick(owner(6_000, is_caught_up=True)))

    assert (idle.idle, [p.service for p in idle.partials]) == (True, ["cart"])
    assert not source.holds_back


def test_of_a_log_that_is_gone_all_that_was_held_back_is_said() -> None:
    source = reader()
    source.read([record(10, 0, "cart")], owner(0))

    (rest,) = bundles(source.rest(owner(100)))

    assert [p.service for p in rest.partials] == ["cart"]
    assert source.rest(owner(200)) == []


def test_every_target_hears_the_header_at_least_once_a_second() -> None:
    source = reader()
    source.tick(owner(0, n_targets=3))

    assert source.tick(owner(999, n_targets=3)) == []
    assert [o.partition for o in source.tick(owner(1_000, n_targets=3))] == [0, 1, 2]


def test_a_source_is_idle_only_when_caught_up_and_its_header_then_carries_the_time_since() -> None:
    source = reader()
    source.read([record(10, 0)], owner(0))

    (busy,) = bundles(source.tick(owner(6_000, is_caught_up=False, heard_ms=0)))
    (idle,) = bundles(source.tick(owner(7_000, is_caught_up=True, heard_ms=0)))

    assert (busy.idle, busy.watermark_ms) == (False, T0)
    assert (idle.idle, idle.watermark_ms) == (True, T0 + 7_000)


def test_a_partition_that_is_empty_is_idle_as_soon_as_that_is_known() -> None:
    source = reader()

    (unknown,) = bundles(source.tick(owner(0)))
    (empty,) = bundles(source.tick(owner(1_000, is_caught_up=True)))
    source.read([record(10, 1_100)], owner(1_200))
    (heard,) = bundles(source.tick(owner(2_200, is_caught_up=True, heard_ms=1_200)))

    assert [(bundle.idle, bundle.watermark_ms) for bundle in (unknown, empty)] == [(False, None), (True, None)]
    assert (heard.idle, heard.watermark_ms) == (False, T0 + 1_100)


def test_that_a_source_is_idle_is_said_at_once_and_again_to_a_new_generation() -> None:
    source = reader()
    source.tick(owner(0))

    (empty,) = bundles(source.tick(owner(250, is_caught_up=True)))
    known = source.tick(owner(500, is_caught_up=True))
    (again,) = bundles(source.tick(owner(750, is_caught_up=True, generation=8)))

    assert [(bundle.idle, bundle.generation) for bundle in (empty, again)] == [(True, 7), (True, 8)]
    assert known == []


def test_a_record_from_the_future_does_not_move_the_watermark_past_the_clock() -> None:
    source = reader()

    source.read([record(10, 0), record(11, 20_000, value=b"[]")], owner(500))
    (bundle,) = bundles(source.tick(owner(2_000)))

    assert bundle.watermark_ms == T0 + 500


def test_a_bundle_that_grows_too_large_is_split_with_the_new_watermark_in_the_last_part() -> None:
    source = reader(max_bundle_bytes=900)
    source.read([record(10, 0)], owner(0))

    source.read([record(11 + i, 100, f"service-{i}") for i in range(9)], owner(200))
    parts = bundles(source.read([record(20, 13_000, "shop")], owner(13_000)).outputs)

    assert len(parts) > 1
    assert {part.watermark_ms for part in parts[:-1]} == {T0}
    assert parts[-1].watermark_ms == T0 + 13_000
    assert sorted(p.service for part in parts for p in part.partials) == ["cart", *(f"service-{i}" for i in range(9))]


def test_partials_go_to_the_partition_of_their_service() -> None:
    source = reader()
    source.tick(owner(0, n_targets=4))

    source.read([record(10 + i, 0, f"s{i}") for i in range(20)], owner(10, n_targets=4))
    outputs = source.tick(owner(6_000, is_caught_up=True, n_targets=4))

    assert sum(len(bundle.partials) for bundle in bundles(outputs)) == 20
    for output in outputs:
        for partial in decode(output.value or b"", Bundle).partials:
            assert partition_for(f"default/{partial.service}", 4) == output.partition


def test_a_rejected_record_becomes_the_same_dead_letter_whenever_it_is_read() -> None:
    bad = record(10, 0, value=b"[" + b",".join([b'{"kind": 1}'] * 150) + b"]")

    first = reader().read([bad], owner(0))
    again = reader().read([bad], owner(9_000))

    (letter,) = [o for o in first.outputs if o.topic == "dead-letters"]
    assert [letter] == [o for o in again.outputs if o.topic == "dead-letters"]
    assert (letter.key, letter.value, letter.headers[0]) == ("telemetry.metrics/3/10", bad.value, ("trace", b"1"))
    told = decode(dict(letter.headers)[HEADER] or b"", DeadLetter)
    assert (told.n_rejected, len(told.rejections), told.n_records) == (150, 100, 150)
    assert sum(first.counts.n_rejected_by_reason.values()) == 150


def test_a_record_below_the_position_is_passed_over() -> None:
    source = reader()

    outcome = source.read([record(8, 0), record(10, 0)], owner(0))

    assert (outcome.n_read, outcome.counts.n_records, source.position) == (2, 1, 11)
