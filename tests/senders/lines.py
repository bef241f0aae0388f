"""Lines as programs give them to a log shipper."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tests.senders.traffic import Asked

PRIORITY = {"info": 14, "warn": 12, "error": 11, "fatal": 10}
"""Of facility user: 8 + severity."""
LINES = [
    *[("info", f"order {i} is paid") for i in range(20)],
    *[("warn", f"payment {i} was slow") for i in range(6)],
    *[("error", f"payment {i} of 10.0.0.{i} failed") for i in range(4)],
    ("fatal", "out of memory"),
]
BY_SEVERITY = {"info": 20, "warn": 6, "error": 4, "fatal": 1}


def iso(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def rfc5424(lines: Sequence[tuple[str, str]], at_ms: int) -> list[str]:
    return [
        f'<{PRIORITY[severity]}>1 {iso(at_ms)} web1 shop 4711 ID47 [origin@32473 ip="10.0.0.9" version="2.1"] {text}'
        for severity, text in lines
    ]


def rfc3164(lines: Sequence[tuple[str, str]], at_ms: int) -> list[str]:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return [f"<{PRIORITY[severity]}>{at:%b} {at.day:2d} {at:%H:%M:%S} web1 shop[4711]: {text}" for severity, text in lines]


def access_lines(asked: Sequence[Asked], at_ms: int) -> list[str]:
    when = f"{datetime.fromtimestamp(at_ms / 1000, UTC):%d/%b/%Y:%H:%M:%S} +0000"
    return [
        f'10.0.0.9 - - [{when}] "GET {one.route}?n={i} HTTP/1.1" {one.status} 17 "-" "curl/8.1" {one.duration_s:.6f}'
        for i, one in enumerate(asked)
    ]
