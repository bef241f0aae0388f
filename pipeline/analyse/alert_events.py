"""What an alert event holds: the facts of a condition's life, what people know about the service, and what to do first."""

import math
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from pipeline.analyse.lives import Life
from pipeline.analyse.observations import times_expected
from pipeline.analyse.sentences import change_words, sentence
from pipeline.contracts.alerts import AlertEvent, AlertState, ResolveReason, Transition
from pipeline.contracts.directory import ServiceEntry
from pipeline.contracts.ids import content_id
from pipeline.contracts.keys import split_service_key

STATES: Mapping[Transition, AlertState] = {
    Transition.PENDING: AlertState.PENDING,
    Transition.FIRED: AlertState.FIRING,
    Transition.STILL_FIRING: AlertState.FIRING,
    Transition.RESOLVED: AlertState.RESOLVED,
    Transition.CANCELLED: AlertState.RESOLVED,
}


def alert_event(
    *,
    service_key: str,
    version: str,
    life: Life,
    transition: Transition,
    at_ms: int,
    entry: ServiceEntry,
    actions: Mapping[str, str],
    runbooks: Mapping[str, str],
    reason: ResolveReason | None = None,
    others: Sequence[str] = (),
    trace_url: str = "",
) -> AlertEvent:
    """Return the event of one step in a life.

    Parameters
    ----------
    service_key, version
        Whom it is about, and the version it runs.
    life, transition, at_ms, reason
        What happened at the end of which window (ms), and why it ended if it did.
    entry
        What people know about the service.
    actions, runbooks
        Defaults by condition, kind of condition, signal or (actions only) type of a recent change.
    others
        Other conditions of the service that are firing.
    trace_url
        Link to a trace, with ``{trace_id}`` in it; empty: none.

    """
    environment, service = split_service_key(service_key)
    finding = life.finding
    dedup_key = f"{service_key}/{life.condition}"
    alert_id = life_id(dedup_key, life)
    is_over = STATES[transition] is AlertState.RESOLVED
    return AlertEvent(
        id=content_id("alert-event", alert_id, transition, at_ms),
        alert_id=alert_id,
        dedup_key=dedup_key,
        transition=transition,
        state=STATES[transition],
        environment=environment,
        service=service,
        version=version,
        condition=life.condition,
        signal=life.signal,
        severity=life.severity,
        since_ms=life.since_ms,
        at_ms=at_ms,
        fired_at_ms=life.fired_at_ms,
        resolved_at_ms=at_ms if is_over else None,
        resolve_reason=reason,
        n_windows=life.n_windows,
        unit=finding.unit,
        observed=finding.observed,
        expected=finding.expected,
        lower=finding.lower,
        upper=finding.upper,
        score=finding.score,
        worst_score=life.worst_score,
        times_expected=times_expected(finding),
        confidence=finding.confidence,
        owner=entry.owner,
        runbook=_runbook(life, entry, runbooks),
        suggested_action=_suggested_action(life, entry, actions),
        sentence=sentence(
            environment=environment, service=service, life=life, transition=transition, at_ms=at_ms, reason=reason, others=others
        ),
        recent_change="" if life.change is None else change_words(life.change, life.since_ms),
        change=life.change,
        also_firing=list(others),
        explanation={name: value for name, value in finding.explanation.items() if math.isfinite(value)},
        exemplars=life.exemplars,
        callees=life.callees,
        trace_url=trace_url.replace("{trace_id}", quote(life.exemplars[0].trace_id, safe="")) if life.exemplars else "",
        log=finding.log,
    )


def life_id(dedup_key: str, life: Life) -> str:
    """Return the alert's id: of this life of the condition, the same however often it is told."""
    if life.is_rollup:  # a rollup and a base window can begin at the same time
        return content_id("alert", dedup_key, life.since_ms, "rollup")
    return content_id("alert", dedup_key, life.since_ms)


def _suggested_action(life: Life, entry: ServiceEntry, actions: Mapping[str, str]) -> str:
    """Return the service's own advice, else what usually helps after such a change, else what usually helps."""
    names = _names(life)
    for name in names:
        if name in entry.actions:
            return entry.actions[name]
    for name in ([life.change.type] if life.change is not None else []) + names:
        if name in actions:
            return actions[name]
    return ""


def _runbook(life: Life, entry: ServiceEntry, runbooks: Mapping[str, str]) -> str:
    known = entry.runbook or next((runbooks[name] for name in _names(life) if name in runbooks), "")
    return known.replace("{condition}", _kind(life.condition))


def _names(life: Life) -> list[str]:
    return [life.condition, _kind(life.condition), life.signal, "*"]


def _kind(condition: str) -> str:
    return condition.partition(":")[0]
