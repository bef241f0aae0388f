"""What a line of text says: JSON, logfmt, an access log's line (Apache, nginx), or nothing but its text."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.log_fields import flattened
from pipeline.ingest.decoders.old_times import MONTHS
from pipeline.ingest.semantics import Attribute, first_text

MAX_LINE = 16_384
"""Characters of a line that are looked at; the rest of a longer one says nothing more."""

_LOGFMT_START = re.compile(r"[A-Za-z_@][A-Za-z0-9_.@/-]{0,63}=")
_LOGFMT_PAIR = re.compile(r'([A-Za-z_@][A-Za-z0-9_.@/-]{0,63})=("(?:[^"\\]|\\.)*+"|[^\s"]*+)')
_ACCESS = re.compile(
    r"(?P<client>\S{1,256}) (?P<ident>\S{1,256}) (?P<user>\S{1,256}) "
    r"\[(?P<time>[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*+)" (?P<status>[0-9]{3}) (?P<bytes>[0-9]+|-)'
    r'(?: "(?:[^"\\]|\\.)*+" "(?:[^"\\]|\\.)*+")?(?P<rest>.*)'
)
_TRAILING = re.compile(r'(?:^|[\s"=])([0-9]{1,10}(?:\.[0-9]{1,6})?)"?\s*$')
_REQUEST = re.compile(r"([A-Z]{3,16}) (\S{1,4096}?)(?:\?\S*)?(?: HTTP/[0-9.]{1,3})?")
_HEX = "[0-9a-fA-F]"
_ID = re.compile(rf"(?<=/)(?:[0-9]+|{_HEX}{{8}}(?:-?{_HEX}{{4}}){{3}}-?{_HEX}{{12}}|{_HEX}{{16,64}})(?=/|$)")
"""A part of a path that names one of many things: a number, a UUID, a long hexadecimal id."""


class Line(NamedTuple):
    """The fields of a line, none where it is nothing but text; and what it says, empty where its fields are all of it."""

    fields: dict[str, Attribute]
    text: str


def read_line(config: IngestConfig, line: str, body_names: Iterable[str]) -> Line:
    """Return what a line holds. What an access log's line says is a request, so that it says nothing else.

    Parameters
    ----------
    config
        Its limits.
    line
        At most its first ``MAX_LINE`` characters are looked at.
    body_names
        The fields that hold what a structured line says.

    """
    line = line[:MAX_LINE].strip()
    if line.startswith("{"):
        fields = _json_fields(config, line)
        return Line(fields, first_text(fields, body_names) if fields else line)
    access = access_fields(line)
    if access:
        return Line(access, "")
    if not _LOGFMT_START.match(line):
        return Line({}, line)
    fields = logfmt_fields(line)
    return Line(fields, first_text(fields, body_names) or line)


def logfmt_fields(line: str) -> dict[str, Attribute]:
    r"""Return the pairs of a logfmt line.

    Examples
    --------
    >>> logfmt_fields('level=warn msg="it \\"works\\"" took=3ms')
    {'level': 'warn', 'msg': 'it "works"', 'took': '3ms'}

    """
    found: dict[str, Attribute] = {}
    for name, value in _LOGFMT_PAIR.findall(line):
        is_quoted = len(value) > 1 and value[0] == '"' == value[-1]
        found.setdefault(name, value[1:-1].replace('\\"', '"').replace("\\\\", "\\") if is_quoted else value)
    return found


def access_fields(line: str) -> dict[str, Attribute]:
    """Return the fields of an access log's line (common or combined), whose last field may be how long it took.

    With a point that is seconds (nginx's ``$request_time``), without one microseconds (Apache's ``%D``). Of the path, what
    names one of many things becomes ``{id}``: else each would be an operation of its own.

    Examples
    --------
    >>> access_fields('10.0.0.9 - - [05/Jan/2026:00:00:10 +0000] "GET /cart/17?x=1 HTTP/1.1" 503 17 "-" "curl" 0.250')
    {'time': '2026-01-05T00:00:10+00:00', 'status': '503', 'operation': 'GET /cart/{id}', 'duration_s': '0.250'}

    """
    match = _ACCESS.fullmatch(line)
    if match is None:
        return {}
    when = match["time"]
    month = MONTHS.get(when[3:6])
    if month is None:
        return {}
    fields: dict[str, Attribute] = {
        "time": f"{when[7:11]}-{month:02d}-{when[:2]}T{when[12:20]}{when[21:24]}:{when[24:26]}",
        "status": match["status"],
    }
    request = _REQUEST.fullmatch(match["request"])
    if request is not None:
        fields["operation"] = f"{request[1]} {_ID.sub('{id}', request[2])}"[:256]
    took = _TRAILING.search(match["rest"])
    if took is not None:
        fields["duration_s" if "." in took[1] else "duration_us"] = took[1]
    return fields


def with_body(config: IngestConfig, fields: dict[str, Attribute], body: str, body_names: Iterable[str]) -> Line:
    """Return fields with those that the line's own text holds; the text's win, it is nearer to the program that wrote it."""
    inner = read_line(config, body, body_names) if body else Line({}, "")
    return Line({**fields, **inner.fields} if inner.fields else fields, inner.text)


def header_fields(record: InRecord) -> dict[str, Attribute]:
    """Return what a message's headers say of its origin (``kcat -H service=web``): for formats that have no place for it."""
    found: dict[str, Attribute] = {}
    for name, value in record.headers:
        if name in {"service", "environment", "version"} and value:
            found[name] = value.decode(errors="replace")
    return found


def _json_fields(config: IngestConfig, line: str) -> dict[str, Attribute]:
    if line.count("{") + line.count("[") > config.max_depth:
        return {}
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    try:
        return flattened(parsed, config.max_attributes) if type(parsed) is dict else {}
    except FieldRefused:
        return {}
