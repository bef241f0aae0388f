from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.readings import RejectReason
from pipeline.errors import FieldRefused
from pipeline.ingest.times import parse_time, rfc3339


@pytest.mark.parametrize(
    ("value", "time_ms"),
    [
        (1_767_571_210, 1_767_571_210_000),
        (1_767_571_210.123, 1_767_571_210_123),
        (1_767_571_210.9999, 1_767_571_210_999),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (1e11, 100_000_000_000),
        (1_767_571_210_123, 1_767_571_210_123),
        (1_767_571_210_123.9, 1_767_571_210_123),
        (99_999_999_999_999, 99_999_999_999_999),
        (100_000_000_000_000, 100_000_000_000),
        (1e14, 100_000_000_000),
        (1_767_571_210_123_999, 1_767_571_210_123),
        (99_999_999_999_999_999, 99_999_999_999_999),
        (100_000_000_000_000_000, 100_000_000_000),
        (1e17, 100_000_000_000),
        (1_767_571_210_123_999_999, 1_767_571_210_123),
        (-1, -1000),
        (-0.5, -500),
    ],
)
def test_the_magnitude_of_a_number_tells_its_unit(value: float, time_ms: int) -> None:
    assert parse_time(value, "time") == time_ms


@pytest.mark.parametrize(
    ("value", "time_ms"),
    [
        ("2026-01-05T00:00:10Z", 1_767_571_210_000),
        ("2026-01-05t00:00:10z", 1_767_571_210_000),
        ("2026-01-05 00:00:10Z", 1_767_571_210_000),
        ("2026-01-05T00:00:10.1Z", 1_767_571_210_100),
        ("2026-01-05T00:00:10.123999999Z", 1_767_571_210_123),
        ("2026-01-05T05:45:10+05:45", 1_767_571_210_000),
        ("2026-01-04T16:00:10-08:00", 1_767_571_210_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_rfc_3339_texts(value: str, time_ms: int) -> None:
    assert parse_time(value, "time") == time_ms


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2026-01-05T00:00:10", RejectReason.INVALID_TEXT),
        ("2026-01-05T00:00:10+0000", RejectReason.INVALID_TEXT),
        ("20260105T000010Z", RejectReason.INVALID_TEXT),
        ("2026-01-05T00:00Z", RejectReason.INVALID_TEXT),
        ("2026-01-05T00:00:10,5Z", RejectReason.INVALID_TEXT),
        ("2026-01-05T00:00:10.Z", RejectReason.INVALID_TEXT),
        ("2026-01-05T24:00:00Z", RejectReason.INVALID_TEXT),
        ("2026-01-05T00:00:61Z", RejectReason.INVALID_TEXT),
        ("0000-01-05T00:00:10Z", RejectReason.INVALID_TEXT),
        ("2026-01-05T00:00:10Z\n", RejectReason.INVALID_TEXT),
        ("\uff12026-01-05T00:00:10Z", RejectReason.INVALID_TEXT),
        ("", RejectReason.INVALID_TEXT),
        ("1767571210", RejectReason.WRONG_TYPE),
        ("1767571210.5", RejectReason.WRONG_TYPE),
        (float("nan"), RejectReason.NOT_FINITE),
        (float("inf"), RejectReason.NOT_FINITE),
        (True, RejectReason.WRONG_TYPE),
        ([], RejectReason.WRONG_TYPE),
        (None, RejectReason.MISSING_FIELD),
    ],
)
def test_what_is_no_time(value: object, reason: RejectReason) -> None:
    with pytest.raises(FieldRefused) as refused:
        parse_time(value, "time")

    assert refused.value.reason == reason


@given(st.integers(946_684_800_000, 4_102_444_800_000))
def test_a_time_in_any_unit_is_the_same_millisecond(time_ms: int) -> None:
    forms = (time_ms, time_ms / 1000, float(time_ms), time_ms * 1000, time_ms * 1000 + 999, time_ms * 1_000_000, rfc3339(time_ms))

    assert {parse_time(form, "time") for form in forms} == {time_ms}


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001 - hypothesis wants naive ones
def test_any_offset_is_understood(naive: datetime, offset_minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))

    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    assert parse_time(moment.isoformat(), "time") == expected
