"""Finds out of a message's bytes which decoder reads it; the answer depends on the bytes alone."""

import orjson

NATIVE_KINDS = frozenset({"request", "summary", "gauge", "log", "change"})
_OTLP_JSON = {"resourceMetrics": "otlp_metrics", "resourceLogs": "otlp_logs", "resourceSpans": "otlp_spans"}
_FIRST_FIELD, _SECOND_FIELD = 0x0A, 0x12
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

    Each holds senders (1), which hold scopes (2), which hold items (2). A log record begins with a fixed time (1, or 11), a
    span with 16 bytes of trace id (1), a metric with its name.
    """
    sender = _field(value, _FIRST_FIELD)
    scope = None if sender is None else _field(sender, _SECOND_FIELD)
    item = None if scope is None else _field(scope, _SECOND_FIELD)
    if item is None:
        return None if sender is None else "otlp_metrics"  # nothing in it: whoever reads it finds nothing
    if item[:1] in {b"\x09", b"\x59", b"\x10", b"\x1a", b"\x2a"}:
        return "otlp_logs"
    return "otlp_spans" if item[:2] == b"\x0a\x10" and item[18:20] == b"\x12\x08" else "otlp_metrics"


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
