"""Syslog lines (RFC 3164 as it is written in practice, RFC 5424, rsyslog's file formats) as fields."""

import re
from datetime import UTC, datetime, timedelta

from pipeline.ingest.decoders.line_fields import MAX_LINE
from pipeline.ingest.semantics import Attribute

_PRIORITY = re.compile(r"<([0-9]{1,3})>")
_VERSION_1 = re.compile(r"1 (\S{1,64}) (\S{1,255}) (\S{1,128}) (\S{1,128}) (\S{1,64}) ")
_STRUCTURED = re.compile(r'(?:-|(?:\[[^\s\]"=]{1,64}(?: [^\s\]"=]{1,64}="(?:[^"\\\]]|\\.)*+")*+\])++)(?: |$)')
_PARAMETER = re.compile(r'([^\s\]"=]{1,64})="((?:[^"\\\]]|\\.)*+)"')
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_OLD = re.compile(
    r"(?:(?P<month>[A-Z][a-z]{2}) +(?P<day>[0-9]{1,2}) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"|(?P<iso>" + _ISO + r")) "
    r"(?P<host>[^\s:]{1,255}) (?P<tag>[^\s:\[]{1,128})(?:\[(?P<pid>[^\]\s]{1,64})\])?: ?"
)
_MONTHS = {
    name: i for i, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1)
}


def syslog_fields(line: str, published_ms: int) -> dict[str, Attribute] | None:
    """Return a syslog line's fields; ``None``: it is none.

    A time without a year is in the year that brings it nearest to its record's timestamp; without an offset it is UTC.

    Examples
    --------
    >>> syslog_fields("<11>Jan  5 00:00:10 web1 shop[7]: it broke", 1_767_571_210_000)
    {'severity': '3', 'time': '2026-01-05T00:00:10Z', 'host': 'web1', 'appname': 'shop', 'message': 'it broke'}

    """
    fields: dict[str, Attribute] = {}
    priority = _PRIORITY.match(line)
    if priority is not None:
        if int(priority[1]) > 191:
            return None
        fields["severity"] = str(int(priority[1]) & 7)
        line = line[priority.end() :]
    version_1 = _VERSION_1.match(line)
    if priority is not None and version_1 is not None:
        return {**fields, **_version_1(version_1, line[version_1.end() : MAX_LINE])}
    match = _OLD.match(line)
    if match is None:
        return None
    at = match["iso"] or _with_year(match["month"], int(match["day"]), match["clock"], published_ms)
    if at is None:
        return None
    return {**fields, "time": at, "host": match["host"], "appname": match["tag"], "message": line[match.end() : MAX_LINE].strip()}


def _version_1(match: re.Match[str], rest: str) -> dict[str, Attribute]:
    at, host, app, _, _ = match.groups()
    fields: dict[str, Attribute] = {name: value for name, value in (("time", at), ("host", host), ("appname", app)) if value != "-"}
    structured = _STRUCTURED.match(rest)
    if structured is not None:
        for name, value in _PARAMETER.findall(structured[0]):
            fields.setdefault(name, value)
        rest = rest[structured.end() :]
    fields["message"] = rest.removeprefix("\ufeff").strip()
    return fields


def _with_year(month: str, day: int, clock: str, published_ms: int) -> str | None:
    published = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=published_ms)
    hour, minute, second = map(int, clock.split(":"))
    candidates = []
    for year in (published.year - 1, published.year, published.year + 1):
        try:
            at = datetime(year, _MONTHS[month], day, hour, minute, second, tzinfo=UTC)
        except (KeyError, ValueError):
            continue
        candidates.append(at)
    nearest = min(candidates, key=lambda at: abs(at - published), default=None)
    return None if nearest is None else f"{nearest:%Y-%m-%dT%H:%M:%S}Z"
