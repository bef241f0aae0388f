"""Columns and the scalar path agree to the byte: partials, dead letters, reasons, counts, for whatever arrives, however cut."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.contracts.codec import encode
from pipeline.contracts.config import IngestConfig, OverLimit
from pipeline.contracts.histogram import MAX_BUCKETS, Histogram
from pipeline.contracts.partials import Bundle, Partial
from pipeline.contracts.records import InRecord, InRecords, OutRecord
from pipeline.ingest import histogram_columns
from pipeline.ingest.agents import SLICE
from pipeline.ingest.dead_letters import letter_of
from pipeline.ingest.decoders import decode, decode_run, repeats, request_columns
from pipeline.ingest.decoders.request_columns import SeriesIndex
from pipeline.ingest.histogram_columns import add_all
from pipeline.ingest.reduce import PartialKey, fold
from pipeline.ingest.reduce_columns import ChunkFold
from pipeline.ingest.source import Owner, ReadCounts, SourceParams, SourceReader
from tests.poison import ABSENT, METRICS, change, gauge, log, poison, request, summary

NOW_MS = 1_767_571_210_000
SOURCE = f"{METRICS}/0"
SMALL = IngestConfig(max_operations=2, max_versions=1, max_records_per_message=3, max_message_bytes=2_000)
EVICTING = replace(SMALL, names_over_limit="evict", max_versions=2)
CONFIGS = st.sampled_from(
    [
        IngestConfig(),
        SMALL,
        EVICTING,
        IngestConfig(max_operations=3, names_over_limit="evict", services_over_limit="evict"),
        IngestConfig(max_depth=1),
        IngestConfig(earliest_time_ms=0, max_text_length=8),
    ]
)
OWNER = Owner(now_ms=NOW_MS, generation=1, is_caught_up=False, heard_ms=NOW_MS, partitions={METRICS: 1}, n_targets=1)


def told(config: IngestConfig, records: Sequence[InRecord]) -> tuple[list[bytes], list[OutRecord], ReadCounts]:
    """Return what the scalar path says of records: partials in order of their first reading, dead letters, counts."""
    partials: dict[PartialKey, Partial] = {}
    letters: list[OutRecord] = []
    counts = ReadCounts()
    for record in records:
        decoded = decode(config, METRICS, record)
        counts.n_records += 1
        counts.n_readings += len(decoded.readings)
        counts.n_ignored += decoded.n_ignored
        for reading in decoded.readings:
            fold(partials, reading, config)
        for rejection in decoded.rejections:
            n = counts.n_rejected_by_reason.get(rejection.reason.value, 0)
            counts.n_rejected_by_reason[rejection.reason.value] = n + 1
        if decoded.rejections:
            letters.append(letter_of(source=SOURCE, record=record, decoded=decoded, config=config, config_hash=config.hash))
    return [encode(partial) for partial in partials.values()], letters, counts


def read(config: IngestConfig, records: Sequence[InRecord], cut: int) -> tuple[list[bytes], list[OutRecord], ReadCounts]:
    """Return what a reader says of the same records, taken ``cut`` at a time."""
    params = SourceParams(header_ms=2**40, delay_ms=2**40, caps_watermark=False, max_bundle_bytes=2**30)
    source = SourceReader(config=config, params=params, source=SOURCE, epoch=0, position=0, watermark_ms=None)
    source.tick(OWNER)  # the first header, so that nothing else is said before the end
    letters: list[OutRecord] = []
    partials: dict[PartialKey, bytes] = {}
    counts = ReadCounts()
    for at in range(0, len(records), cut):
        outcome = source.read(records[at : at + cut], OWNER)
        letters += [output for output in outcome.outputs if output.topic == "dead-letters"]
        for output in outcome.outputs:
            if output.topic == "partials":
                keep(partials, output)
        counts.n_records += outcome.counts.n_records
        counts.n_readings += outcome.counts.n_readings
        counts.n_ignored += outcome.counts.n_ignored
        for reason, n in outcome.counts.n_rejected_by_reason.items():
            counts.n_rejected_by_reason[reason] = counts.n_rejected_by_reason.get(reason, 0) + n
    for output in source.rest(OWNER):
        keep(partials, output)
    return list(partials.values()), letters, counts


def keep(partials: dict[PartialKey, bytes], output: OutRecord) -> None:
    for partial in msgspec.json.decode(output.value or b"", type=Bundle).partials:
        partials[f"{partial.environment}/{partial.service}", partial.start_ms, partial.size_ms] = encode(partial)


def assert_same(config: IngestConfig, records: Sequence[InRecord], cut: int) -> None:
    partials, letters, counts = told(config, records)
    found_partials, found_letters, found_counts = read(config, records, cut)

    assert found_counts == counts
    assert found_letters == letters
    assert sorted(found_partials) == sorted(partials)
    if cut >= len(records):
        assert found_partials == partials  # in one flush they stand in order of their first reading


def in_records(values: Sequence[bytes | None]) -> list[InRecord]:
    return [InRecord(offset, NOW_MS, b"k", value, (("h", None),)) for offset, value in enumerate(values)]


# --- messages

NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.sampled_from([0, -0.0, 1.0, 2.0, 64, 1e10, 1.0000001e10, 5e-324, 2**62, 2**63, 2**64, 10**400, 10**4000]),
)
LATENCIES = st.one_of(st.floats(0, 1e10), st.integers(0, 10**10), st.sampled_from([2.0**e for e in range(-40, 33)]))
DURATIONS = st.one_of(LATENCIES, LATENCIES, NUMBERS)
TIMES = st.one_of(
    st.integers(NOW_MS - 40_000, NOW_MS + 61_000),
    st.integers(NOW_MS - 40_000, NOW_MS).map(lambda ms: ms / 1000),
    st.floats(NOW_MS / 1000 - 40, NOW_MS / 1000),
    st.integers(NOW_MS - 40_000, NOW_MS).map(lambda ms: ms // 1000),
    st.integers(NOW_MS * 10**6 - 10**10, NOW_MS * 10**6),
    st.integers(NOW_MS * 10**3 - 10**8, NOW_MS * 10**3),
    st.sampled_from(["2026-01-05T00:00:09.5Z", "2026-01-05T00:00:10", "1767571210", 2**62, -5, 0, None, True]),
    NUMBERS,
)
TEXTS = st.one_of(
    st.sampled_from(["cart", "shop", "GET /", "é", "", " ", "a/b", "x" * 300, "\ud800", "\t", "\u2028", "other"]),
    st.text(max_size=5),
)
ANYTHING = st.one_of(TEXTS, NUMBERS, st.none(), st.booleans(), st.just([]), st.just({"a": [{}]}))
FIELDS = {
    "kind": st.sampled_from(["request"] * 8 + ["gauge", "summary", "", None, 3]),
    "service": TEXTS,
    "environment": st.one_of(st.none(), TEXTS),
    "operation": st.one_of(st.none(), TEXTS),
    "version": st.one_of(st.none(), TEXTS),
    "instance": st.one_of(st.none(), TEXTS),
    "time": TIMES,
    "duration_ms": DURATIONS,
    "status": st.one_of(st.integers(99, 601), st.sampled_from(["ok", "error", "200", None, 200.0, 200.5, True, 10**30])),
    "error": st.sampled_from([True, False, None, 0, "true"]),
    "body": ANYTHING,
    "trace_id": st.sampled_from(["a1", "b2", "<", 7, None]),
}


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A sound request, with up to two fields set to something else or left out."""
    record = request(
        draw(st.integers(NOW_MS - 25_000, NOW_MS)),
        service=draw(st.sampled_from(["cart", "shop"])),
        operation=draw(st.sampled_from(["GET /", "POST /", "PUT /", ABSENT])),
        version=draw(st.sampled_from(["1", "2", ABSENT])),
        duration_ms=draw(st.floats(0, 1e6)),
        status=draw(st.sampled_from([200, 200, 500, "ok", "error"])),
    )
    for name in draw(st.lists(st.sampled_from([*FIELDS]), max_size=2)):
        if draw(st.integers(0, 4)):
            record[name] = draw(FIELDS[name])
        else:
            record.pop(name, None)
    return record


OTHERS = st.sampled_from(
    [
        gauge(NOW_MS, service="cart"),
        summary(NOW_MS - 1, service="cart", operation="GET /"),
        log(NOW_MS, service="shop"),
        log(NOW_MS, service="cart", status=500, duration_ms=0.1, operation="POST /"),
        log(NOW_MS, service="cart", status=200, operation="DELETE /"),
        change(NOW_MS, service="cart"),
    ]
)
RECORDS = st.one_of(requests(), requests(), requests(), OTHERS)


@st.composite
def twice_keyed(draw: st.DrawFn) -> bytes:
    """A request in which one key stands twice."""
    name = draw(st.sampled_from([*FIELDS]))
    text = json.dumps(draw(requests()))
    return f"{text[:-1]}, {json.dumps(name)}: {json.dumps(draw(FIELDS[name]))}}}".encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with bytes changed, lost, or put in."""
    value = bytearray(json.dumps(draw(requests()), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                value[at] = draw(st.integers(0, 255))
            case 1:
                del value[at : at + draw(st.integers(1, 5))]
            case _:
                value[at:at] = draw(st.sampled_from([b"{", b"}", b"[", b"]", b",", b'"', b"\\", b" ", b"0", b"-", b"e9", b"\xff"]))
        if not value:
            break
    return bytes(value)


def spelled(record: object) -> bytes:
    return json.dumps(record).encode()


MESSAGES = st.one_of(
    RECORDS.map(spelled),
    RECORDS.map(spelled),
    RECORDS.map(lambda record: json.dumps(record, indent=1).encode()),
    st.lists(RECORDS, max_size=5).map(spelled),
    twice_keyed(),
    damaged(),
    st.sampled_from([None, b"", b" ", b"null", b"[]", b"{}", b"[{}]", b'{"a":1},{"b":2}', b"x" * 3_000]),
)


@given(CONFIGS, st.lists(MESSAGES, max_size=12), st.integers(1, 12))
def test_a_few_messages_of_any_kind(config: IngestConfig, values: list[bytes | None], cut: int) -> None:
    assert_same(config, in_records(values), cut)


@given(CONFIGS, st.lists(MESSAGES, min_size=1, max_size=6), st.data())
def test_messages_of_any_kind_among_many_that_are_certain(
    config: IngestConfig, values: list[bytes | None], data: st.DataObject
) -> None:
    chance = data.draw(st.randoms(use_true_random=False))
    crowd: list[bytes | None] = [
        spelled(
            request(
                NOW_MS - chance.randrange(25_000),
                service=chance.choice(["cart", "shop", "til"]),
                operation=chance.choice(["GET /", "POST /", "PUT /"]),
                version=chance.choice(["1", "2", ABSENT]),
                duration_ms=chance.choice([0, 1, 2.5, chance.lognormvariate(3, 2)]),
                status=chance.choice([200, 200, 200, 503]),
            )
        )
        for _ in range(150)
    ]
    for value in values:
        crowd.insert(chance.randrange(len(crowd)), value)

    assert_same(config, in_records(crowd), data.draw(st.sampled_from([1_000, 90, 60])))


PHASES = st.lists(
    st.tuples(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=4, unique=True), st.integers(1, 120)),
    min_size=1,
    max_size=6,
)


def in_phases(phases: Sequence[tuple[Sequence[str], int]], chance: Random, others: float) -> list[bytes | None]:
    """Return requests that name a few operations and versions for a while, then others, and now and then something else."""
    values: list[bytes | None] = []
    for names, n in phases:
        for _ in range(n):
            name = chance.choice([*names, ABSENT, "other"] if chance.random() < 0.2 else names)
            about: dict[str, Any] = {"service": chance.choice(["cart", "shop"]), "operation": name}
            values.append(spelled(request(NOW_MS - chance.randrange(12_000), duration_ms=chance.random(), version=name, **about)))
            if chance.random() < others:
                values.append(spelled(log(NOW_MS, service="cart", status=200, operation=chance.choice("abcdefg"))))
                values.append(spelled(gauge(NOW_MS, service="cart", resource=chance.choice("pqrs"))))
    return values


@pytest.mark.parametrize("services_over_limit", ["other", "evict"])
@given(PHASES, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.01]), st.sampled_from([1_000, 130, 60]))
def test_the_least_recently_used_makes_room_for_columns_as_one_by_one(
    services_over_limit: OverLimit, phases: list[tuple[list[str], int]], chance: Random, others: float, cut: int
) -> None:
    config = IngestConfig(
        max_operations=5, max_versions=4, max_resources=2, names_over_limit="evict", services_over_limit=services_over_limit
    )

    assert_same(config, in_records(in_phases(phases, chance, others)), cut)


def test_columns_are_left_only_where_somebody_has_to_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[str] = []
    for name in ("_add_columns", "_one_by_one"):
        way = getattr(ChunkFold, name)
        monkeypatch.setattr(ChunkFold, name, lambda *given, way=way, name=name: (ways.append(name), way(*given))[1])
    values = in_phases([("abc", 100), ("cde", 100), ("ef", 100), ("ef", 100), ("ab", 100), ("ab", 100)], Random(1), 0.0)

    assert_same(IngestConfig(max_operations=5, names_over_limit="evict", max_versions=5), in_records(values), 100)

    assert ways == ["_add_columns", "_add_columns", "_one_by_one", "_add_columns", "_one_by_one", "_add_columns"]


NUMERALS = st.one_of(
    st.from_regex(r"\A[0-9]{1,17}(\.[0-9]{1,17})?\Z"), st.from_regex(r"\A-?[0-9]{1,3}(\.[0-9]{0,3})?([eE][-+]?[0-9]{1,2})?\Z")
)
"""Numbers, as JSON has them and as it does not."""
RECENT = st.one_of(st.integers(NOW_MS - 40_000, NOW_MS), st.integers(NOW_MS - 40_000, NOW_MS).map(lambda ms: ms / 1000))
SHORT = st.one_of(st.integers(0, 2_000), st.integers(0, 10**7).map(lambda micros: micros / 1000))
STATUSES = st.sampled_from([200, 200, 404, 500, 99, 600])
ENDINGS = st.sampled_from(
    [
        (("time", RECENT), ("duration_ms", SHORT), ("status", STATUSES)),
        (("time", RECENT), ("duration_ms", SHORT), ("status", STATUSES)),
        (("duration_ms", SHORT), ("status", STATUSES), ("time", RECENT)),
        (("time", RECENT), ("duration_ms", SHORT), ("duration_ms", SHORT), ("status", STATUSES)),
        (("time", RECENT), ("duration_ms", SHORT), ("duration_ms", SHORT)),
    ]
)
HEAD = '"kind":"request","service":"cart","operation":"GET /"'
HEADS = st.sampled_from(
    [
        *[HEAD] * 4,
        '"kind":"request","service":"cart","operation":"GET /1"',
        '"kind": "request", "service": "shop", "version": "\\u00e9"',
        '"kind":"request","service":"shop","version":null',
        '"kind":"request","service":"cart","status":"error"',
        '"kind":"request","service":"cart","error":true',
        '"kind":"request","service":"cart","time":5,"duration_ms":"x"',
        '"kind":"request","service":"cart","time":5,"duration_ms":6',
        '"kind":"request","service":"cart","x":"a',
        '"kind":"request","service":"cart","operation":["a"',
        '"kind":"gauge","service":"cart"',
        '"kind":"request","service":""',
        '"kind":"request"',
        "",
    ]
)


@st.composite
def alike(draw: st.DrawFn) -> bytes:
    """A message that ends in numbers."""
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (",\n", " : "), (",\v", ":")]))
    fields = []
    for name, value in draw(ENDINGS):
        is_odd = draw(st.integers(0, 9)) == 0
        fields.append(f'"{name}"{colon}{draw(NUMERALS) if is_odd else json.dumps(draw(value))}')
    text = f"{{{draw(HEADS)}{comma}{comma.join(fields)}}}"
    return draw(st.sampled_from([text] * 8 + [text + " ", text[1:], f"[{text}]", text + text])).encode()


def assert_repeats_are_the_same(config: IngestConfig, values: list[bytes | None], cut: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "LEAST", 1)
        patch.setattr(repeats, "FEW", 0)

        assert_same(config, in_records([*values, *values]), cut)


@given(CONFIGS, st.lists(st.one_of(alike(), alike(), alike(), MESSAGES), min_size=2, max_size=24), st.integers(2, 24))
def test_messages_that_repeat_one_another_in_part(config: IngestConfig, values: list[bytes | None], cut: int) -> None:
    assert_repeats_are_the_same(config, values, cut)


@pytest.mark.parametrize(
    "odd",
    [
        '{%s,"time":1767571209.125,"duration_ms":1234.5,"status":600}',
        '{%s,"time":1767571209.125,"duration_ms":1234.5,"status":099}',
        '{%s,"time":1767571209.125,"duration_ms":1234.5,"status":200.5}',
        '{%s,"time":1767571209.125,"duration_ms":0234.5,"status":200}',
        '{%s,"time":1767571209.125,"duration_ms":9863.965753791867,"status":200}',  # its digits are a number that no float holds
        '{%s,"time":1767571209125,"duration_ms":1234,"status":500}',
        '{%s,"time":1767571209125.5,"duration_ms":1234.5,"status":200}',
        '{%s,"tyme":1767571209.125,"duration_ms":1234.5,"status":200}',
        '{%s,"error":true,"time":1767571209.125,"duration_ms":1234.5,"status":200}',
        '{%s,\v"time":1767571209.125,"duration_ms":1234.5,"status":200}',
        '{%s ,\n"time": 1767571209.125,"duration_ms":1234.5,"status":200\t}',
        '{%s,"version":"1.2.3.4.5.6.7.8.9","time":1767571209.125,"duration_ms":1234.5,"status":200}',
    ],
)
def test_what_repeats_all_but_for_something(odd: str) -> None:
    plain = '{%s,"time":1767571209.125,"duration_ms":1234.5,"status":200}'
    values: list[bytes | None] = [(text % HEAD).encode() for text in (plain, odd, plain)]

    assert_repeats_are_the_same(IngestConfig(max_message_bytes=140), values, 3)


def numbers_last(at: int, operation: str) -> bytes:
    numbers = {"time": NOW_MS / 1000 - at % 999 / 1000, "duration_ms": at % 90 / 8, "status": 200}
    return spelled({"kind": "request", "service": "cart", "operation": operation} | numbers)


def test_requests_that_repeat_one_another_are_recognised() -> None:
    values: list[bytes | None] = [numbers_last(at, f"GET /{at % 7}") for at in range(repeats.LEAST)]
    values[99] = spelled(gauge(NOW_MS))

    run = SeriesIndex(256).repeats.read(values, 1_000)

    assert run is not None
    assert np.count_nonzero(run.series < 0) < repeats.LEAST / 4
    assert run.series[99] == -1
    assert run.duration_ms[5] == 0.625
    assert_same(IngestConfig(), in_records(values), len(values))


def test_what_a_worker_reads_at_once_may_be_recognised() -> None:
    assert SLICE <= repeats.MOST


def test_runs_of_which_little_repeats_are_left_alone_for_a_while() -> None:
    index = SeriesIndex(256)
    values: list[bytes | None] = [numbers_last(at, f"GET /{at}") for at in range(4 * repeats.LEAST)]

    runs = [index.repeats.read(values[at : at + repeats.LEAST], 1_000) for at in range(0, len(values), repeats.LEAST)]

    assert [run is None for run in runs] == [False, False, False, True]


def test_odd_texts_of_one_sender_do_not_keep_the_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_MAX_HEADS", 64)
    index = SeriesIndex(256)
    odd: list[bytes | None] = [numbers_last(at, f"GET /{at}") for at in range(repeats.LEAST)]
    plain: list[bytes | None] = [numbers_last(at, "GET /") for at in range(repeats.LEAST)]

    index.repeats.read(odd, 1_000)
    n_heads = len(index.repeats._series_by_head)
    run = index.repeats.read(plain, 1_000)

    assert n_heads <= 66
    assert run is not None
    assert np.count_nonzero(run.series >= 0) > repeats.LEAST / 2


def test_runs_of_which_most_is_known_are_not_left_alone_for_what_never_is() -> None:
    index = SeriesIndex(256)
    values: list[bytes | None] = [numbers_last(at, "GET /") for at in range(repeats.LEAST)]
    values[::3] = [(value or b"").replace(b'"kind"', b'"error":false,"kind"') for value in values[::3]]

    runs = [index.repeats.read(values, 1_000) for _ in range(6)]

    assert None not in runs


def test_what_is_read_of_a_head_is_all_that_a_request_says_but_for_its_numbers() -> None:
    read = {"kind", "environment", "service", "version", "operation", "instance", "error"}

    assert {field.name for field in msgspec.structs.fields(request_columns._Known)} == read | {"time", "duration_ms", "status"}


def test_every_poison_that_we_know() -> None:
    poisons = [one for one in poison(NOW_MS) if one.topic == METRICS]
    records = [InRecord(at, one.timestamp_ms, one.key, one.value, one.headers) for at, one in enumerate(poisons)]

    assert_same(IngestConfig(), records, len(records))


@pytest.mark.parametrize(
    "value",
    [
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":200,"x":%s}' % (NOW_MS, b"1" * 5_000),
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":200,"x":1e999}' % NOW_MS,
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":200,"x":"\xff"}' % NOW_MS,
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":200,"x":"\\ud800"}' % NOW_MS,
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":200,"x":%s}' % (NOW_MS, b"[" * 40 + b"]" * 40),
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":200,"kind":"gauge"}' % NOW_MS,
        b'{"kind":"request","service":"a","time":18446744073709551616000000000,"duration_ms":1,"status":200}',
        b'{"kind":"request","service":"a","time":%s,"duration_ms":1,"status":200}' % (b"1" * 5_000),
        b'{"kind":"request","service":"a","time":%d,"duration_ms":%s,"status":200}' % (NOW_MS, b"1" * 5_000),
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":%s}' % (NOW_MS, b"1" * 5_000),
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":99,"error":true}' % NOW_MS,
        b'{"kind":"request","service":"a","time":%d,"duration_ms":1,"status":500,"error":false}' % NOW_MS,
    ],
)
def test_what_a_typed_parser_takes_otherwise(value: bytes) -> None:
    assert_same(IngestConfig(), in_records([value]), 1)


def test_sums_of_floats_are_made_in_the_order_of_the_log_whoever_adds_to_them() -> None:
    latencies = [1e9 / 3, *(0.1 * at for at in range(150))]
    values: list[bytes | None] = [spelled(request(NOW_MS, duration_ms=latency)) for latency in latencies]
    values.insert(75, spelled(log(NOW_MS, duration_ms=1e8 / 7)))
    values.insert(99, spelled([request(NOW_MS, duration_ms=1e8 / 9), gauge(NOW_MS)]))

    assert_same(IngestConfig(), in_records(values), len(values))
    assert_same(IngestConfig(), in_records(values), 55)


def test_plain_requests_go_as_columns() -> None:
    values: list[bytes | None] = [
        spelled(request(NOW_MS)),
        spelled(request(NOW_MS, instance="i-1", error=False)),
        spelled(request(NOW_MS, user="abc")),
        spelled([request(NOW_MS), request(NOW_MS / 1000)]),
        spelled(request("2026-01-05T00:00:09.5Z")),  # type: ignore[arg-type]
    ]

    run = decode_run(IngestConfig(), METRICS, InRecords.of(in_records(values)), SeriesIndex(256))

    assert run.requests.message.tolist() == [0, 1, 2, 3, 3, 4]
    assert (run.others, run.refused) == ([], [])


def test_a_request_with_a_trace_id_goes_alone_unless_none_is_kept() -> None:
    records = InRecords.of(in_records([spelled(request(NOW_MS, trace_id="abc"))]))

    assert len(decode_run(IngestConfig(), METRICS, records, SeriesIndex(256)).requests) == 0
    assert len(decode_run(IngestConfig(max_exemplars=0), METRICS, records, SeriesIndex(256)).requests) == 1


def test_a_message_of_which_one_record_is_refused_is_left_to_the_scalar_path_whole() -> None:
    values: list[bytes | None] = [spelled(request(NOW_MS)), spelled([request(NOW_MS), request(NOW_MS, duration_ms=-1)])]

    run = decode_run(IngestConfig(), METRICS, InRecords.of(in_records(values)), SeriesIndex(256))

    assert run.requests.message.tolist() == [0]
    assert [at for at, _ in run.others] == [at for at, _ in run.refused] == [1]


# --- histograms


@given(st.lists(st.tuples(st.integers(0, 3), LATENCIES), max_size=60))
@example([(e % 4, 2.0**e) for e in range(-1_074, 34)])
@example([(e % 4, math.nextafter(2.0 ** (e / 32), side)) for e in range(-640, 480) for side in (0, math.inf)])
@example([(e % 4, 2.0 ** (e / 32)) for e in range(-640, 480)])
def test_adding_at_once_is_adding_one_by_one(values: list[tuple[int, float]]) -> None:
    one_by_one, at_once = ([Histogram(sum=0.1, counts={7: 1}) for _ in range(4)] for _ in range(2))
    for which, value_ms in values:
        one_by_one[which].add(value_ms)

    add_all(at_once, np.array([which for which, _ in values], np.int64), np.array([v for _, v in values], np.float64))

    assert [encode(histogram) for histogram in at_once] == [encode(histogram) for histogram in one_by_one]


def test_a_histogram_that_has_to_be_made_coarser_on_the_way_is_the_same_too() -> None:
    values = [2.0 ** (at / 32 + 0.01) for at in range(-1_000, 200)]
    one, other = Histogram(), Histogram()
    for value_ms in values:
        one.add(value_ms)

    add_all([other], np.zeros(len(values), np.int64), np.array(values))

    assert one.scale < Histogram().scale
    assert len(one.counts) <= MAX_BUCKETS
    assert encode(other) == encode(one)


@pytest.mark.parametrize("error", [1e-14, -1e-14])
def test_another_machines_logarithm_decides_no_bucket(monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    log2 = np.log2
    monkeypatch.setattr(histogram_columns.np, "log2", lambda values: log2(values) + error)

    test_adding_at_once_is_adding_one_by_one.hypothesis.inner_test(  # type: ignore[attr-defined]
        [(e % 4, math.nextafter(2.0 ** (e / 32), side)) for e in range(-640, 480) for side in (0, math.inf)]
    )
