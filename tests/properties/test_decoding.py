"""Whatever arrives, decoding does not raise, and each record is exactly one of reading, rejection, ignored."""

import json
import math
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.contracts.codec import decode as read_back
from pipeline.contracts.codec import encode
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.partials import Partial
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.ingest.decoders.claims import claimed_origin
from pipeline.ingest.reduce import PartialKey, fold
from tests.poison import ABSENT, CHANGES, METRICS, change, gauge, log, request, summary

NOW_MS = 1_767_571_210_000
CONFIG = IngestConfig(max_records_per_message=50)

TOPICS = st.sampled_from([METRICS, CHANGES])
SOUND = [
    request(NOW_MS),
    request(NOW_MS, status=ABSENT, error=True),
    summary(NOW_MS),
    summary(NOW_MS, latency_ms={"bounds": [1, 10.5], "counts": [1, 1, 1], "sum": 20}),
    summary(NOW_MS, latency_ms={"p50": 1, "mean": 2.5}),
    gauge(NOW_MS),
    gauge(NOW_MS, utilization=None, value=1, limit=2, unit="GiB"),
    log(NOW_MS, status=500, duration_ms=3),
    change(NOW_MS, until="2026-02-01T00:00:00Z", by="eve", note="n"),
]
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.sampled_from([0, -0.0, 1e308, 5e-324, 2**63, 2**64, -(2**63) - 1, NOW_MS, 1e11, 10**4000]),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), NUMBERS, st.text(max_size=20), st.sampled_from(["", "NaN", "5", "error", "\ud800", "\x00"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=8,
)


def decoded_of(value: bytes | None, topic: str, timestamp_ms: int = NOW_MS) -> Decoded:
    return decode(CONFIG, topic, InRecord(offset=0, timestamp_ms=timestamp_ms, key=None, value=value))


def n_records(decoded: Decoded) -> int:
    return len(decoded.readings) + len(decoded.rejections) + decoded.n_ignored


def assert_countable(decoded: Decoded) -> None:
    """What was accepted can be folded, sent and read back: nothing overflows, nothing is unprintable."""
    partials: dict[PartialKey, Partial] = {}
    for reading in decoded.readings:
        fold(partials, reading, CONFIG)
        fold(partials, reading, CONFIG)
    for partial in partials.values():
        assert read_back(encode(partial), Partial) == partial
        for operation in partial.operations.values():
            for histogram in (operation.latency_ok, operation.latency_failed, operation.latency_mixed):
                found = [] if histogram is None else histogram.quantiles([0.0, 0.5, 1.0])
                assert all(value is not None and math.isfinite(value) for value in found)


@given(st.binary(max_size=200), TOPICS)
def test_arbitrary_bytes_are_one_rejection_or_all_accounted_for(value: bytes, topic: str) -> None:
    decoded = decoded_of(value, topic)

    assert n_records(decoded) >= 1
    assert_countable(decoded)


@given(st.lists(VALUES, max_size=5), TOPICS)
@example([10**4000, math.nan], METRICS)
def test_any_json_is_accounted_for_record_by_record(records: list[object], topic: str) -> None:
    decoded = decoded_of(json.dumps(records).encode(), topic)

    assert n_records(decoded) == max(1, len(records))
    assert_countable(decoded)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(SOUND))))
    target = record
    if isinstance(record.get("latency_ms"), dict) and draw(st.booleans()):
        target = record["latency_ms"]
    for name in draw(
        st.lists(st.sampled_from([*target, "environment", "status", "time", "errors", "sum"]), min_size=1, max_size=3)
    ):
        target[name] = draw(st.one_of(VALUES, NUMBERS, st.lists(NUMBERS, max_size=5)))
    return record


@given(st.lists(mutated(), min_size=1, max_size=4), TOPICS, st.sampled_from([NOW_MS, -1, 0, 2**62]))
def test_sound_records_with_any_value_in_any_field_are_accounted_for(
    records: list[dict[str, Any]], topic: str, timestamp_ms: int
) -> None:
    decoded = decoded_of(json.dumps(records).encode(), topic, timestamp_ms)

    assert n_records(decoded) == len(records)
    assert all(0 <= refused.index < len(records) for refused in decoded.rejections if refused.index is not None)
    msgspec.json.encode(decoded.rejections)
    assert_countable(decoded)


@given(st.sampled_from(SOUND), st.data(), TOPICS)
def test_sound_bytes_with_bytes_changed_or_lost_are_accounted_for(record: dict[str, Any], data: st.DataObject, topic: str) -> None:
    value = bytearray(json.dumps([record, record]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        if data.draw(st.booleans()):
            value[at] = data.draw(st.integers(0, 255))
        else:
            del value[at : at + data.draw(st.integers(1, 10))]

    decoded = decoded_of(bytes(value), topic)

    assert n_records(decoded) >= 1
    assert_countable(decoded)


@given(st.one_of(st.binary(max_size=100), mutated().map(lambda record: json.dumps(record).encode())), st.sampled_from([None, 0, 3]))
def test_whom_a_dead_letter_is_about_can_always_be_asked(value: bytes, index: int | None) -> None:
    claimed = claimed_origin(CONFIG, InRecord(offset=0, timestamp_ms=NOW_MS, key=None, value=value), index)

    encode(claimed)
    assert all(len(text) <= CONFIG.max_text_length for text in claimed)


@given(st.sampled_from(SOUND))
def test_decoding_is_a_function_of_its_arguments(record: dict[str, Any]) -> None:
    value = json.dumps(record).encode()

    assert decoded_of(value, METRICS) == decoded_of(value, METRICS)
