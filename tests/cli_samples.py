"""Windows, events and requests for tests of the command line, with one short name for what differs between them."""

from typing import Any

from pipeline.contracts.alerts import AlertEvent, AlertState, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.partials import ChangeNote
from pipeline.contracts.remediation import Action, CloudEvent, RemediationRequest
from pipeline.contracts.signals import Completeness, Errors, Latency, Saturation, Signals, Traffic

START_MS = 1_700_000_000_000
"""2023-11-14 22:13:20 UTC."""
WINDOW_MS = 10_000
STATES = {
    Transition.PENDING: AlertState.PENDING,
    Transition.FIRED: AlertState.FIRING,
    Transition.STILL_FIRING: AlertState.FIRING,
    Transition.RESOLVED: AlertState.RESOLVED,
    Transition.CANCELLED: AlertState.RESOLVED,
}


def window(i: int, service: str = "cart", *, p95_ms: float | None = 20.0, **changes: Any) -> Signals:
    """Return the ``i``-th window of a service."""
    start_ms = START_MS + i * WINDOW_MS
    values: dict[str, Any] = {
        "id": f"{service}-{i}",
        "environment": "demo",
        "service": service,
        "version": "1.2.0",
        "window_start_ms": start_ms,
        "window_end_ms": start_ms + WINDOW_MS,
        "revision": 1,
        "latency": None if p95_ms is None else Latency(count=120, p50_ms=p95_ms / 2, p95_ms=p95_ms),
        "traffic": Traffic(requests=120, requests_per_second=12.0),
        "errors": Errors(count=3, ratio=0.025),
        "saturation": {"cpu": Saturation(mean=0.31, max=0.4)},
        "most_constrained": "cpu",
        "completeness": Completeness(readings=125, late=0, sources=2, delay_ms=3_000),
    }
    return Signals(**{**values, **changes})


def verdict(i: int, judgement: Judgement, service: str = "cart", **finding: Any) -> Verdict:
    """Return the verdict of the ``i``-th window: one finding, on latency."""
    start_ms = START_MS + i * WINDOW_MS
    values: dict[str, Any] = {"condition": "latency", "signal": "latency", "judgement": judgement, "unit": "ms", "n_seen": 500}
    return Verdict(
        id=f"v-{service}-{i}",
        environment="demo",
        service=service,
        version="1.2.0",
        window_start_ms=start_ms,
        window_end_ms=start_ms + WINDOW_MS,
        findings=[Finding(**{**values, **finding})],
    )


def event(i: int, transition: Transition, service: str = "cart", *, life: str = "1", **changes: Any) -> AlertEvent:
    """Return the event at the end of the ``i``-th window, of a life that began with the first."""
    at_ms = START_MS + (i + 1) * WINDOW_MS
    values: dict[str, Any] = {
        "id": f"{service}-{life}-{transition}-{i}",
        "alert_id": f"{service}-{life}",
        "dedup_key": f"demo/{service}/latency",
        "transition": transition,
        "state": STATES[transition],
        "environment": "demo",
        "service": service,
        "version": "1.2.0",
        "condition": "latency",
        "signal": "latency",
        "severity": Severity.PAGE,
        "since_ms": START_MS,
        "at_ms": at_ms,
        "fired_at_ms": None if STATES[transition] is AlertState.PENDING else START_MS + 2 * WINDOW_MS,
        "resolved_at_ms": at_ms if STATES[transition] is AlertState.RESOLVED else None,
        "unit": "ms",
        "observed": 400.0,
        "expected": 20.0,
        "lower": 0.0,
        "upper": 40.0,
        "score": 9.0,
        "worst_score": 11.0,
        "confidence": 0.97,
        "sentence": f"{service} (demo): latency is 400 ms.",
    }
    return AlertEvent(**{**values, **changes})


def deployment(before_ms: int) -> ChangeNote:
    """Return a deployment so long before the first window."""
    return ChangeNote(type="deployment", time_ms=START_MS - before_ms, version="1.4.3")


def request(service: str = "cart", *, key: str = "k1", issued_at_ms: int = START_MS + 2 * WINDOW_MS) -> RemediationRequest:
    """Return what a bot is asked for when the first life fired."""
    return RemediationRequest(
        idempotency_key=key,
        action=Action.RESTART,
        environment="demo",
        service=service,
        version="1.2.0",
        alert_id=f"{service}-1",
        dedup_key=f"demo/{service}/latency",
        condition="latency",
        signal="latency",
        policy="restart-slow",
        reason="it is slow",
        issued_at_ms=issued_at_ms,
        expires_at_ms=issued_at_ms + 600_000,
        dry_run=True,
    )


def cloud_event(data: RemediationRequest) -> CloudEvent[RemediationRequest]:
    """Return a request as it travels."""
    return CloudEvent(
        id=data.idempotency_key,
        source="tocsin",
        type="tocsin.remediation.requested",
        subject=data.dedup_key,
        time="2023-11-14T22:13:40Z",
        data=data,
    )
