"""One line for each record of each topic; text from outside is only ever shown."""

import msgspec
import pytest

from pipeline.cli.lines import Line, line_of
from pipeline.contracts.alerts import Alert, AlertEvent, AlertState, Delivery, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.codec import encode
from pipeline.contracts.dead_letters import HEADER, DeadLetter
from pipeline.contracts.partials import Bundle
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

    assert "4 readings, 3 requests late by 90.00 s" in shown("signals", encode(late)).text
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


def test_telemetry_is_shown_as_it_came() -> None:
    assert shown("telemetry.metrics", b'{"kind":"gauge"}').text == '{"kind":"gauge"}'
    assert shown("telemetry.metrics", b"{oops").text == "unreadable, not JSON: {oops"
