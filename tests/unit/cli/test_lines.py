"""One line for each record of each topic; text from outside is only ever shown."""

import msgspec
import pytest

from pipeline.cli.lines import Line, finding_line, line_of
from pipeline.contracts.alerts import Alert, AlertEvent, AlertState, Delivery, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.codec import encode
from pipeline.contracts.dead_letters import HEADER, REPLAYED_HEADER, DeadLetter
from pipeline.contracts.models import MemoryPart, ModelSnapshot, write_snapshot
from pipeline.contracts.partials import Bundle, FeedbackNote, FeedbackVerdict
from pipeline.contracts.readings import Rejection, RejectReason
from pipeline.contracts.remediation import Action, CloudEvent, RemediationRequest, RemediationResult, ResultStatus
from pipeline.contracts.signals import (
    Completeness,
    Errors,
    LateCount,
    Latency,
    Notice,
    NoticeKind,
    Saturation,
    Signals,
    Traffic,
)

ORIGIN = {"environment": "prod", "service": "cart", "version": "1.2.0"}
START_MS = 1_700_000_000_000


def event(**changes: object) -> AlertEvent:
    values: dict[str, object] = {
        "id": "e1",
        "alert_id": "a1",
        "dedup_key": "prod/cart/latency",
        "transition": Transition.FIRED,
        "state": AlertState.FIRING,
        "condition": "latency",
        "signal": "latency",
        "severity": Severity.PAGE,
        "since_ms": START_MS,
        "at_ms": START_MS + 20_000,
        "sentence": "cart answers in 400 ms instead of 100 ms.",
    }
    return AlertEvent(**{**values, **ORIGIN, **changes})  # type: ignore[arg-type]


def signals(**changes: object) -> Signals:
    values: dict[str, object] = {
        "id": "s1",
        "window_start_ms": START_MS,
        "window_end_ms": START_MS + 10_000,
        "revision": 2,
        "latency": Latency(count=120, p50_ms=12.0, p95_ms=1_250.0),
        "traffic": Traffic(requests=120, requests_per_second=12.0),
        "errors": Errors(count=3, ratio=0.025),
        "saturation": {"cpu": Saturation(mean=0.31, max=0.4)},
        "most_constrained": "cpu",
        "completeness": Completeness(readings=125, late=0, sources=2, delay_ms=3_000),
    }
    return Signals(**{**values, **ORIGIN, **changes})  # type: ignore[arg-type]


def shown(topic: str, value: bytes | None, headers: dict[str, bytes | None] | None = None) -> Line:
    return line_of(topic, partition=0, offset=7, timestamp_ms=START_MS, key=b"prod/cart", value=value, headers=headers or {})


def test_a_window_shows_the_four_signals_and_its_revision() -> None:
    line = shown("signals", encode(signals()))

    assert line.text == "22:13:20+10s, 12 req/s, p50 12 ms p95 1.25 s, errors 2.5 %, cpu 31.0 %, revision 2"
    assert line.service_key == "prod/cart"


def test_a_silent_window_says_so() -> None:
    silent = signals(completeness=Completeness(readings=0, late=0, sources=0, delay_ms=3_000), revision=1)

    assert shown("signals", encode(silent)).text == "22:13:20+10s, silent: nothing was heard"


def test_feedback_and_why_nothing_was_learned_are_shown() -> None:
    note = FeedbackNote(verdict=FeedbackVerdict.FALSE_POSITIVE, time_ms=START_MS, condition="latency")
    verdict = Verdict(
        id="v",
        window_start_ms=START_MS,
        window_end_ms=START_MS + 300_000,
        rollup=True,
        shadow=True,
        not_learned="deployment",
        **ORIGIN,
    )

    assert "feedback: false_positive latency" in shown("signals", encode(signals(feedback=[note]))).text
    assert shown("anomalies", encode(verdict)).text.endswith("nothing to judge; not learned: deployment; novelty; in shadow")


def test_a_snapshot_says_of_what_and_how_much_without_its_state() -> None:
    snapshot = ModelSnapshot(
        app="tocsin",
        version="1.0",
        part=MemoryPart.DETECTORS,
        environment="prod",
        service="cart",
        applied=5,
        n=1200,
        at_ms=START_MS,
        state={"secret": b"x" * 500},
    )

    told = shown("models", write_snapshot(snapshot))

    assert told.text.startswith("detectors after 1,200 windows, as of ")
    assert told.service_key == "prod/cart"
    assert "secret" not in str(told.data)


def test_late_counts_and_notices_are_told_apart_from_windows() -> None:
    late = LateCount(
        id="l",
        window_start_ms=START_MS,
        window_end_ms=START_MS + 10_000,
        source="telemetry.metrics/1",
        epoch=0,
        chunk=0,
        through=9,
        readings=4,
        requests=3,
        errors=0,
        late_by_ms=90_000,
        **ORIGIN,
    )
    notice = Notice(id="n", notice=NoticeKind.WINDOW_WIDENED, at_ms=START_MS, text="cart reports each minute", **ORIGIN)

    assert "4 readings, 3 requests late by 1 min 30 s" in shown("signals", encode(late)).text
    assert shown("signals", encode(notice)).text == "22:13:20 window widened: cart reports each minute"


def test_a_verdict_shows_what_is_unusual_with_the_expected_band() -> None:
    findings = [
        Finding(condition="errors", signal="errors", judgement=Judgement.NORMAL),
        Finding(
            condition="latency",
            signal="latency",
            judgement=Judgement.ANOMALOUS,
            unit="ms",
            observed=400,
            lower=80,
            upper=130,
            score=9.25,
        ),
    ]
    verdict = Verdict(id="v", window_start_ms=START_MS, window_end_ms=START_MS + 10_000, findings=findings, **ORIGIN)

    assert shown("anomalies", encode(verdict)).text == (
        "22:13:20+10s; latency anomalous: 400 ms, expected 80 ms to 130 ms, +9.2 sd"
    )
    calm = msgspec.structs.replace(verdict, findings=findings[:1])
    assert shown("anomalies", encode(calm)).text == "22:13:20+10s; 1 normal"


def test_a_gauge_below_zero_shows_both_ends_of_its_band() -> None:
    cold = Finding(
        condition="level:temp",
        signal="level",
        judgement=Judgement.ANOMALOUS,
        unit="C",
        observed=-40,
        lower=-20,
        upper=-5,
        score=-9.0,
    )
    verdict = Verdict(id="v", window_start_ms=START_MS, window_end_ms=START_MS + 10_000, findings=[cold], **ORIGIN)

    assert "-40 C, expected -20 C to -5 C" in shown("anomalies", encode(verdict)).text


def test_alert_events_and_alerts_show_their_sentence() -> None:
    alert = Alert(delivery=Delivery.NOTIFIED, event=event(), **ORIGIN)

    assert shown("alert-events", encode(event())).text == "22:13:40 FIRED [page] cart answers in 400 ms instead of 100 ms."
    assert shown("alerts", encode(alert)).text.startswith("firing, notified: 22:13:40 FIRED")
    assert shown("alerts", None).text == "(gone: a tombstone)"


def test_a_remediation_request_and_its_result_show_what_is_asked_and_done() -> None:
    request = RemediationRequest(
        idempotency_key="k",
        action=Action.SCALE_OUT,
        alert_id="a1",
        dedup_key="prod/cart/latency",
        condition="latency",
        signal="latency",
        policy="slow",
        reason="cart is slow",
        issued_at_ms=START_MS,
        expires_at_ms=START_MS + 300_000,
        dry_run=True,
        **ORIGIN,
    )
    sent = CloudEvent(id="k", source="/tocsin", type="t", time="2023-11-14T22:13:20Z", subject="prod/cart", data=request)
    result = RemediationResult(
        idempotency_key="k", status=ResultStatus.SUCCEEDED, environment="prod", service="cart", at_ms=START_MS, by="bot"
    )

    assert shown("remediation.requests", encode(sent)).text == (
        "22:13:20 scale out (dry run), policy slow, expires 22:18:20: cart is slow"
    )
    assert shown("remediation.results", encode(result)).text == "22:13:20 succeeded by bot (k)"


def test_a_dead_letter_shows_where_it_came_from_why_and_its_bytes_escaped() -> None:
    letter = DeadLetter(
        id="d",
        topic="telemetry.metrics",
        partition=1,
        offset=41,
        timestamp_ms=START_MS,
        key_base64=None,
        config="c",
        n_records=3,
        n_rejected=1,
        rejections=[Rejection(reason=RejectReason.WRONG_TYPE, detail="duration_ms must be a number", field="duration_ms", index=2)],
    )

    line = shown("dead-letters", b"[1,\x1b[31m\xff]", {HEADER: encode(letter)})

    assert line.text == (r"telemetry.metrics/1/41 wrong_type, 1 of 3 records: duration_ms must be a number | [1,\x1b[31m\xff]")


def test_a_bundle_shows_its_chunk_and_what_it_holds() -> None:
    text = shown("partials", encode(Bundle(source="telemetry.metrics/0", chunk=10, through=9, watermark_ms=None, idle=True))).text

    assert text == "telemetry.metrics/0 chunk 10 through 9, watermark -, idle: header only"


@pytest.mark.parametrize("topic", ["signals", "anomalies", "alert-events", "alerts", "remediation.requests", "partials", "config"])
@pytest.mark.parametrize("value", [b"{}", b"\xff\xfe", b"[]", b"", b"null", b'"\x1b[2J"'])
def test_an_unreadable_record_is_shown_as_such_and_escaped(topic: str, value: bytes) -> None:
    line = shown(topic, value)

    assert line.text.startswith("unreadable, ")
    assert not line.is_readable
    assert line.text.isprintable()


def test_a_dead_letter_without_its_header_is_unreadable() -> None:
    assert "the header tocsin-dead-letter is missing" in shown("dead-letters", b"x").text


def test_text_from_telemetry_cannot_reach_the_terminal_unescaped() -> None:
    evil = event(sentence="\x1b[31mred\x07 [bold]\u202e", service="ca\nrt")

    line = shown("alert-events", encode(evil))

    assert line.text.isprintable()
    assert "[bold]" in line.text
    assert "\\x1b[31mred" in line.text
    assert line.service_key == "prod/ca\\nrt"


def test_telemetry_that_is_no_record_is_shown_as_it_came() -> None:
    assert shown("telemetry.metrics", b'{"kind":"gauge"}').text == '{"kind":"gauge"}'
    assert shown("telemetry.metrics", b'[1, {"kind":"gauge","resource":"cpu"}]').text == '[1, {"kind":"gauge","resource":"cpu"}]'
    assert shown("telemetry.metrics", b"{oops").text == "unreadable, not JSON: {oops"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            {"kind": "request", "operation": "GET /cart", "duration_ms": 12.5, "status": 200, "instance": "c-1", "version": "1.4"},
            "request GET /cart 12.5 ms 200 (c-1 1.4)",
        ),
        ({"kind": "request", "duration_ms": 1900, "error": True}, "request 1.90 s error"),
        ({"kind": "request", "duration_ms": {"a": 1}, "status": "\x1b[31m"}, "request {'a': 1} \\x1b[31m"),
        (
            {"kind": "summary", "interval_s": 10, "requests": 4, "errors": 1, "latency_ms": {"scale": 3, "sum": 50.0}},
            "summary 10 s: 4 requests, 1 errors, mean 12.5 ms",
        ),
        (
            {"kind": "summary", "interval_s": 60, "requests": 40, "latency_ms": {"p50": 31, "p99": 212}},
            "summary 60 s: 40 requests, 0 errors, p50 31 ms, p99 212 ms",
        ),
        ({"kind": "summary", "requests": "many", "latency_ms": {"sum": 1}}, "summary ? s: many requests, 0 errors"),
        ({"kind": "gauge", "resource": "cpu", "utilization": 0.613}, "gauge cpu 61.3 %"),
        ({"kind": "gauge", "resource": "pool", "value": 9, "limit": 20, "unit": "connections"}, "gauge pool 9 of 20 connections"),
        ({"kind": "log", "severity": "ERROR", "body": "no\nroute", "status": 503}, "log ERROR no\\nroute 503"),
        (
            {"kind": "change", "type": "deployment", "version": "1.4.3", "by": "bot", "note": "New basket."},
            "change: deployment 1.4.3 by bot: New basket.",
        ),
    ],
)
def test_a_telemetry_record_is_a_line(record: dict[str, object], text: str) -> None:
    assert shown("telemetry.metrics", msgspec.json.encode(record)).text == text


def test_an_array_of_telemetry_shows_its_first_records_and_counts_the_others() -> None:
    gauges = [{"kind": "gauge", "resource": "cpu", "utilization": i / 10} for i in range(5)]

    assert shown("telemetry.metrics", msgspec.json.encode(gauges)).text == (
        "5 records: gauge cpu 0.0 %; gauge cpu 10.0 %; gauge cpu 20.0 %; 2 more"
    )


def test_a_value_of_several_windows_does_not_stand_beside_the_band_of_one() -> None:
    one = Finding(condition="errors", signal="errors", judgement=Judgement.ANOMALOUS, unit="ratio", observed=0.1, expected=0.004)
    banded = msgspec.structs.replace(one, lower=0.0, upper=0.067, score=6.0)
    many = msgspec.structs.replace(banded, observed=0.031, explanation={"windows": 30.0})

    assert finding_line(banded) == "errors anomalous: 10.0 %, expected up to 6.7 %, +6.0 sd"
    assert finding_line(many) == "errors anomalous: 3.1 % over 30 windows, expected about 0.4 %, +6.0 sd"


def test_a_note_that_a_letter_was_sent_again_is_told_as_that() -> None:
    line = shown("dead-letters", None, {REPLAYED_HEADER: b"d1"})

    assert line.is_readable
    assert line.text == "prod/cart was sent again"
