"""Finds out of a message's bytes which decoder reads it; the answer depends on the bytes alone."""

import orjson

NATIVE_KINDS = frozenset({"request", "summary", "gauge", "log", "change"})
_OTLP_JSON = {"resourceMetrics": "otlp_metrics", "resourceLogs": "otlp_logs", "resourceSpans": "otlp_spans"}
_FIRST_FIELD, _SECOND_FIELD = 0x0A, 0x12
_OF_LOGS = frozenset({0x09, 0x10, 0x38, 0x45, 0x59})
"""Tags: time, severity, dropped attributes, flags, observed time."""
_OF_SPANS = frozenset({0x30, 0x39, 0x41})
"""Tags: kind, start, end."""
_OF_METRICS = frozenset({0x3A, 0x52})
"""Tags, with a length: sum, exponential histogram."""
_WITH_LENGTH = 2
_FIXED = {1: 8, 5: 4}
"""Bytes of a field, by its wire type."""
_MAX_VARINT = 10


def format_of(value: bytes) -> str:
    """Return the name of the decoder for a message: protobuf by its structure, JSON by its keys, else lines of text.

    Examples
    --------
    >>> format_of(b'{"kind": "request"}'), format_of(b'{"resourceLogs": []}'), format_of(b"level=info")
    ('native', 'otlp_logs', 'lines')

    """
    start = value[:64].lstrip()
    if start[:1] in {b"{", b"["}:
        return _json_format(value)
    if value[:1] == b"\n":
        found = _otlp_signal(value)
        if found is not None:
            return found
    return "collectd" if start.startswith(b"PUTVAL ") else "lines"


def _json_format(value: bytes) -> str:
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        return "lines" if b"\n" in value.strip() or value.lstrip()[:1] == b"[" else "native"
    first = parsed[0] if type(parsed) is list and parsed else parsed
    if type(first) is not dict:
        return "native"
    kind = first.get("kind")
    if type(kind) is str and kind in NATIVE_KINDS:
        return "native"
    for envelope, decoder in _OTLP_JSON.items():
        if envelope in first:
            return decoder
    if "values" in first and "dsnames" in first:
        return "collectd"
    return "prometheus" if "labels" in first and "value" in first and "timestamp" in first else "json_logs"


def _otlp_signal(value: bytes) -> str | None:
    """Return which of OTLP's three messages bytes are, by the first item in them; ``None``: they are none of them.

    Each holds senders (1), which hold scopes (2), which hold items (2).
    """
    sender = _field(value, _FIRST_FIELD)
    scope = None if sender is None else _field(sender, _SECOND_FIELD)
    item = None if scope is None else _field(scope, _SECOND_FIELD)
    if item is None:
        return None if sender is None else "otlp_metrics"  # nothing in it: whoever reads it finds nothing
    return _kind_of_item(item)


def _kind_of_item(item: bytes) -> str:
    """Return which of the three an item belongs to, by the fields that only one of them has; the order of fields is free.

    The Collector writes them from the last to the first, SDKs from the first to the last. Only a log record has its time (1,
    or 11) and severity (2) as numbers, only a span its kind (6), start (7) and end (8). A metric consists of parts with a length
    alone; so may the others, and then a span has its ids (1 and 2, of 16 and 8 bytes), a log record no name (1).
    """
    lengths: dict[int, int] = {}
    at = 0
    while at < len(item):
        tag, at = _varint(item, at)
        if tag in _OF_LOGS:
            return "otlp_logs"
        if tag in _OF_SPANS:
            return "otlp_spans"
        if tag is None:
            break
        wire = tag & 7
        if wire == _WITH_LENGTH:
            length, at = _varint(item, at)
            if length is None:
                break
            lengths[tag] = length
            at += length
        elif wire in _FIXED:
            at += _FIXED[wire]
        else:
            _, at = _varint(item, at)
    if (lengths.get(_FIRST_FIELD), lengths.get(_SECOND_FIELD)) == (16, 8) and not _OF_METRICS & lengths.keys():
        return "otlp_spans"
    return "otlp_metrics" if _FIRST_FIELD in lengths or not lengths else "otlp_logs"


def _field(message: bytes, wanted: int) -> bytes | None:
    """Return the first field with a tag (of less than 128) and a length, among fields that have one; ``None``: there is none."""
    at = 0
    while at < len(message):
        tag = message[at]
        if tag & 7 != 2 or tag & 0x80:
            return None
        length, at = _varint(message, at + 1)
        if length is None or at + length > len(message):
            return None
        if tag == wanted:
            return message[at : at + length]
        at += length
    return None


def _varint(message: bytes, at: int) -> tuple[int | None, int]:
    value = 0
    for i in range(_MAX_VARINT):
        if at + i >= len(message):
            break
        byte = message[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    return None, at
