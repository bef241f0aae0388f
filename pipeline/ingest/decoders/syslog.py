"""Syslog lines (RFC 3164 as it is written in practice, RFC 5424, rsyslog's file formats) as fields."""

import re

from pipeline.ingest.decoders.line_fields import MAX_LINE
from pipeline.ingest.decoders.old_times import with_year
from pipeline.ingest.semantics import Attribute

_PRIORITY = re.compile(r"<([0-9]{1,3})>")
_VERSION_1 = re.compile(r"1 (\S{1,64}) (\S{1,255}) (\S{1,128}) (\S{1,128}) (\S{1,64}) ")
# Groups repeat greedily, with possessive classes inside: before Python 3.11.5 a possessive group may match wrongly.
_STRUCTURED = re.compile(r'(?:-|(?:\[[^\s\]"=]{1,64}+(?: [^\s\]"=]{1,64}+="(?:[^"\\\]]|\\.)*+")*\])+)(?: |$)')
_PARAMETER = re.compile(r'([^\s\]"=]{1,64})="((?:[^"\\\]]|\\.)*+)"')
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_OLD = re.compile(
    r"(?:(?P<month>[A-Z][a-z]{2}) +(?P<day>[0-9]{1,2}) (?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"|(?P<iso>" + _ISO + r")) "
    r"(?P<host>[^\s:]{1,255}) (?P<tag>[^\s:\[]{1,128})"
    r"(?:\[[^\]\s]{1,64}\](?::|(?= |$))|(?P<colon>:)|(?= |$)) ?"
)


def syslog_fields(line: str, published_ms: int) -> dict[str, Attribute] | None:
    """Return a syslog line's fields; ``None``: it is none.

    A time without a year is in the year that brings it nearest to its record's timestamp; without an offset it is UTC. Behind
    the program's name stands its process id, a colon, or both; neither only in a line with a priority, which nothing else has:
    rsyslog's templates for files and forwarding leave the colon out of what came to it by RFC 5424.

    Examples
    --------
    >>> syslog_fields("Jan  5 00:00:10 web1 shop[7] it broke", 1_767_571_210_000)["appname"]
    'shop'
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
    is_certain = priority is not None or match["colon"] or match[0].rstrip(" :").endswith("]")
    at = match["iso"] or with_year(match["month"], int(match["day"]), match["clock"], published_ms)
    if at is None or not is_certain:
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
