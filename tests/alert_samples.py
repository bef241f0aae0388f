"""Verdicts and alert events for tests, with one short name for what differs between them."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline.contracts.alerts import AlertEvent, AlertState, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.ids import content_id
from pipeline.contracts.partials import ChangeNote
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.stage import Stage

ORIGIN_MS = 1_770_001_920_000
"""2026-02-02 03:12 UTC."""
WINDOW_MS = 10_000

LETTERS = {
    "A": (Judgement.ANOMALOUS, False, Severity.TICKET),
    "P": (Judgement.ANOMALOUS, False, Severity.PAGE),
    "n": (Judgement.NORMAL, False, Severity.TICKET),  # normal, but not inside the narrower band that ends an alert
    "N": (Judgement.NORMAL, True, Severity.TICKET),
    "-": (Judgement.NO_DATA, True, Severity.TICKET),
    "?": (Judgement.NOT_READY, True, Severity.TICKET),
}


def finding(letter: str, condition: str = "latency", **values: Any) -> Finding:
    """Return a finding: A anomalous, P so severe that it pages, n normal but not recovered, N recovered, - no data, ? not ready."""
    judgement, is_recovered, severity = LETTERS[letter]
    known: dict[str, Any] = {
        "signal": condition.partition(":")[0],
        "unit": "ms",
        "statistic": "p95",
        "observed": 480.0 if letter in "AP" else 150.0,
        "expected": 155.0,
        "lower": 120.0,
        "upper": 180.0,
        "score": 7.0 if letter in "AP" else 0.3,
        "confidence": 0.99,
        "n_seen": 500,
        "explanation": {"z": 7.0},
    }
    return Finding(condition=condition, judgement=judgement, is_recovered=is_recovered, severity=severity, **{**known, **values})


def verdict(
    window: int,
    letters: str | Mapping[str, str] = "",
    *,
    size_ms: int = WINDOW_MS,
    service: str = "cart",
    changes: Iterable[ChangeNote] = (),
    retired: bool = False,
    rollup: bool = False,
    exemplars: Iterable[Exemplar] = (),
) -> Verdict:
    """Return the verdict of the ``window``-th window: a letter for latency, or one by condition."""
    by_condition = {"latency": letters} if isinstance(letters, str) else letters
    start_ms = ORIGIN_MS + window * size_ms
    return Verdict(
        id=content_id("verdict", service, start_ms, int(rollup)),
        environment="prod",
        service=service,
        version="1.4.3",
        window_start_ms=start_ms,
        window_end_ms=start_ms + size_ms,
        rollup=rollup,
        findings=[finding(letter, condition) for condition, letter in by_condition.items() if letter not in ("", " ")],
        changes=list(changes),
        retired=retired,
        exemplars=list(exemplars),
    )


def deployment(before_ms: int, version: str = "1.4.3") -> ChangeNote:
    """Return a deployment so long before the first window."""
    return ChangeNote(type="deployment", time_ms=ORIGIN_MS - before_ms, version=version)


def event(
    transition: Transition = Transition.FIRED,
    *,
    at_ms: int = ORIGIN_MS,
    since_ms: int | None = None,
    condition: str = "latency",
    service: str = "cart",
    severity: Severity = Severity.PAGE,
    fired_at_ms: int | None = None,
    change: ChangeNote | None = None,
    callees: Iterable[str] = (),
) -> AlertEvent:
    """Return an alert event of a life that began 20 s before, unless told otherwise."""
    since = at_ms - 20_000 if since_ms is None else since_ms
    dedup_key = f"prod/{service}/{condition}"
    alert_id = content_id("alert", dedup_key, since)
    is_over = transition in (Transition.RESOLVED, Transition.CANCELLED)
    is_pending = transition in (Transition.PENDING, Transition.CANCELLED)
    return AlertEvent(
        id=content_id("alert-event", alert_id, transition, at_ms),
        alert_id=alert_id,
        dedup_key=dedup_key,
        transition=transition,
        state=AlertState.RESOLVED if is_over else AlertState.PENDING if is_pending else AlertState.FIRING,
        environment="prod",
        service=service,
        version="1.4.3",
        condition=condition,
        signal=condition.partition(":")[0],
        severity=severity,
        since_ms=since,
        at_ms=at_ms,
        fired_at_ms=None if is_pending else fired_at_ms if fired_at_ms is not None else at_ms,
        resolved_at_ms=at_ms if is_over else None,
        sentence=f"{service} (prod): {condition} is bad.",
        change=change,
        callees=list(callees),
    )


def record(offset: int, value: msgspec.Struct | bytes | None) -> InRecord:
    """Return the record at an offset that holds a contract record (or these very bytes)."""
    return InRecord(
        offset=offset, timestamp_ms=0, key=b"prod/cart", value=encode(value) if isinstance(value, msgspec.Struct) else value
    )


def feed(stage: Stage, values: Iterable[msgspec.Struct], *, now_ms: int = 0, first_offset: int = 0) -> list[OutRecord]:
    """Return everything that a stage says to these records, one after another."""
    return [out for i, value in enumerate(values) for out in stage.step(record(first_offset + i, value), now_ms)]


def alert_events(outputs: Iterable[OutRecord]) -> list[AlertEvent]:
    """Return the alert events among outputs."""
    return [decode(out.value or b"", AlertEvent) for out in outputs if out.topic == "alert-events"]
