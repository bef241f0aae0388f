"""Telemetry as publishers sent it, in one line: decides what of a record a person wants to see; nothing in it is trusted."""

from collections.abc import Callable, Mapping

from pipeline.cli.wording import amount, safe

SHOWN_RECORDS = 3
"""Records of an array that are shown; the others are counted."""
QUANTILES = ("p50", "p90", "p95", "p99", "mean")

Fields = Mapping[str, object]


def telemetry_line(content: object) -> str | None:
    """Return one line on a record or an array of records; ``None`` where it has nothing that a line could say.

    Parameters
    ----------
    content
        As JSON has it, right or wrong.

    """
    if not isinstance(content, list):
        return _record_line(content)
    lines = [line for record in content[:SHOWN_RECORDS] if (line := _record_line(record)) is not None]
    if not lines or len(lines) < min(len(content), SHOWN_RECORDS):
        return None
    more = [f"{len(content) - SHOWN_RECORDS} more"] if len(content) > SHOWN_RECORDS else []
    return f"{len(content)} records: " + "; ".join(lines + more)


def _record_line(record: object) -> str | None:
    if not isinstance(record, Mapping):
        return None
    needed, write = _LINES.get(str(record.get("kind")), ("", None))
    return None if write is None or needed not in record else write(record)


def _request(record: Fields) -> str:
    outcome = _text(record, "status") or ("error" if record.get("error") is True else "")
    return _spaced("request", _text(record, "operation"), _ms(record.get("duration_ms")), outcome, _origin(record))


def _summary(record: Fields) -> str:
    """Return how many requests in how long; quantiles where they came as such, else the mean of the histogram."""
    counts = f"{_text(record, 'requests') or '?'} requests, {_text(record, 'errors') or '0'} errors"
    latency = record.get("latency_ms")
    known = latency if isinstance(latency, Mapping) else {}
    told = [f"{name} {_ms(known[name])}" for name in QUANTILES if name in known]
    requests, total = record.get("requests"), known.get("sum")
    if not told and isinstance(total, int | float) and isinstance(requests, int) and requests > 0:
        told = [f"mean {_ms(total / requests)}"]
    span = f"{_text(record, 'interval_s') or '?'} s:"
    return _spaced("summary", _text(record, "operation"), span, ", ".join([counts, *told]), _origin(record))


def _gauge(record: Fields) -> str:
    used = record.get("utilization")
    if isinstance(used, int | float):
        level = amount(float(used), "utilization")
    else:
        limit = f" of {_text(record, 'limit')}" if "limit" in record else ""
        level = _spaced(f"{_text(record, 'value') or '?'}{limit}", _text(record, "unit"))
    return _spaced("gauge", _text(record, "resource"), level, _origin(record))


def _log(record: Fields) -> str:
    outcome = _spaced(_ms(record["duration_ms"]) if "duration_ms" in record else "", _text(record, "status"))
    return _spaced("log", _text(record, "severity"), _text(record, "body"), outcome, _origin(record))


def _change(record: Fields) -> str:
    what = _spaced("change:", _text(record, "type"), _text(record, "version"))
    by, note = _text(record, "by"), _text(record, "note")
    return _spaced(what, f"by {by}" if by else "") + (f": {note}" if note else "")


def _origin(record: Fields) -> str:
    """Return which instance and version reported, in parentheses."""
    known = [text for name in ("instance", "version") if (text := _text(record, name))]
    return f"({' '.join(known)})" if known else ""


def _ms(value: object) -> str:
    return amount(float(value), "ms") if isinstance(value, int | float) else safe(str(value), 40)


def _text(record: Fields, name: str) -> str:
    """Return a field as text, empty where it is missing; what is no text or number as JSON's readers see it."""
    value = record.get(name)
    return "" if value is None else safe(str(value), 120)


def _spaced(*parts: str) -> str:
    return " ".join(part for part in parts if part)


_LINES: Mapping[str, tuple[str, Callable[[Fields], str]]] = {
    "request": ("duration_ms", _request),
    "summary": ("requests", _summary),
    "gauge": ("resource", _gauge),
    "log": ("severity", _log),
    "change": ("type", _change),
}
"""By kind: the field without which it says nothing, and who writes its line."""
