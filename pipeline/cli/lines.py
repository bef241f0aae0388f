"""One line for any record of any of Tocsin's topics: decides what of it a person wants to see first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from pipeline.analyse.observations import lower_of, n_windows
from pipeline.cli.telemetry_lines import telemetry_line
from pipeline.cli.wording import amount, band, counted, duration, moment, safe, safe_bytes
from pipeline.contracts.alerts import Alert, AlertEvent
from pipeline.contracts.anomalies import Finding, Judgement, Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.config import ConfigRecord
from pipeline.contracts.dead_letters import HEADER, REPLAYED_HEADER, DeadLetter
from pipeline.contracts.models import read_snapshot
from pipeline.contracts.partials import Bundle
from pipeline.contracts.remediation import CloudEvent, RemediationRequest, RemediationResult
from pipeline.contracts.signals import LateCount, Signals, SignalsRecord
from pipeline.errors import RecordInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What `tail` shows of a record: where it stands, whom it is about, and ``text``; ``data`` is for machines.

    ``is_readable``: the record matches its topic's contract.
    """

    partition: int
    offset: int
    timestamp_ms: int
    service_key: str
    text: str
    data: object
    is_readable: bool = True


def line_of(
    topic: str,
    *,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Mapping[str, bytes | None],
) -> Line:
    """Return the line of a record.

    Parameters
    ----------
    topic
        Logical name, such as ``signals``; telemetry and unknown ones are shown as they came.
    partition, offset, timestamp_ms
        Of the record; the timestamp is Kafka's, UTC epoch ms.
    key, value, headers
        As they are on the topic; nothing in them is trusted.

    """
    shown_key = "" if key is None else safe_bytes(key)
    is_readable = True
    try:
        if topic == "dead-letters" and REPLAYED_HEADER in headers:
            record: object = {"replayed": safe_bytes(headers[REPLAYED_HEADER] or b"")}
            text = f"{shown_key} was sent again"
        elif topic == "dead-letters":
            record = _dead_letter(headers)
            text = dead_letter_line(decode_dead_letter(headers), value)
        elif value is None:
            record, text = None, "(gone: a tombstone)"
        else:
            reader = _READERS.get(topic, _raw)
            record, text = reader(value)
    except RecordInvalid as problem:
        record = {"unreadable": safe(str(problem)), "value": "" if value is None else safe_bytes(value)}
        text = f"unreadable, {safe(str(problem))}: {'(no value)' if value is None else safe_bytes(value)}"
        is_readable = False
    return Line(
        partition=partition,
        offset=offset,
        timestamp_ms=timestamp_ms,
        service_key=_service_of(record) or shown_key,
        text=text,
        data=msgspec.to_builtins(record) if isinstance(record, msgspec.Struct) else record,
        is_readable=is_readable,
    )


def decode_dead_letter(headers: Mapping[str, bytes | None]) -> DeadLetter:
    """Return why a record is a dead letter.

    Raises
    ------
    RecordInvalid
        If the header is missing or unreadable.

    """
    header = headers.get(HEADER)
    if header is None:
        raise RecordInvalid(f"not a dead letter: the header {HEADER} is missing")
    return decode(header, DeadLetter)


def signals_record(value: bytes) -> SignalsRecord:
    """Return what a value on the signals topic is.

    Raises
    ------
    RecordInvalid
        If it is none of the three.

    """
    record: SignalsRecord = decode(value, SignalsRecord)  # type: ignore[arg-type] # to msgspec a union is a type
    return record


def signals_line(signals: Signals) -> str:
    """Return the four golden signals of a window in one line."""
    latency = signals.latency
    parts = [
        f"{moment(signals.window_start_ms)}+{signals.size_ms // 1000}s",
        f"{amount(signals.traffic.requests_per_second)} req/s",
        "no latency" if latency is None else f"p50 {amount(latency.p50_ms, 'ms')} p95 {amount(latency.p95_ms, 'ms')}",
        f"errors {amount(signals.errors.ratio, 'ratio')}",
    ]
    if signals.most_constrained is not None and signals.most_constrained in signals.saturation:
        parts.append(f"{safe(signals.most_constrained)} {amount(signals.saturation[signals.most_constrained].mean, 'ratio')}")
    if signals.is_silent:
        parts = [parts[0], "silent: nothing was heard"]
    if signals.rollup:
        parts.append("rollup")
    if signals.revision > 1:
        parts.append(f"revision {signals.revision}")
    if signals.completeness.late:
        parts.append(f"{signals.completeness.late} late so far")
    parts += [f"change: {safe(change.type)} {safe(change.version)}".rstrip() for change in signals.changes]
    parts += [f"feedback: {said.verdict} {safe(said.condition)}".rstrip() for said in signals.feedback]
    return ", ".join(parts)


def finding_line(finding: Finding) -> str:
    """Return what a detector says, in a few words."""
    if finding.judgement in (Judgement.NO_DATA, Judgement.NOT_READY):
        return f"{safe(finding.condition)} {finding.judgement.replace('_', ' ')}"
    score = "" if finding.score is None else f", {finding.score:+.1f} sd"
    return f"{safe(finding.condition)} {finding.judgement}: {observed(finding)}, expected {expected(finding)}{score}"


def observed(finding: Finding) -> str:
    """Return the value, which number it is, and over how many windows it was taken where that is more than one."""
    n, statistic = n_windows(finding), f" ({safe(finding.statistic)})" if finding.statistic else ""
    return f"{amount(finding.observed, finding.unit)}{statistic}{f' over {n} windows' if n > 1 else ''}"


def expected(finding: Finding) -> str:
    """Return the band of one window; beside a value of several windows the likeliest value, for the band is not theirs."""
    if n_windows(finding) > 1 and finding.expected is not None:
        return f"about {amount(finding.expected, finding.unit)}"
    return band(lower_of(finding.condition, finding.lower, finding.upper), finding.upper, finding.unit)


def verdict_line(verdict: Verdict) -> str:
    """Return what matters of a verdict: what is anomalous, else how much is normal."""
    unusual = [finding_line(finding) for finding in verdict.findings if finding.judgement is Judgement.ANOMALOUS]
    if not unusual:
        counts = {judgement: sum(f.judgement is judgement for f in verdict.findings) for judgement in Judgement}
        unusual = [", ".join(f"{n} {judgement.replace('_', ' ')}" for judgement, n in counts.items() if n) or "nothing to judge"]
    if verdict.retired and verdict.window_end_ms == verdict.window_start_ms:
        return f"{moment(verdict.window_start_ms)}; retired"
    when = f"{moment(verdict.window_start_ms)}+{(verdict.window_end_ms - verdict.window_start_ms) // 1000}s"
    marks = {"retired": verdict.retired, "novelty": verdict.rollup, "in shadow": verdict.shadow}
    not_learned = [f"not learned: {safe(verdict.not_learned)}"] if verdict.not_learned else []
    return "; ".join([when, *unusual, *not_learned, *(mark for mark, holds in marks.items() if holds)])


def event_line(event: AlertEvent) -> str:
    """Return an alert event: when, what happened to it, and its sentence."""
    sentence = safe(event.sentence, 400) or f"{safe(event.condition)} is unusual"
    return f"{moment(event.at_ms)} {event.transition.replace('_', ' ').upper()} [{event.severity}] {sentence}"


def alert_line(alert: Alert) -> str:
    """Return the current state of an alert."""
    note = f" ({safe(alert.remediation_note)})" if alert.remediation_note else ""
    return f"{alert.event.state}, {alert.delivery}: {event_line(alert.event)}{note}"


def request_line(request: RemediationRequest) -> str:
    """Return what a bot is asked to do."""
    dry = " (dry run)" if request.dry_run else ""
    return (
        f"{moment(request.issued_at_ms)} {request.action.replace('_', ' ')}{dry}, policy {safe(request.policy)}, "
        f"expires {moment(request.expires_at_ms)}: {safe(request.reason, 400)}"
    )


def result_line(result: RemediationResult) -> str:
    """Return what a bot reports."""
    by = f" by {safe(result.by)}" if result.by else ""
    note = f": {safe(result.note)}" if result.note else ""
    return f"{moment(result.at_ms)} {result.status}{by}{note} ({safe(result.idempotency_key)})"


def dead_letter_line(letter: DeadLetter, value: bytes | None) -> str:
    """Return where a rejected record came from, each reason once, the first detail, and the beginning of its bytes."""
    reasons = ", ".join(dict.fromkeys(rejection.reason for rejection in letter.rejections)) or "no reason given"
    detail = f": {safe(letter.rejections[0].detail)}" if letter.rejections else ""
    part = f", {letter.n_rejected} of {letter.n_records} records" if letter.n_records > 1 else ""
    bytes_ = "(tombstone)" if value is None else safe_bytes(value, 80)
    return f"{safe(letter.topic)}/{letter.partition}/{letter.offset} {reasons}{part}{detail} | {bytes_}"


def _signals(value: bytes) -> tuple[object, str]:
    record = signals_record(value)
    if isinstance(record, Signals):
        return msgspec.structs.replace(record, histogram=None), signals_line(record)
    if isinstance(record, LateCount):
        window = f"window {moment(record.window_start_ms)}"
        late = f"{counted(record.readings, 'reading')}, {counted(record.requests, 'request')} late by {duration(record.late_by_ms)}"
        return record, f"{window}: {late}, from {safe(record.source)}"
    return record, f"{moment(record.at_ms)} {record.notice.replace('_', ' ')}: {safe(record.text, 400)}"


def _partials(value: bytes) -> tuple[object, str]:
    bundle = decode(value, Bundle)
    services = sorted({f"{partial.environment}/{partial.service}" for partial in bundle.partials})
    readings = sum(partial.readings for partial in bundle.partials)
    idle = ", idle" if bundle.idle else ""
    held = f"{counted(len(bundle.partials), 'partial')}, {counted(readings, 'reading')}" if services else "header only"
    through = f"chunk {bundle.chunk} through {bundle.through}" if bundle.through >= 0 else "nothing read yet"
    return bundle, f"{safe(bundle.source)} {through}, watermark {moment(bundle.watermark_ms)}{idle}: {held}"


def _verdict(value: bytes) -> tuple[object, str]:
    verdict = decode(value, Verdict)
    return verdict, verdict_line(verdict)


def _event(value: bytes) -> tuple[object, str]:
    event = decode(value, AlertEvent)
    return event, event_line(event)


def _alert(value: bytes) -> tuple[object, str]:
    alert = decode(value, Alert)
    return alert, alert_line(alert)


def _request(value: bytes) -> tuple[object, str]:
    request = decode(value, CloudEvent[RemediationRequest]).data
    return request, request_line(request)


def _result(value: bytes) -> tuple[object, str]:
    result = decode(value, RemediationResult)
    return result, result_line(result)


def _model(value: bytes) -> tuple[object, str]:
    """Show what a snapshot is of; the state itself is for machines that know its models."""
    snapshot = read_snapshot(value)
    told = f"{snapshot.part} after {snapshot.n:,} windows, as of {moment(snapshot.at_ms)}, {len(value):,} bytes"
    return msgspec.structs.replace(snapshot, state={}), f"{told}, by {safe(snapshot.app)} {safe(snapshot.version)}"


def _config(value: bytes) -> tuple[object, str]:
    config = decode(value, ConfigRecord)
    return config, f"ingest configuration {safe(config.hash)} of Tocsin {safe(config.version)}"


def _raw(value: bytes) -> tuple[object, str]:
    """Show what is not Tocsin's own: telemetry and changes in a line, what is none as it came."""
    try:
        content = msgspec.json.decode(value)
        return content, telemetry_line(content) or safe_bytes(value, 400)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise RecordInvalid("not JSON") from problem


def _dead_letter(headers: Mapping[str, bytes | None]) -> DeadLetter:
    return decode_dead_letter(headers)


def _service_of(record: object) -> str:
    service = getattr(record, "service", "")
    environment = getattr(record, "environment", "")
    return "/".join(safe(part) for part in (environment, service) if part) if service else ""


_READERS: Mapping[str, Callable[[bytes], tuple[object, str]]] = {
    "signals": _signals,
    "partials": _partials,
    "anomalies": _verdict,
    "alert-events": _event,
    "alerts": _alert,
    "remediation.requests": _request,
    "remediation.results": _result,
    "config": _config,
    "models": _model,
}
