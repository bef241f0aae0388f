"""What each kind of record means: which fields it needs, and the reading they make.

Of a key that occurs twice the last counts; fields that are not named here are ignored.
"""

import math

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.partials import SEVERITIES, FeedbackVerdict
from pipeline.contracts.readings import (
    ChangeReading,
    FeedbackReading,
    GaugeReading,
    LevelReading,
    LogReading,
    RejectReason,
    RequestReading,
    SummaryReading,
)
from pipeline.contracts.window_times import LONGEST_INTERVAL_MS
from pipeline.ingest.decoders.latency import MAX_DURATION_MS, read_latency
from pipeline.ingest.decoders.trace_ids import trace_id_of
from pipeline.ingest.semantics import semantics_of
from pipeline.ingest.times import CHANGE_AHEAD_MS, event_time, reading_time, rfc3339
from pipeline.ingest.validation import (
    MAX_COUNT,
    Fields,
    boolean,
    count_or_zero,
    integer,
    missing,
    name,
    number,
    optional_text,
    origin,
    prose,
    refused,
    unchecked_text,
)

MAX_NOTE_LENGTH = 2_000
"""Characters of a change's note."""
MAX_VALUE = 1e300
"""Of a gauge's value and limit: room for any unit."""
MAX_LEVEL = 1e100
"""Of a named signal's value: a larger one has no square."""

_WORDS_BY_SEVERITY = {
    "trace": ("trace", "trace2", "trace3", "trace4", "verbose", "finest"),
    "debug": ("debug", "debug2", "debug3", "debug4", "fine", "finer"),
    "info": ("info", "info2", "info3", "info4", "information", "informational", "notice"),
    "warn": ("warn", "warn2", "warn3", "warn4", "warning"),
    "error": ("error", "error2", "error3", "error4", "err", "severe"),
    "fatal": ("fatal", "fatal2", "fatal3", "fatal4", "critical", "crit", "alert", "emergency", "emerg", "panic"),
}
_VERDICTS = tuple(verdict.value for verdict in FeedbackVerdict)
SEVERITY_BY_WORD = {word: severity for severity, words in _WORDS_BY_SEVERITY.items() for word in words}


def read_request(config: IngestConfig, published_ms: int, fields: Fields) -> RequestReading:
    """Return one request; ``error`` wins over ``status``, one of the two is required.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    get = fields.get
    is_error = _is_failure(get("status"))
    error = get("error")
    if error is not None:
        is_error = boolean(error, "error")
    elif is_error is None:
        raise missing("status")
    return RequestReading(
        origin=origin(fields, config.max_text_length),
        time_ms=_time(config, published_ms, fields),
        duration_ms=number(get("duration_ms"), "duration_ms", 0.0, MAX_DURATION_MS),
        is_error=is_error,
        trace_id=trace_id_of(get("trace_id")),
    )


def read_summary(config: IngestConfig, published_ms: int, fields: Fields) -> SummaryReading:
    """Return what happened in an interval that ends at ``time``.

    Raises
    ------
    FieldRefused
        If a field breaks its rule, or they contradict one another.

    """
    get = fields.get
    about = origin(fields, config.max_text_length)
    time_ms = _time(config, published_ms, fields)
    interval_ms = round(number(get("interval_s"), "interval_s", 0.001, LONGEST_INTERVAL_MS / 1000) * 1000)
    requests = integer(get("requests"), "requests", 0, MAX_COUNT)
    errors = count_or_zero(get("errors"), "errors")
    if errors > requests:
        raise refused(RejectReason.INCONSISTENT, "errors", f"must be at most the {requests} requests", errors)
    histogram, quantiles_ms = read_latency(get("latency_ms"), requests)
    return SummaryReading(
        origin=about,
        time_ms=time_ms,
        interval_ms=interval_ms,
        requests=requests,
        errors=errors,
        latency=histogram,
        quantiles_ms=quantiles_ms,
    )


def level_value(value: object) -> float:
    """Return a value of a gauge that is a named signal.

    Raises
    ------
    FieldRefused
        If it is no number, not finite, or so large that it has no square.

    """
    return number(value, "value", -MAX_LEVEL, MAX_LEVEL)


def read_gauge(config: IngestConfig, published_ms: int, fields: Fields) -> GaugeReading | LevelReading:
    """Return how full a resource is: its ``utilization``, else ``value / limit``; ``value`` alone is a named signal's.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    get = fields.get
    utilization = get("utilization")
    if utilization is None and get("limit") is None and get("value") is not None:
        named = semantics_of(config).named_signal(name(get("resource"), "resource", config.max_text_length))
        if named is not None and named.form == "gauge":
            return LevelReading(
                origin=origin(fields, config.max_text_length),
                time_ms=_time(config, published_ms, fields),
                signal=named.name,
                value=level_value(get("value")),
            )
    if utilization is not None:
        share = number(utilization, "utilization", 0.0, config.max_utilization)
    elif get("value") is None and get("limit") is None:
        raise missing("utilization")
    else:
        value = number(get("value"), "value", 0.0, MAX_VALUE)
        limit = number(get("limit"), "limit", 0.0, MAX_VALUE)
        name(get("unit"), "unit", config.max_text_length)
        share = value / limit if limit else math.inf
        if share > config.max_utilization:
            raise refused(
                RejectReason.OUT_OF_RANGE, "value", f"must be at most {config.max_utilization:g} x the limit {limit:g}", value
            )
    return GaugeReading(
        origin=origin(fields, config.max_text_length),
        time_ms=_time(config, published_ms, fields),
        resource=name(get("resource"), "resource", config.max_text_length),
        utilization=share,
    )


def read_log(config: IngestConfig, published_ms: int, fields: Fields) -> LogReading:
    """Return a log line. One with ``status`` or ``duration_ms`` counts as a request.

    Such a request failed when its status says so; without a status, when its severity does.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    get = fields.get
    severity = _severity(get("severity"))
    body = unchecked_text(get("body"), "body")
    unchecked_text(get("trace_id"), "trace_id")
    has_failed = _is_failure(get("status"))
    duration_ms = get("duration_ms")
    if duration_ms is not None:
        duration_ms = number(duration_ms, "duration_ms", 0.0, MAX_DURATION_MS)
    return LogReading(
        origin=origin(fields, config.max_text_length),
        time_ms=_time(config, published_ms, fields),
        severity=severity,
        is_error=severity in ("error", "fatal") if has_failed is None else has_failed,
        is_request=has_failed is not None or duration_ms is not None,
        duration_ms=duration_ms,
        trace_id=trace_id_of(get("trace_id")),
        text=body,
    )


def read_change(config: IngestConfig, published_ms: int, fields: Fields) -> ChangeReading:
    """Return something that people did to a service, or announce up to a year ahead.

    Raises
    ------
    FieldRefused
        If a field breaks its rule, or its record's own timestamp is absurd: that decides its window.

    """
    get = fields.get
    _check_publication(config, published_ms)
    about = origin(fields, config.max_text_length)
    latest_ms = published_ms + CHANGE_AHEAD_MS
    time_ms = event_time(config, get("time"), "time", latest_ms)
    until = get("until")
    until_ms = None if until is None else event_time(config, until, "until", latest_ms)
    if until_ms is not None and until_ms < time_ms:
        raise refused(RejectReason.INCONSISTENT, "until", f"must not be before time, {rfc3339(time_ms)}", until)
    return ChangeReading(
        origin=about,
        time_ms=time_ms,
        published_ms=published_ms,
        type=name(get("type"), "type", config.max_text_length),
        until_ms=until_ms,
        by=optional_text(get("by"), "by", config.max_text_length),
        note=prose(get("note"), "note", MAX_NOTE_LENGTH),
    )


def read_feedback(config: IngestConfig, published_ms: int, fields: Fields) -> FeedbackReading:
    """Return what a person says of a service's alerts.

    Raises
    ------
    FieldRefused
        If a field breaks its rule, or its record's own timestamp is absurd: that decides its window.

    """
    get = fields.get
    _check_publication(config, published_ms)
    about = origin(fields, config.max_text_length)
    verdict = name(get("verdict"), "verdict", config.max_text_length)
    if verdict not in _VERDICTS:
        raise refused(RejectReason.INVALID_TEXT, "verdict", f"must be one of {', '.join(_VERDICTS)}", verdict)
    return FeedbackReading(
        origin=about,
        time_ms=_time(config, published_ms, fields),
        published_ms=published_ms,
        verdict=FeedbackVerdict(verdict),
        condition=optional_text(get("condition"), "condition", config.max_text_length),
        by=optional_text(get("by"), "by", config.max_text_length),
        note=prose(get("note"), "note", MAX_NOTE_LENGTH),
    )


def _check_publication(config: IngestConfig, published_ms: int) -> None:
    """Refuse a record whose own timestamp, which decides its window, is absurd."""
    if published_ms < config.earliest_time_ms:
        rule = f"must come in a record whose Kafka timestamp is not before {rfc3339(config.earliest_time_ms)}"
        raise refused(RejectReason.ABSURD_TIME, "time", rule, published_ms)


def _time(config: IngestConfig, published_ms: int, fields: Fields) -> int:
    return reading_time(config, fields.get("time"), "time", published_ms)


def _is_failure(status: object) -> bool | None:
    """Return whether a status is a failure: HTTP's 5xx and "error" are; ``None`` when there is none."""
    if status is None:
        return None
    if type(status) is str:
        if status in ("ok", "error"):
            return status == "error"
        reason = RejectReason.WRONG_TYPE if status.isdecimal() else RejectReason.INVALID_TEXT
        raise refused(reason, "status", 'must be an HTTP status as a number, "ok" or "error"', status)
    return integer(status, "status", 100, 599) >= 500


def _severity(value: object) -> str:
    """Return trace, debug, info, warn, error or fatal for a word or OpenTelemetry's number."""
    if type(value) is not str:
        return SEVERITIES[(integer(value, "severity", 1, 24) - 1) // 4]
    severity = SEVERITY_BY_WORD.get(value.lower())
    if severity is None:
        reason = RejectReason.WRONG_TYPE if value.isdecimal() else RejectReason.INVALID_TEXT
        raise refused(reason, "severity", f"must be one of {', '.join(SEVERITIES)} or OpenTelemetry's number", value)
    return severity
