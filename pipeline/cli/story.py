"""The story of a service or an alert: decides what of the evidence answers "what was seen, expected, decided, and why"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.analyse.observations import lower_of
from pipeline.cli.lines import expected, observed, request_line, result_line
from pipeline.cli.wording import amount, band, counted, duration, moment, safe, sparkline
from pipeline.contracts.alerts import Alert, AlertEvent, AlertState, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Verdict
from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.keys import service_key
from pipeline.contracts.remediation import RemediationRequest, RemediationResult
from pipeline.contracts.signals import Signals

WINDOWS_BEFORE, WINDOWS_AFTER = 6, 3
"""Windows shown around an alert."""
MAX_ROWS = 14
STEPS_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that Tocsin's topics hold about one service; each sequence by time, each window's highest revision."""

    key: str
    signals: Sequence[Signals] = ()
    verdicts: Sequence[Verdict] = ()
    events: Sequence[AlertEvent] = ()
    alerts: Sequence[Alert] = ()
    requests: Sequence[RemediationRequest] = ()
    results: Sequence[RemediationResult] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One part of a story: a heading and its lines."""

    heading: str
    lines: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What `explain` tells: chapters for people, rows of windows for a table, ``data`` for machines."""

    title: str
    chapters: list[Chapter]
    rows: list[list[str]]
    data: dict[str, object]


UNREMARKABLE = frozenset({"normal", "learning", "not judged"})
"""What may stand in the last column without being a cause for concern."""
COLUMNS = ("window", "req/s", "p50", "p95", "errors", "most constrained", "judged")


def find_alert(name: str, events: Sequence[AlertEvent]) -> AlertEvent | None:
    """Return the newest event of the alert that ``name`` means: an alert's or event's id, or a dedup key."""
    own = [event for event in events if name in (event.alert_id, event.id, event.dedup_key)]
    return own[-1] if own else None


def tell(evidence: Evidence, alert: AlertEvent | None = None) -> Story:
    """Return the story of a service; of one alert's life when ``alert``, its newest event, is given."""
    life = [] if alert is None else [event for event in evidence.events if event.alert_id == alert.alert_id]
    signals = _around(evidence.signals, alert)
    verdicts = _around(evidence.verdicts, alert)
    chapters = [
        Chapter(heading="What was seen", lines=_seen(signals, alert)),
        Chapter(heading="What was expected", lines=_expected(verdicts, alert)),
        Chapter(heading="What was decided, and why", lines=_decided(evidence, alert, life)),
        Chapter(heading="What was asked of bots", lines=_asked(evidence, alert)),
    ]
    title = f"{safe(evidence.key)}" if alert is None else f"{safe(alert.condition)} of {safe(evidence.key)}, {alert.state}"
    data: dict[str, object] = {
        "service": evidence.key,
        "alert": alert,
        "windows": [_without_histogram(window) for window in signals[-MAX_ROWS:]],
        "findings": {} if not verdicts else {finding.condition: finding for finding in verdicts[-1].findings},
        "events": life or list(evidence.events)[-STEPS_SHOWN:],
        "current": [current for current in evidence.alerts if alert is None or current.event.dedup_key == alert.dedup_key],
        "remediation": {"requests": _requests(evidence, alert), "results": _results(evidence, alert)},
        "story": [line for chapter in chapters for line in chapter.lines],
    }
    return Story(title=title, chapters=chapters, rows=_rows(signals, verdicts), data=data)


def _around(windows: Sequence[Signals] | Sequence[Verdict], alert: AlertEvent | None) -> list:  # type: ignore[type-arg]
    base = [window for window in windows if not window.rollup]
    if alert is None:
        return base[-MAX_ROWS:]
    size_ms = 10_000 if not base else base[-1].window_end_ms - base[-1].window_start_ms
    end_ms = alert.at_ms + WINDOWS_AFTER * size_ms
    start_ms = alert.since_ms - WINDOWS_BEFORE * size_ms
    return [window for window in base if start_ms <= window.window_start_ms < end_ms]


def _seen(signals: Sequence[Signals], alert: AlertEvent | None) -> list[str]:
    if not signals:
        return ["No windows of this service are on the topic."]
    first, last = signals[0], signals[-1]
    begin, end = moment(first.window_start_ms, with_date=True), moment(last.window_end_ms)
    said = [f"{counted(len(signals), 'window')} from {begin} to {end} UTC."]
    for name, unit, read in _SERIES:
        values = [read(window) for window in signals]
        known = [value for value in values if value is not None]
        if known:
            said.append(f"{name:<10} {sparkline(values, low=0.0)}  {amount(min(known), unit)} to {amount(max(known), unit)}")
    silent = sum(window.is_silent for window in signals)
    if silent:
        said.append(f"In {silent} of them nothing at all was heard of it.")
    late = last.completeness.late
    if late:
        said.append(f"{late} readings of it came too late for their windows so far.")
    changes = {(change.time_ms, change.type, change.version) for window in signals for change in window.changes}
    if alert is not None and alert.change is not None:
        changes.add((alert.change.time_ms, alert.change.type, alert.change.version))
    said += [f"{safe(kind)} {safe(version)} at {moment(time_ms)}." for time_ms, kind, version in sorted(changes)]
    return said


def _expected(verdicts: Sequence[Verdict], alert: AlertEvent | None) -> list[str]:
    if not verdicts:
        return ["No detector has judged it yet."]
    if alert is not None:
        lower = lower_of(alert.condition, alert.lower, alert.upper)
        expected = f"{safe(alert.condition)}: {band(lower, alert.upper, alert.unit)}"
        middle = "" if alert.expected is None else f", most likely {amount(alert.expected, alert.unit)}"
        return [f"{expected}{middle}.", *_terms(alert.explanation)]
    return [_expectation(finding) for finding in verdicts[-1].findings]


def _expectation(finding: Finding) -> str:
    name = safe(finding.condition)
    if finding.judgement is Judgement.NOT_READY:
        return f"{name}: still learning, {counted(finding.n_seen, 'window')} so far."
    if finding.judgement is Judgement.NO_DATA:
        return f"{name}: no data to judge."
    score = "" if finding.score is None else f", {finding.score:+.1f} standard deviations"
    learned = f"{counted(finding.n_seen, 'window')} learned"
    return f"{name}: {expected(finding)}; was {observed(finding)}{score}: {finding.judgement} ({learned})."


def _decided(evidence: Evidence, alert: AlertEvent | None, life: Sequence[AlertEvent]) -> list[str]:
    if alert is None:
        firing = [current.event for current in evidence.alerts if current.event.state is AlertState.FIRING]
        said = [f"Firing now: {safe(event.condition)}. {safe(event.sentence, 400)}" for event in firing] or [
            "Nothing is firing now."
        ]
        return said + [_step(event) for event in list(evidence.events)[-STEPS_SHOWN:]]
    said = [safe(alert.sentence, 400)] if alert.sentence else []
    said += [_step(event) for event in life if event.transition is not Transition.STILL_FIRING][-STEPS_SHOWN:]
    observed = f"observed {amount(alert.observed, alert.unit)}"
    outside = "" if alert.score is None else f", {alert.score:+.1f} standard deviations outside"
    worst = "" if alert.worst_score is None else f", {alert.worst_score:+.1f} at worst"
    said.append(
        f"In the last window {observed}{outside}{worst}; {alert.confidence:.0%} sure, after {counted(alert.n_windows, 'window')}."
    )
    log = next((event.log for event in reversed(life) if event.log is not None), None)
    if log is not None:
        said.append(
            f"Log lines: {safe(log.template)} ({safe(log.severity)})"
            + (f", such as: {safe(log.example, 400)}" if log.example else "")
        )
    if alert.resolved_at_ms is not None:
        reason = "" if alert.resolve_reason is None else f" ({alert.resolve_reason.replace('_', ' ')})"
        said.append(f"It lasted {duration(alert.resolved_at_ms - alert.since_ms)}{reason}.")
    if alert.recent_change:
        said.append(f"Shortly before: {safe(alert.recent_change)}.")
    said += [_request_line(exemplar) for exemplar in alert.exemplars]
    if alert.trace_url:
        said.append(f"Its trace: {safe(alert.trace_url, 400)}")
    if alert.also_firing:
        when = " then" if alert.resolved_at_ms is not None else ""
        said.append(f"Also firing{when}: {', '.join(safe(condition) for condition in alert.also_firing)}.")
    current = next((state for state in evidence.alerts if state.event.dedup_key == alert.dedup_key), None)
    if current is not None and current.event.alert_id == alert.alert_id:
        told = {
            "pending": "Nobody was told yet.",
            "notified": "People were told.",
            "muted": f"Nobody was told: {safe(current.muted_by)} was in alarm before, and stands for it.",
            "recorded": "Old news: recorded, nobody was told.",
        }
        said.append(told[current.delivery])
        if current.remediation_note:
            said.append(f"Remediation: {safe(current.remediation_note)}.")
    said += [f"{label}: {safe(value)}" for label, value in (("Owner", alert.owner), ("Runbook", alert.runbook)) if value]
    return said + ([f"Do first: {safe(alert.suggested_action)}"] if alert.suggested_action else [])


def _request_line(exemplar: Exemplar) -> str:
    took = "" if exemplar.value_ms is None else f" of {amount(exemplar.value_ms, 'ms')}"
    kind = "failed" if exemplar.failed else "slow"
    return f"One {kind} request{took} at {moment(exemplar.time_ms)}: trace {safe(exemplar.trace_id)}."


def _step(event: AlertEvent) -> str:
    """Return one step of an alert's life without its sentence, which stands above: when, what, and at which value."""
    value = "" if event.observed is None else f", at {amount(event.observed, event.unit)}"
    return f"{moment(event.at_ms)} {event.transition.replace('_', ' ').upper()} [{event.severity}] {safe(event.condition)}{value}"


def _asked(evidence: Evidence, alert: AlertEvent | None) -> list[str]:
    said = [request_line(request) for request in _requests(evidence, alert)]
    said += [result_line(result) for result in _results(evidence, alert)]
    return said or ["Nothing."]


def _requests(evidence: Evidence, alert: AlertEvent | None) -> list[RemediationRequest]:
    own = [request for request in evidence.requests if alert is None or request.alert_id == alert.alert_id]
    return own[-STEPS_SHOWN:]


def _results(evidence: Evidence, alert: AlertEvent | None) -> list[RemediationResult]:
    keys = {request.idempotency_key for request in _requests(evidence, alert)}
    return [result for result in evidence.results if result.idempotency_key in keys]


def _terms(explanation: dict[str, float]) -> list[str]:
    if not explanation:
        return []
    return ["From: " + ", ".join(f"{safe(name, 40)} {value:.3g}" for name, value in explanation.items()) + "."]


def _rows(signals: Sequence[Signals], verdicts: Sequence[Verdict]) -> list[list[str]]:
    judged = {verdict.window_start_ms: verdict for verdict in verdicts}
    rows = []
    for window in signals[-MAX_ROWS:]:
        verdict = judged.get(window.window_start_ms)
        most = window.most_constrained
        rows.append(
            [
                moment(window.window_start_ms),
                f"{window.traffic.requests_per_second:.1f}",
                amount(None if window.latency is None else window.latency.p50_ms, "ms"),
                amount(None if window.latency is None else window.latency.p95_ms, "ms"),
                amount(window.errors.ratio, "ratio"),
                "-" if most is None else f"{safe(most, 24)} {amount(window.saturation[most].mean, 'ratio')}",
                _judged(verdict),
            ]
        )
    return rows


def _judged(verdict: Verdict | None) -> str:
    """Return the conditions that were anomalous; else whether anything could be judged at all."""
    if verdict is None:
        return "not judged"
    unusual = [safe(finding.condition) for finding in verdict.findings if finding.judgement is Judgement.ANOMALOUS]
    is_learning = any(finding.judgement is Judgement.NOT_READY for finding in verdict.findings)
    return ", ".join(unusual) or ("learning" if is_learning else "normal")


def _without_histogram(window: Signals) -> Signals:
    return Signals(**{name: getattr(window, name) for name in window.__struct_fields__ if name != "histogram"})


def name_of(event: AlertEvent) -> str:
    """Return the service key of an event."""
    return service_key(event.environment, event.service)


_SERIES: Sequence[tuple[str, str, Callable[[Signals], float | None]]] = (
    ("requests/s", "", lambda window: window.traffic.requests_per_second),
    ("p95", "ms", lambda window: None if window.latency is None else window.latency.p95_ms),
    ("errors", "ratio", lambda window: window.errors.ratio),
    ("saturation", "ratio", lambda window: max((s.mean for s in window.saturation.values()), default=None)),
)
