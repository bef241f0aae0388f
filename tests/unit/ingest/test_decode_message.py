"""What a message is: limits of the envelope, indexes, field paths, topics."""

import json
from typing import Any

import pytest

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import ChangeReading, Decoded, RejectReason, RequestReading
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.ingest.decoders.claims import claimed_origin
from tests.poison import CHANGES, METRICS, change, gauge, request, summary

NOW_MS = 1_767_571_210_000


def record_of(value: object) -> InRecord:
    raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return InRecord(offset=7, timestamp_ms=NOW_MS, key=None, value=raw)


def decoded_of(value: object, topic: str = METRICS, **limits: Any) -> Decoded:
    return decode(IngestConfig(**limits), topic, record_of(value))


def test_a_single_record_that_is_refused_has_no_index() -> None:
    decoded = decoded_of(request(NOW_MS, duration_ms="12"))

    assert [(rejection.index, rejection.field) for rejection in decoded.rejections] == [(None, "duration_ms")]


def test_in_an_array_each_refused_record_is_named_by_its_index_and_the_others_count() -> None:
    good, bad = request(NOW_MS), request(NOW_MS, service="")

    decoded = decoded_of([good, bad, good, bad])

    assert [rejection.index for rejection in decoded.rejections] == [1, 3]
    assert len(decoded.readings) == 2


def test_an_array_of_one_has_an_index_too() -> None:
    decoded = decoded_of([request(NOW_MS, time=None)])

    assert [rejection.index for rejection in decoded.rejections] == [0]


def test_a_rejection_says_field_value_and_rule_in_one_sentence() -> None:
    decoded = decoded_of(request(NOW_MS, duration_ms="12.5"))

    assert decoded.rejections[0].detail == "duration_ms must be a number from 0 to 1e+10, got '12.5'"


def test_a_path_leads_into_arrays() -> None:
    decoded = decoded_of(summary(NOW_MS, latency_ms={"scale": 3, "offset": 0, "counts": [0, 1, 0, "2"]}))

    assert decoded.rejections[0].field == "latency_ms.counts[3]"


def test_a_long_value_is_shortened_and_its_control_characters_are_escaped() -> None:
    decoded = decoded_of(request(NOW_MS, kind="\x1b[31m" + "x" * 10_000))

    assert "\\x1b" in decoded.rejections[0].detail
    assert len(decoded.rejections[0].detail) < 200


def test_invalid_json_is_reported_with_its_position() -> None:
    decoded = decoded_of(b'{"kind": "request", }')

    assert decoded.rejections[0].reason is RejectReason.INVALID_JSON
    assert "line 1 column 19" in decoded.rejections[0].detail


def test_invalid_utf8_is_reported_with_its_position() -> None:
    decoded = decoded_of(b'{"kind": "\xff"}')

    assert decoded.rejections[0].detail == "a message must be UTF-8, got byte 0xff at byte 10: invalid start byte"


@pytest.mark.parametrize(("too_much", "n_rejected"), [(0, 0), (1, 1)])
def test_a_message_may_have_exactly_the_configured_number_of_bytes(too_much: int, n_rejected: int) -> None:
    value = json.dumps(request(NOW_MS)).encode()

    decoded = decoded_of(value, max_message_bytes=len(value) - too_much)

    assert len(decoded.rejections) == n_rejected


@pytest.mark.parametrize(("limit", "n_good"), [(3, 3), (2, 0)])
def test_an_array_may_hold_exactly_the_configured_number_of_records(limit: int, n_good: int) -> None:
    decoded = decoded_of([request(NOW_MS)] * 3, max_records_per_message=limit)

    assert len(decoded.readings) == n_good


@pytest.mark.parametrize("levels", [2, 3, 4, 40, 900])
def test_nesting_is_allowed_up_to_exactly_the_configured_depth(levels: int) -> None:
    nested = json.loads("[" * (levels - 1) + "]" * (levels - 1))
    value = request(NOW_MS, unknown=nested)

    assert len(decoded_of(value, max_depth=levels).readings) == 1
    assert [refused.reason for refused in decoded_of(value, max_depth=levels - 1).rejections] == [RejectReason.TOO_DEEP]


def test_many_flat_records_are_not_deep() -> None:
    decoded = decoded_of([request(NOW_MS)] * 500, max_depth=2)

    assert len(decoded.readings) == 500


def test_depth_is_judged_where_the_strict_parser_refuses_too() -> None:
    value = json.dumps(request(NOW_MS, unknown=[[["]]"]]])).encode()[:-1] + b', "x": NaN}'

    assert len(decoded_of(value, max_depth=4).readings) == 1
    assert [refused.reason for refused in decoded_of(value, max_depth=3).rejections] == [RejectReason.TOO_DEEP]


def test_of_a_duplicate_key_the_last_counts() -> None:
    value = json.dumps(request(NOW_MS, duration_ms=1)).encode()[:-1] + b', "duration_ms": 99}'

    decoded = decoded_of(value)

    assert isinstance(decoded.readings[0], RequestReading)
    assert decoded.readings[0].duration_ms == 99.0


def test_a_change_on_a_telemetry_topic_is_a_change() -> None:
    decoded = decoded_of([change(NOW_MS), gauge(NOW_MS)])

    assert isinstance(decoded.readings[0], ChangeReading)
    assert decoded.readings[0].published_ms == NOW_MS


@pytest.mark.parametrize("kind", [None, "change"])
def test_among_changes_a_record_need_not_say_that_it_is_one(kind: str | None) -> None:
    decoded = decoded_of(change(NOW_MS, kind=kind), CHANGES)

    assert isinstance(decoded.readings[0], ChangeReading)


def test_among_changes_telemetry_is_refused() -> None:
    decoded = decoded_of([gauge(NOW_MS), change(NOW_MS, kind=1)], CHANGES)

    assert [refused.reason for refused in decoded.rejections] == [RejectReason.UNKNOWN_KIND, RejectReason.WRONG_TYPE]


def test_a_topic_without_a_decoder_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        decoded_of(request(NOW_MS), "telemetry.unknown")


@pytest.mark.parametrize(
    ("value", "index", "claimed"),
    [
        (request(NOW_MS, time="never"), None, ("prod", "poisoned", "1.0.0")),
        ([request(NOW_MS), request(NOW_MS, service="other", version=3)], 1, ("prod", "other", "")),
        (request(NOW_MS, service="evil\x00", environment=None), None, ("", "", "1.0.0")),
        ([7], 0, ("", "", "")),
        ([request(NOW_MS)], 1, ("", "", "")),
        (b"no json", None, ("", "", "")),
        (b"[]", None, ("", "", "")),
        (None, None, ("", "", "")),
    ],
)
def test_a_dead_letter_can_say_whom_the_record_claims_to_be_about(
    value: object, index: int | None, claimed: tuple[str, str, str]
) -> None:
    assert claimed_origin(IngestConfig(), record_of(value), index) == claimed
