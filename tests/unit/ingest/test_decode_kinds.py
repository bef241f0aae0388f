"""What each kind of record becomes when it is sound."""

import json
from typing import Any

import msgspec
import pytest

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.partials import FeedbackVerdict
from pipeline.contracts.readings import (
    ChangeReading,
    Decoded,
    FeedbackReading,
    GaugeReading,
    LogReading,
    Origin,
    Reading,
    RejectReason,
    RequestReading,
    SummaryReading,
)
from pipeline.contracts.records import InRecord
from pipeline.contracts.telemetry import Change, Explicit, Exponential, Gauge, Log, Quantiles, Request, Summary
from pipeline.ingest.decoders import decode
from tests.poison import ABSENT, METRICS, change, gauge, log, request, summary

NOW_MS = 1_767_571_210_000
DAY_MS = 86_400_000
ORIGIN = Origin(environment="prod", service="poisoned", version="1.0.0", operation="GET /")


def decoded_of(value: object) -> Decoded:
    record = InRecord(offset=0, timestamp_ms=NOW_MS, key=None, value=json.dumps(value).encode())
    return decode(IngestConfig(), METRICS, record)


def reading_of(value: object) -> Any:
    decoded = decoded_of(value)
    assert decoded.rejections == []
    return decoded.readings[0]


def test_a_request() -> None:
    assert reading_of(request(NOW_MS)) == RequestReading(origin=ORIGIN, time_ms=NOW_MS, duration_ms=12.5, is_error=False)


def test_whom_a_record_is_about() -> None:
    about = reading_of(
        request(NOW_MS, service="team/cart ☃", environment=ABSENT, instance="i-1", version=None, operation=None)
    ).origin

    assert about == Origin(environment="default", service="team/cart ☃", instance="i-1")


def test_the_same_origin_is_the_same_object() -> None:
    assert reading_of(request(NOW_MS)).origin is reading_of(gauge(NOW_MS)).origin


@pytest.mark.parametrize(
    ("fields", "is_error"),
    [
        ({"status": 100}, False),
        ({"status": 404}, False),
        ({"status": 499}, False),
        ({"status": 500}, True),
        ({"status": 599}, True),
        ({"status": 503.0}, True),
        ({"status": "ok"}, False),
        ({"status": "error"}, True),
        ({"status": 500, "error": False}, False),
        ({"status": 200, "error": True}, True),
        ({"status": ABSENT, "error": True}, True),
        ({"status": None, "error": False}, False),
    ],
)
def test_a_request_failed_when_its_status_or_better_its_error_says_so(fields: dict[str, object], is_error: bool) -> None:
    assert reading_of(request(NOW_MS, **fields)).is_error is is_error


@pytest.mark.parametrize("duration_ms", [0, 0.0, 5e-324, 1e10])
def test_durations_from_nothing_to_months(duration_ms: float) -> None:
    assert reading_of(request(NOW_MS, duration_ms=duration_ms)).duration_ms == duration_ms


@pytest.mark.parametrize(("ahead_ms", "n_good"), [(60_000, 1), (60_001, 0)])
def test_a_time_may_be_a_minute_ahead_of_its_records_timestamp(ahead_ms: int, n_good: int) -> None:
    assert len(decoded_of(request(NOW_MS + ahead_ms)).readings) == n_good


def test_a_summary_with_an_exponential_histogram() -> None:
    summed = reading_of(summary(NOW_MS, latency_ms={"scale": 3, "offset": 24, "counts": [1, 0, 1], "zero_count": 1, "sum": 20.5}))

    assert (summed.interval_ms, summed.requests, summed.errors, summed.quantiles_ms) == (10_000, 3, 1, None)
    assert (summed.latency.scale, summed.latency.counts) == (3, {24: 1, 26: 1})
    assert (summed.latency.zero_count, summed.latency.sum) == (1, 20.5)


def test_a_finer_exponential_histogram_is_brought_to_our_resolution() -> None:
    summed = reading_of(summary(NOW_MS, latency_ms={"scale": 7, "offset": -6, "counts": [1, 0, 1, 0, 0, 0, 1], "sum": 3.0}))

    assert (summed.latency.scale, summed.latency.counts) == (5, {-2: 1, -1: 1, 0: 1})


def test_a_summary_with_an_explicit_histogram() -> None:
    summed = reading_of(summary(NOW_MS, latency_ms={"bounds": [10, 20.0], "counts": [0, 3, 0], "sum": 45}))

    assert summed.latency.count == 3
    assert summed.latency.sum == 45.0
    assert summed.latency.quantile(0.5) == pytest.approx(40 / 3, rel=0.011)


def test_without_a_sum_the_buckets_estimate_it() -> None:
    exponential = reading_of(summary(NOW_MS, latency_ms={"scale": 3, "offset": 24, "counts": [3]}))
    explicit = reading_of(summary(NOW_MS, latency_ms={"bounds": [10, 20], "counts": [0, 3, 0]}))

    assert exponential.latency.mean == pytest.approx(8.35, rel=0.01)
    assert explicit.latency.mean == pytest.approx(40 / 3)


def test_a_summary_with_quantiles() -> None:
    summed = reading_of(summary(NOW_MS, latency_ms={"p50": 10, "p99": 100.5, "p90": None, "max": "ignored"}))

    assert summed.latency is None
    assert summed.quantiles_ms == {"p50": 10.0, "p99": 100.5}


@pytest.mark.parametrize(
    "latency_ms", [ABSENT, None, {"p50": None}, {"scale": 3, "offset": 0, "counts": []}, {"bounds": [], "counts": [0]}]
)
def test_a_summary_without_requests_or_latencies(latency_ms: object) -> None:
    summed = reading_of(summary(NOW_MS, requests=0, errors=ABSENT, latency_ms=latency_ms))

    assert summed == SummaryReading(origin=ORIGIN, time_ms=NOW_MS, interval_ms=10_000, requests=0, errors=0)


@pytest.mark.parametrize("offset", [-1, 0])
def test_the_coarsest_exponential_histogram_can_be_worked_with(offset: int) -> None:
    summed = reading_of(summary(NOW_MS, latency_ms={"scale": -10, "offset": offset, "counts": [3]}))

    assert summed.latency.quantile(0.5) >= 0
    assert 0.9 < summed.latency.relative_error <= 1


def test_fewer_latencies_than_requests_are_a_sample() -> None:
    assert reading_of(summary(NOW_MS, requests=1000, latency_ms={"scale": 3, "offset": 24, "counts": [3]})).latency.count == 3


@pytest.mark.parametrize(("interval_s", "interval_ms"), [(0.001, 1), (59.9996, 60_000), (60, 60_000), (333.333, 333_333)])
def test_intervals_from_a_millisecond_to_the_longest_that_fits_a_window(interval_s: float, interval_ms: int) -> None:
    assert reading_of(summary(NOW_MS, interval_s=interval_s)).interval_ms == interval_ms


def test_whole_numbers_may_be_written_as_floats() -> None:
    assert reading_of(summary(NOW_MS, requests=3.0, errors=1.0)).requests == 3


@pytest.mark.parametrize(
    ("fields", "utilization"),
    [
        ({"utilization": 0}, 0.0),
        ({"utilization": 1.5}, 1.5),
        ({"utilization": ABSENT, "value": 3, "limit": 4, "unit": "GiB"}, 0.75),
        ({"utilization": 0.25, "value": "not looked at"}, 0.25),
    ],
)
def test_a_gauge(fields: dict[str, object], utilization: float) -> None:
    expected = GaugeReading(origin=ORIGIN, time_ms=NOW_MS, resource="cpu", utilization=utilization)

    assert reading_of(gauge(NOW_MS, **fields)) == expected


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("trace", "trace"),
        ("Debug", "debug"),
        ("INFO", "info"),
        ("notice", "info"),
        ("INFO3", "info"),
        ("WARNING", "warn"),
        ("err", "error"),
        ("CRITICAL", "fatal"),
        (1, "trace"),
        (4, "trace"),
        (5, "debug"),
        (9, "info"),
        (13, "warn"),
        (17, "error"),
        (20, "error"),
        (21, "fatal"),
        (24, "fatal"),
    ],
)
def test_severities_are_words_or_numbers_of_opentelemetry(value: object, severity: str) -> None:
    line = reading_of(log(NOW_MS, severity=value))

    assert line == LogReading(
        origin=ORIGIN, time_ms=NOW_MS, severity=severity, is_error=severity in {"error", "fatal"}, text="hello"
    )


@pytest.mark.parametrize(
    ("fields", "is_error", "duration_ms"),
    [
        ({"status": 200}, False, None),
        ({"status": 500}, True, None),
        ({"duration_ms": 3}, False, 3.0),
        ({"duration_ms": 3, "severity": "error"}, True, 3.0),
        ({"duration_ms": 3, "severity": "error", "status": "ok"}, False, 3.0),
    ],
)
def test_a_log_line_with_status_or_duration_is_a_request(
    fields: dict[str, object], is_error: bool, duration_ms: float | None
) -> None:
    line = reading_of(log(NOW_MS, **fields))

    assert (line.is_request, line.is_error, line.duration_ms) == (True, is_error, duration_ms)


def test_a_logs_body_is_not_looked_into() -> None:
    assert reading_of(log(NOW_MS, body="\x1b[31m" + "x\n" * 10_000)).severity == "info"


def test_a_change() -> None:
    announced = reading_of(
        change(
            NOW_MS + 365 * DAY_MS,
            operation=None,
            type="maintenance",
            until=NOW_MS + 365 * DAY_MS,
            by="eve",
            note="first line\n\tsecond",
        )
    )

    assert announced == ChangeReading(
        origin=Origin(environment="prod", service="poisoned", version="1.0.0"),
        time_ms=NOW_MS + 365 * DAY_MS,
        published_ms=NOW_MS,
        type="maintenance",
        until_ms=NOW_MS + 365 * DAY_MS,
        by="eve",
        note="first line\n\tsecond",
    )


def feedback(**fields: object) -> InRecord:
    said = {"service": "cart", "environment": "prod", "time": NOW_MS, "verdict": "false_positive", **fields}
    return InRecord(offset=0, timestamp_ms=NOW_MS, key=None, value=json.dumps(said).encode())


def test_feedback() -> None:
    decoded = decode(IngestConfig(), "tocsin.feedback", feedback(condition="latency", by="jo", note="a test"))

    assert decoded.readings == [
        FeedbackReading(
            origin=Origin(environment="prod", service="cart"),
            time_ms=NOW_MS,
            published_ms=NOW_MS,
            verdict=FeedbackVerdict.FALSE_POSITIVE,
            condition="latency",
            by="jo",
            note="a test",
        )
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"verdict": "great"}, RejectReason.INVALID_TEXT),
        ({"verdict": 1}, RejectReason.WRONG_TYPE),
        ({"verdict": None}, RejectReason.MISSING_FIELD),
        ({"kind": "change"}, RejectReason.UNKNOWN_KIND),
        ({"condition": "a\x00b"}, RejectReason.INVALID_TEXT),
        ({"time": NOW_MS + DAY_MS}, RejectReason.FUTURE_TIME),
        ({"service": None}, RejectReason.MISSING_FIELD),
    ],
)
def test_feedback_that_breaks_a_rule_is_refused(fields: dict[str, object], reason: RejectReason) -> None:
    decoded = decode(IngestConfig(), "tocsin.feedback", feedback(**fields))

    assert [refused.reason for refused in decoded.rejections] == [reason]


def test_a_change_whose_record_has_no_believable_timestamp_has_no_window() -> None:
    record = InRecord(offset=0, timestamp_ms=-1, key=None, value=json.dumps(change(NOW_MS)).encode())

    decoded = decode(IngestConfig(), METRICS, record)

    assert [refused.reason for refused in decoded.rejections] == [RejectReason.ABSURD_TIME]


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (Request(service="cart", time=NOW_MS, duration_ms=0.5, status="ok"), RequestReading),
        (
            Request(service="cart", time="2026-01-05T00:00:10Z", duration_ms=1, status=503, version="1", operation="GET /"),
            RequestReading,
        ),
        (Summary(service="cart", time=NOW_MS, interval_s=60, requests=5), SummaryReading),
        (
            Summary(
                service="cart",
                time=NOW_MS / 1000,
                interval_s=10,
                requests=2,
                latency_ms=msgspec.to_builtins(Exponential(scale=5, offset=-3, counts=[1, 1])),
            ),
            SummaryReading,
        ),
        (
            Summary(
                service="cart",
                time=NOW_MS,
                interval_s=10,
                requests=2,
                latency_ms=msgspec.to_builtins(Explicit(bounds=[1.5], counts=[1, 1])),
            ),
            SummaryReading,
        ),
        (
            Summary(
                service="cart", time=NOW_MS, interval_s=10, requests=2, latency_ms=msgspec.to_builtins(Quantiles(p50=2.0, mean=3))
            ),
            SummaryReading,
        ),
        (Gauge(service="cart", environment="prod", time=NOW_MS, resource="cpu", utilization=0.25), GaugeReading),
        (Gauge(service="cart", time=NOW_MS, resource="heap", value=1, limit=2, unit="GiB"), GaugeReading),
        (Log(service="cart", time=NOW_MS, severity="INFO", body="hello"), LogReading),
        (Log(service="cart", time=NOW_MS, severity=17, status=500, duration_ms=3.5, trace_id="abc"), LogReading),
        (Change(service="cart", time=NOW_MS, type="deployment", version="2", by="eve", note="why", until=NOW_MS), ChangeReading),
    ],
)
def test_what_tocsin_sends_itself_is_read_again(sent: msgspec.Struct, kind: type[Reading]) -> None:
    record = InRecord(offset=0, timestamp_ms=NOW_MS, key=None, value=msgspec.json.encode(sent))

    decoded = decode(IngestConfig(), METRICS, record)

    assert decoded.rejections == []
    assert [type(reading) for reading in decoded.readings] == [kind]
