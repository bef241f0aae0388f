"""Every kind of bad message that we could think of, each with what must become of it.

Free of pytest, so that unit tests and tests through a real broker share it.
"""

import json
import random
import struct
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.window_times import LONGEST_INTERVAL_MS

METRICS, LOGS, CHANGES = "telemetry.metrics", "telemetry.logs", "tocsin.changes"
DAY_MS = 86_400_000
ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    """One message. ``n_good`` of its records count; ``n_rejected`` rejections give exactly ``reasons`` between them."""

    name: str
    value: bytes | None
    reasons: frozenset[RejectReason]
    timestamp_ms: int
    n_rejected: int = 1
    n_good: int = 0
    topic: str = METRICS
    key: bytes | None = b"prod/poisoned"
    headers: tuple[tuple[str, bytes | None], ...] = ()


def poison(now_ms: int) -> list[Poison]:
    """Return all of them; sound records in them are of service ``prod/poisoned``, Kafka timestamps are ``now_ms``."""
    return [
        *_no_json(now_ms),
        *_wrong_envelopes(now_ms),
        *_odd_but_sound(now_ms),
        *_wrong_requests(now_ms),
        *_wrong_times(now_ms),
        *_wrong_summaries(now_ms),
        *_wrong_latencies(now_ms),
        *_wrong_gauges_and_logs(now_ms),
        *_wrong_changes(now_ms),
    ]


def request(now_ms: int, **fields: object) -> dict[str, Any]:
    """Return a sound request, with fields changed, or left out when ``ABSENT``."""
    return _without_absent({**_common("request", now_ms), "duration_ms": 12.5, "status": 200} | fields)


def summary(now_ms: int, **fields: object) -> dict[str, Any]:
    """Return a sound summary likewise."""
    latency_ms = {"scale": 3, "offset": 24, "counts": [1, 0, 2], "zero_count": 0, "sum": 27.6}
    about = {"interval_s": 10, "requests": 3, "errors": 1, "latency_ms": latency_ms}
    return _without_absent({**_common("summary", now_ms), **about} | fields)


def gauge(now_ms: int, **fields: object) -> dict[str, Any]:
    """Return a sound gauge likewise."""
    return _without_absent({**_common("gauge", now_ms), "resource": "cpu", "utilization": 0.5} | fields)


def log(now_ms: int, **fields: object) -> dict[str, Any]:
    """Return a sound log line likewise."""
    return _without_absent({**_common("log", now_ms), "severity": "INFO", "body": "hello"} | fields)


def change(now_ms: int, **fields: object) -> dict[str, Any]:
    """Return a sound change likewise."""
    return _without_absent({**_common("change", now_ms), "type": "deployment"} | fields)


def _common(kind: str, now_ms: int) -> dict[str, Any]:
    return {"kind": kind, "service": "poisoned", "environment": "prod", "operation": "GET /", "version": "1.0.0", "time": now_ms}


def _without_absent(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ABSENT}


def _json(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _no_json(now_ms: int) -> list[Poison]:
    good = _json(request(now_ms))
    invalid = {
        "truncated object": good[:-7],
        "truncated inside a string": good[: good.index(b"poisoned") + 3],
        "trailing comma": good[:-1] + b",}",
        "single quotes": good.replace(b'"', b"'"),
        "two objects, a line each": good + b"\n" + good,
        "not quoted key": good.replace(b'"kind"', b"kind"),
        "comment": b"/* telemetry */" + good,
        "byte order mark": b"\xef\xbb\xbf" + good,
        "plain text": b"GET /cart 200 12ms",
        "XML": b"<request service='cart'/>",
        "raw control character in a string": good.replace(b"poisoned", b"poi\x01soned"),
        "raw line end in a string": good.replace(b"poisoned", b"poi\nsoned"),
        "number with a leading zero": good.replace(b"200", b"0200"),
        "hexadecimal number": good.replace(b"200", b"0xC8"),
        "integer of 5,000 digits beside invalid JSON": good.replace(b"200", b"9" * 5_000) + b"}",
        "zero bytes": b"\x00" * 64,
        "60,000 quotes": b'"' * 59_999,
        "60,000 escaped quotes that never end": b'{"' + b'\\"' * 30_000,
    }
    not_utf8 = {
        "invalid UTF-8 byte": good.replace(b"poisoned", b"poi\xffsoned"),
        "truncated UTF-8 sequence": good.replace(b"poisoned", b"poisoned\xe2\x82"),
        "surrogate encoded as UTF-8": good.replace(b"poisoned", b"poi\xed\xa0\x80soned"),
        "Latin-1": good.replace(b"poisoned", "caf\u00e9".encode("latin-1")),
        "UTF-16": json.dumps(request(now_ms)).encode("utf-16"),
        "gzip header": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + good,
        "random bytes": b"\xfe" + random.Random(7).randbytes(512),
        "protobuf of OTLP": b"\x0a\xe6\x01\x0a\x1f" + struct.pack("<dd", 1.5, -2.5),
    }
    limits = IngestConfig()
    deep = {
        "10,000 arrays deep": b"[" * 10_000 + b"]" * 10_000,
        "10,000 objects deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        "10,000 arrays deep and never closed": b"[" * 10_000,
        "brackets in strings hide 10,000 arrays": b'["]",' * 10_000 + b"1" + b"]" * 10_000,
        "one level too deep": _json(request(now_ms, note=_nested(limits.max_depth))),
        "500 levels in an unknown field": _json(request(now_ms, note=_nested(500))),
    }
    oversize = {
        "5 MB of spaces": b" " * 5_000_000,
        "5 MB string": _json(request(now_ms, note="x" * 5_000_000)),
        "5 MB array of records": b"[" + b",".join([good] * (5_000_000 // len(good))) + b"]",
    }
    return [
        *_each(invalid, RejectReason.INVALID_JSON, now_ms),
        *_each(not_utf8, RejectReason.INVALID_UTF8, now_ms),
        *_each(deep, RejectReason.TOO_DEEP, now_ms),
        *_each(oversize, RejectReason.OVERSIZE, now_ms),
    ]


def _wrong_envelopes(now_ms: int) -> list[Poison]:
    empty: dict[str, bytes | None] = {
        "tombstone": None,
        "empty value": b"",
        "blanks and line ends": b" \r\n\t ",
        "empty array": b"[]",
        "empty array in blanks": b" [ ] ",
    }
    scalars = {"null": b"null", "true": b"true", "a number": b"42", "a string": b'"hello"', "minus zero": b"-0.0"}
    good, limits = request(now_ms), IngestConfig()
    wrong = RejectReason.WRONG_TYPE
    return [
        *_each(empty, RejectReason.EMPTY, now_ms),
        *_each({f"top level {name}": value for name, value in scalars.items()}, wrong, now_ms),
        *_each(
            {"more records than a message may hold": b"[" + b"0," * limits.max_records_per_message + b"0]"},
            RejectReason.TOO_MANY_RECORDS,
            now_ms,
        ),
        *_each({"tombstone without a key": None}, RejectReason.EMPTY, now_ms, key=None),
        *_each({"array of scalars": b'[1, "a", null, true]'}, wrong, now_ms, n_rejected=4),
        *_each({"array in an array": _json([[good]])}, wrong, now_ms),
        *_each({"good, scalar, good": _json([good, 7, good])}, wrong, now_ms, n_good=2),
        Poison(
            name="array of good and bad records",
            value=_json(
                [good, request(now_ms, duration_ms=-1), gauge(now_ms), request(now_ms, service=ABSENT), {"kind": "metric"}]
            ),
            reasons=frozenset({RejectReason.OUT_OF_RANGE, RejectReason.MISSING_FIELD, RejectReason.UNKNOWN_KIND}),
            timestamp_ms=now_ms,
            n_rejected=3,
            n_good=2,
        ),
    ]


def _odd_but_sound(now_ms: int) -> list[Poison]:
    """Look bad and are not: they count."""
    good = request(now_ms)
    odd = {
        "duplicate key, the last counts": _json(good)[:-1] + b', "duration_ms": 99}',
        "unknown fields": _json(good | {"colour": "red", "nested": {"a": [1, 2]}}),
        "as deep as is allowed": _json(good | {"nested": _nested(IngestConfig().max_depth - 1)}),
        "brackets in a string": _json(good | {"nested": "[{" * 5_000}),
        "null for optional fields": _json(good | {"instance": None, "version": None, "environment": "prod", "error": None}),
        "lone surrogate in a field that nobody reads": _json(good)[:-1] + b', "body": "cut off \\ud83d"}',
        "blanks around it": b"\r\n " + _json(good) + b" \n",
    }
    return [
        Poison(name=name, value=value, reasons=frozenset(), timestamp_ms=now_ms, n_rejected=0, n_good=1)
        for name, value in odd.items()
    ] + [
        Poison(
            name="null key and odd headers on a good record",
            value=_json(good),
            reasons=frozenset(),
            timestamp_ms=now_ms,
            n_rejected=0,
            n_good=1,
            key=None,
            headers=(("", b""), ("\u2603", b"\xff\x00"), ("none", None), ("none", None)),
        ),
        Poison(
            name="key that is not UTF-8",
            value=_json(good),
            reasons=frozenset(),
            timestamp_ms=now_ms,
            n_rejected=0,
            n_good=1,
            key=b"\xff\xfe\x00",
        ),
    ]


def _wrong_requests(now_ms: int) -> list[Poison]:
    wrong_by_reason: dict[RejectReason, dict[str, dict[str, object]]] = {
        RejectReason.MISSING_FIELD: {
            "no kind": {"kind": ABSENT},
            "kind is null": {"kind": None},
            "no service": {"service": ABSENT},
            "service is null": {"service": None},
            "no time": {"time": ABSENT},
            "no duration": {"duration_ms": ABSENT},
            "neither status nor error": {"status": ABSENT},
            "duration is null": {"duration_ms": None},
        },
        RejectReason.UNKNOWN_KIND: {"unknown kind": {"kind": "metric"}, "kind in capitals": {"kind": "REQUEST"}},
        RejectReason.WRONG_TYPE: {
            "kind is a number": {"kind": 1},
            "kind is an array": {"kind": ["request"]},
            "service is a number": {"service": 7},
            "service is an object": {"service": {"name": "cart"}},
            "environment is an array": {"environment": ["prod"]},
            "version is a number": {"version": 1.2},
            "duration is a string": {"duration_ms": "12.5"},
            "duration is true": {"duration_ms": True},
            "duration is an array": {"duration_ms": [12.5]},
            "status is a string of digits": {"status": "500"},
            "status is a fraction": {"status": 200.5},
            "status is false": {"status": False},
            "error is a string": {"error": "true"},
            "error is a number": {"error": 1},
        },
        RejectReason.INVALID_TEXT: {
            "service is empty": {"service": ""},
            "service is blank": {"service": " \u3000 "},
            "service of 300 characters": {"service": "s" * 300},
            "service with a control character": {"service": "poi\u0007soned"},
            "service with an escape sequence": {"service": "\u001b[31mred"},
            "service with a right-to-left override": {"service": "poi\u202esoned"},
            "environment with a slash": {"environment": "prod/eu"},
            "environment is empty": {"environment": ""},
            "operation of 5,000 characters": {"operation": "o" * 5_000},
            "operation with a line end": {"operation": "GET /\nHost: x"},
            "version with a zero character": {"version": "1\u0000"},
            "unknown word as status": {"status": "failed"},
        },
        RejectReason.OUT_OF_RANGE: {
            "negative duration": {"duration_ms": -0.001},
            "duration of 10^300 ms": {"duration_ms": 1e300},
            "duration beyond 64 bit": {"duration_ms": 2**80},
            "status 0": {"status": 0},
            "status 600": {"status": 600},
            "negative status": {"status": -200},
        },
    }
    raw = _json(request(now_ms, duration_ms=12345))
    not_finite = {
        f"duration is {text}": raw.replace(b"12345", text.encode()) for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999")
    }
    surrogate = {
        f"lone surrogate {code} in a service": raw.replace(b"poisoned", rf"poi\u{code}soned".encode())
        for code in ("d800", "dc00", "dfff")
    }
    beside = b"[" + _json(request(now_ms)) + b"," + raw.replace(b"12345", b"NaN") + b"," + _json(request(now_ms)) + b"]"
    return [
        *_of_kind(request, wrong_by_reason, now_ms),
        *_each(not_finite, RejectReason.NOT_FINITE, now_ms),
        *_each({"NaN beside good records": beside}, RejectReason.NOT_FINITE, now_ms, n_good=2),
        *_each(surrogate, RejectReason.INVALID_TEXT, now_ms),
        *_each(
            {"duration of 4,000 digits beside NaN": raw.replace(b"12345", b"9" * 4_000 + b', "x": NaN')},
            RejectReason.OUT_OF_RANGE,
            now_ms,
        ),
    ]


def _wrong_times(now_ms: int) -> list[Poison]:
    ahead_ms = now_ms + IngestConfig().max_future_ms + 1
    wrong_by_reason: dict[RejectReason, dict[str, dict[str, object]]] = {
        RejectReason.ABSURD_TIME: {
            "time is 0": {"time": 0},
            "time is negative": {"time": -1},
            "time in 1999": {"time": "1999-12-31T23:59:59Z"},
            "time is -10^300": {"time": -1e300},
            "time in the year 1": {"time": "0001-01-01T00:00:00+23:59"},
        },
        RejectReason.FUTURE_TIME: {
            "a millisecond too far ahead": {"time": ahead_ms},
            "tomorrow": {"time": (now_ms + DAY_MS) / 1000},
            "year 9999": {"time": "9999-12-31T23:59:60Z"},
            "time beyond 64 bit": {"time": 10**30},
            "time is 10^300": {"time": 1e300},
        },
        RejectReason.WRONG_TYPE: {
            "time is a string of digits": {"time": str(now_ms)},
            "time is an object": {"time": {"seconds": 1}},
            "time is true": {"time": True},
        },
        RejectReason.INVALID_TEXT: {
            "time without an offset": {"time": "2026-01-05T00:00:10"},
            "time is a date": {"time": "2026-01-05"},
            "time is 30 February": {"time": "2026-02-30T00:00:00Z"},
            "time with an offset of 99 hours": {"time": "2026-01-05T00:00:00+99:00"},
            "time is words": {"time": "yesterday"},
        },
    }
    raw = _json(request(now_ms, time="T")).replace(b'"T"', b"NaN")
    return [*_of_kind(request, wrong_by_reason, now_ms), *_each({"time is NaN": raw}, RejectReason.NOT_FINITE, now_ms)]


def _wrong_summaries(now_ms: int) -> list[Poison]:
    wrong_by_reason: dict[RejectReason, dict[str, dict[str, object]]] = {
        RejectReason.MISSING_FIELD: {"no interval": {"interval_s": ABSENT}, "no requests": {"requests": ABSENT}},
        RejectReason.WRONG_TYPE: {
            "interval is a string": {"interval_s": "10"},
            "requests is a fraction": {"requests": 2.5},
            "requests is true": {"requests": True},
            "errors is a string": {"errors": "0"},
            "errors is false": {"errors": False},
        },
        RejectReason.OUT_OF_RANGE: {
            "interval is 0": {"interval_s": 0},
            "interval is negative": {"interval_s": -10},
            "interval of a day": {"interval_s": 86_400},
            "interval just too long": {"interval_s": (LONGEST_INTERVAL_MS + 1) / 1000},
            "requests is negative": {"requests": -1},
            "requests beyond 64 bit": {"requests": 2**64},
            "requests is 2^53": {"requests": 2**53},
            "errors is negative": {"errors": -1},
        },
        RejectReason.INCONSISTENT: {"more errors than requests": {"errors": 4}},
    }
    return _of_kind(summary, wrong_by_reason, now_ms)


def _wrong_latencies(now_ms: int) -> list[Poison]:
    exponential = {"scale": 3, "offset": 24, "counts": [1, 0, 2]}
    explicit = {"bounds": [10, 20], "counts": [1, 1, 1]}
    wrong_by_reason: dict[RejectReason, dict[str, object]] = {
        RejectReason.WRONG_TYPE: {
            "latency is an array": [1, 2, 3],
            "latency is a number": 12.5,
            "scale is a string": exponential | {"scale": "3"},
            "counts is an object": exponential | {"counts": {"0": 1}},
            "a count is a string": exponential | {"counts": [1, "0", 2]},
            "a count is true": exponential | {"counts": [1, True]},
            "a count is a fraction": exponential | {"counts": [1, 0.5]},
            "sum is a string": exponential | {"sum": "27.6"},
            "a bound is null": explicit | {"bounds": [10, [20]]},
            "p99 is a string": {"p99": "12"},
        },
        RejectReason.MISSING_FIELD: {
            "latency in no known form": {"median": 12},
            "latency is an empty object": {},
            "scale without offset": {"scale": 3, "counts": [1]},
            "scale without counts": {"scale": 3, "offset": 0},
            "bounds without counts": {"bounds": [10, 20]},
            "a count is null": exponential | {"counts": [1, None]},
        },
        RejectReason.OUT_OF_RANGE: {
            "scale 21": exponential | {"scale": 21},
            "scale -11": exponential | {"scale": -11},
            "offset beyond 32 bit": exponential | {"offset": 2**40},
            "buckets around 2^1000 ms": exponential | {"offset": 8_000},
            "buckets around 2^-1000 ms": exponential | {"offset": -8_000},
            "a count is negative": exponential | {"counts": [1, -1, 2]},
            "100,000 buckets": exponential | {"counts": [0] * 100_000},
            "sum is negative": exponential | {"sum": -1},
            "sum is 10^300": exponential | {"sum": 1e300},
            "zero count is negative": exponential | {"zero_count": -1},
            "a bound is negative": explicit | {"bounds": [-10, 20]},
            "mean is negative": {"mean": -3},
        },
        RejectReason.INCONSISTENT: {
            "more latencies than requests": exponential | {"counts": [2, 0, 2]},
            "more zero latencies than requests": exponential | {"zero_count": 1},
            "as many counts as bounds": explicit | {"counts": [1, 1]},
            "bounds descend": explicit | {"bounds": [20, 10]},
            "a bound twice": explicit | {"bounds": [10, 10]},
            "scale and bounds": exponential | explicit,
        },
    }
    by_reason = {reason: {name: {"latency_ms": v} for name, v in wrong.items()} for reason, wrong in wrong_by_reason.items()}
    return _of_kind(summary, by_reason, now_ms)


def _wrong_gauges_and_logs(now_ms: int) -> list[Poison]:
    measured = {"utilization": ABSENT, "value": 3.0, "limit": 4.0, "unit": "GiB"}
    wrong_gauges: dict[RejectReason, dict[str, dict[str, object]]] = {
        RejectReason.MISSING_FIELD: {
            "no resource": {"resource": ABSENT},
            "neither utilization nor value": {"utilization": ABSENT},
            "value without limit": measured | {"limit": ABSENT},
            "limit without value": measured | {"value": ABSENT},
            "value without unit": measured | {"unit": ABSENT},
        },
        RejectReason.WRONG_TYPE: {
            "utilization is a string": {"utilization": "50%"},
            "resource is a number": {"resource": 0},
            "unit is a number": measured | {"unit": 1},
        },
        RejectReason.OUT_OF_RANGE: {
            "utilization in percent": {"utilization": 50},
            "utilization is negative": {"utilization": -0.1},
            "limit is 0": measured | {"limit": 0},
            "value is negative": measured | {"value": -1},
            "value far above its limit": measured | {"value": 400},
            "value over the smallest limit there is": measured | {"limit": 5e-324},
        },
        RejectReason.INVALID_TEXT: {"resource is empty": {"resource": ""}},
    }
    wrong_logs: dict[RejectReason, dict[str, dict[str, object]]] = {
        RejectReason.MISSING_FIELD: {"no severity": {"severity": ABSENT}},
        RejectReason.WRONG_TYPE: {
            "severity is a string of digits": {"severity": "9"},
            "severity is true": {"severity": True},
            "body is an object": {"body": {"text": "hello"}},
            "trace is a number": {"trace_id": 7},
            "log duration is a string": {"duration_ms": "3"},
        },
        RejectReason.INVALID_TEXT: {"severity is no known word": {"severity": "bad"}},
        RejectReason.OUT_OF_RANGE: {
            "severity 0": {"severity": 0},
            "severity 25": {"severity": 25},
            "log status 42": {"status": 42},
            "log duration is negative": {"duration_ms": -1},
        },
    }
    return _of_kind(gauge, wrong_gauges, now_ms) + _of_kind(log, wrong_logs, now_ms, topic=LOGS)


def _wrong_changes(now_ms: int) -> list[Poison]:
    wrong: dict[RejectReason, dict[str, dict[str, object]]] = {
        RejectReason.MISSING_FIELD: {"no type": {"type": ABSENT}, "change without time": {"time": ABSENT}},
        RejectReason.UNKNOWN_KIND: {"request among changes": {"kind": "request"}},
        RejectReason.WRONG_TYPE: {"note is an array": {"note": ["a"]}, "until is an object": {"until": {}}},
        RejectReason.INVALID_TEXT: {"note of 3,000 characters": {"note": "n" * 3_000}, "by with a bell": {"by": "eve\u0007"}},
        RejectReason.FUTURE_TIME: {
            "change in two years": {"time": now_ms + 800 * DAY_MS},
            "until in two years": {"until": now_ms + 800 * DAY_MS},
        },
        RejectReason.INCONSISTENT: {"until before time": {"until": now_ms - 1}},
        RejectReason.ABSURD_TIME: {"change in 1970": {"time": 1}},
    }
    return _of_kind(change, wrong, now_ms, topic=CHANGES)


def _of_kind(
    make: Any, wrong_by_reason: dict[RejectReason, dict[str, dict[str, object]]], now_ms: int, **about: Any
) -> list[Poison]:
    return [
        same
        for reason, wrong in wrong_by_reason.items()
        for same in _each(
            {f"{make.__name__}: {name}": _json(make(now_ms, **fields)) for name, fields in wrong.items()}, reason, now_ms, **about
        )
    ]


def _each(values: Any, reason: RejectReason, now_ms: int, **about: Any) -> list[Poison]:
    return [
        Poison(name=name, value=value, reasons=frozenset({reason}), timestamp_ms=now_ms, **about) for name, value in values.items()
    ]


def _nested(depth: int) -> list[object]:
    nested: list[object] = []
    for _ in range(depth - 1):
        nested = [nested]
    return nested
