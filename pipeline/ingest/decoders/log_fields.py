"""What the fields of a structured log line mean, whatever program wrote it: whom, when, how bad, and whether it is a request."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.contracts.partials import SEVERITIES, UNKNOWN_SEVERITY
from pipeline.contracts.readings import LogReading, RejectReason
from pipeline.contracts.semantic import MS_PER_UNIT
from pipeline.ingest.decoders.kinds import SEVERITY_BY_WORD
from pipeline.ingest.decoders.latency import MAX_DURATION_MS
from pipeline.ingest.decoders.old_times import from_syslog
from pipeline.ingest.decoders.trace_ids import trace_id_of
from pipeline.ingest.semantics import FAILED_FROM, Attribute, Attributes, Semantics, as_status, first_text, joined
from pipeline.ingest.times import reading_time
from pipeline.ingest.validation import number, refused

SYSLOG_SEVERITIES = ("fatal", "fatal", "fatal", "error", "warn", "info", "info", "debug")
"""RFC 5424, section 6.2.1: emergency, alert, critical, error, warning, notice, informational, debug."""
_MAX_LEVELS = 6
_NUMBER = re.compile(r"[+-]?[0-9]{1,25}(?:\.[0-9]{1,25})?")
_PLAIN_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?Z?")


class Asked(NamedTuple):
    """The request that a line tells of; ``None``: not told."""

    operation: str
    has_failed: bool | None
    duration_ms: float | None


def log_reading(
    semantics: Semantics, topic: str, published_ms: int, fields: Attributes, *, severity: str = "", text: str = ""
) -> LogReading:
    """Return the reading of a line's fields; without a time it is that of its record.

    Parameters
    ----------
    semantics
        The mapping.
    topic, published_ms
        Where the line came from, and its record's Kafka timestamp.
    fields
        By name; those of objects within have the names of both, with a dot between.
    severity
        Where the fields name none.
    text
        What the line says.

    Raises
    ------
    FieldRefused
        If no service is named, or a field breaks its rule.

    """
    names = semantics.mapping.logs
    asked = asked_of(semantics, fields)
    word = first_text(fields, names.severity)
    bad = severity_of(word) if word else severity or UNKNOWN_SEVERITY
    return LogReading(
        origin=semantics.origin(topic, fields, operation="" if asked is None else asked.operation, names=names),
        time_ms=_time_ms(semantics, fields, published_ms),
        severity=bad,
        is_error=bad in {"error", "fatal"} if asked is None or asked.has_failed is None else asked.has_failed,
        is_request=asked is not None,
        duration_ms=None if asked is None else asked.duration_ms,
        trace_id=trace_id_of(first_text(fields, names.trace)),
        text=text,
    )


def asked_of(semantics: Semantics, fields: Attributes) -> Asked | None:
    """Return the request that fields tell of; ``None``: they tell of none.

    Raises
    ------
    FieldRefused
        If a duration is negative, or absurdly long.

    """
    if not semantics.counts_logs:
        return None
    names = semantics.mapping.logs
    status = next((found for name in names.status if (found := as_status(fields.get(name))) is not None), None)
    duration_ms = None
    for name, unit in names.duration.items():
        value = _as_number(fields.get(name))
        if value is not None:
            duration_ms = number(value * MS_PER_UNIT[unit], name, 0.0, MAX_DURATION_MS)
            break
    if status is None and duration_ms is None:
        return None
    return Asked(joined(fields, names.operation), None if status is None else status >= FAILED_FROM, duration_ms)


def severity_of(word: str) -> str:
    """Return trace, debug, info, warn, error or fatal for a word, syslog's number, or OpenTelemetry's from 8 on.

    Examples
    --------
    >>> severity_of("ERR"), severity_of("3"), severity_of("17"), severity_of("whatever")
    ('error', 'error', 'error', 'info')

    """
    known = SEVERITY_BY_WORD.get(word.lower())
    if known is not None:
        return known
    if word.isascii() and word.isdecimal() and len(word) <= 2:
        given = int(word)
        return SYSLOG_SEVERITIES[given] if given < 8 else SEVERITIES[min((given - 1) // 4, 5)]
    return UNKNOWN_SEVERITY


def flattened(fields: Mapping[str, object], limit: int) -> dict[str, Attribute]:
    """Return texts, numbers and booleans by name, those of objects within under both names with a dot between.

    Raises
    ------
    FieldRefused
        If there are more than ``limit``.

    """
    flat: dict[str, Attribute] = {}
    waiting: list[tuple[str, Mapping[str, object], int]] = [("", fields, 0)]
    n = 0
    while waiting:
        prefix, inner, level = waiting.pop()
        n += len(inner)
        if n > limit:
            raise refused(RejectReason.TOO_MANY_ATTRIBUTES, prefix, f"must be at most {limit} fields", n)
        for name, value in inner.items():
            if isinstance(value, str | int | float):
                flat.setdefault(prefix + name, value)
            elif isinstance(value, dict) and level < _MAX_LEVELS:
                waiting.append((f"{prefix}{name}.", value, level + 1))
    return flat


def _time_ms(semantics: Semantics, fields: Attributes, published_ms: int) -> int:
    config = semantics.config
    for name in semantics.mapping.logs.time:
        value: object = fields.get(name)
        if value is None or value == "" or isinstance(value, bool):
            continue
        if isinstance(value, str):
            value = _plainer_time(value, published_ms)
        return reading_time(config, value, name, published_ms)
    return published_ms


def _plainer_time(value: str, published_ms: int) -> object:
    """Return digits as a number, a date and time without an offset or a year as UTC; anything else as it is."""
    if _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    match = _PLAIN_TIME.fullmatch(value)
    if match is None:
        return from_syslog(value, published_ms) or value
    try:
        moment = datetime(*(int(part) for part in match.group(1, 2, 3, 4, 5, 6)), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return value
    return int(moment.timestamp()) * 1000 + int(((match[7] or "") + "000")[:3])


def _as_number(value: object) -> float | None:
    """Return a duration as sent: a number, or its digits; a dash, and whatever else is no number, is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None
