"""What a publisher's `time` means in epoch milliseconds, and which times are believed.

A number is seconds below 1e11, milliseconds below 1e14, microseconds below 1e17, else nanoseconds; text is RFC 3339
with an offset. What is finer than a millisecond is cut off, after rounding a float to microseconds: 1.7e9 + 0.123
seconds as a float is a hair below .123.
"""

import math
import re
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import RejectReason
from pipeline.ingest.validation import missing, refused

CHANGE_AHEAD_MS = 366 * 86_400_000
"""How far a change may be announced ahead of its publication."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,12}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_RULE = "must be epoch time as a number, or RFC 3339 text with an offset such as 2026-01-05T12:00:00.250Z"


def reading_time(config: IngestConfig, value: object, field: str, published_ms: int) -> int:
    """Return a reading's time in epoch ms, not too far from its record's timestamp on either side.

    Raises
    ------
    FieldRefused
        If it is missing, unreadable, absurdly early, or too far ahead or behind.

    """
    return believed(config, parse_time(value, field), field, value, published_ms)


def believed(config: IngestConfig, time_ms: int, field: str, value: object, published_ms: int) -> int:
    """Return a time in epoch ms that is not too far from its record's timestamp on either side: the rule of every format.

    Raises
    ------
    FieldRefused
        If it is absurdly early, or too far ahead or behind; it shows ``value``, as it came.

    """
    within(config, time_ms, field, value, published_ms + config.max_future_ms)
    if time_ms < published_ms - config.max_past_ms:
        rule = f"must not be before {rfc3339(published_ms - config.max_past_ms)}, judged by its record's timestamp"
        raise refused(RejectReason.PAST_TIME, field, rule, value)
    return time_ms


def event_time(config: IngestConfig, value: object, field: str, latest_ms: int) -> int:
    """Return a time in epoch ms that lies between the earliest believed time and ``latest_ms``.

    Raises
    ------
    FieldRefused
        If it is missing, unreadable, absurdly early or later than ``latest_ms``.

    """
    return within(config, parse_time(value, field), field, value, latest_ms)


def within(config: IngestConfig, time_ms: int, field: str, value: object, latest_ms: int) -> int:
    """Return a time in epoch ms that is neither absurdly early nor later than ``latest_ms``; else refuse ``value``."""
    if time_ms < config.earliest_time_ms:
        raise refused(RejectReason.ABSURD_TIME, field, f"must not be before {rfc3339(config.earliest_time_ms)}", value)
    if time_ms > latest_ms:
        raise refused(
            RejectReason.FUTURE_TIME, field, f"must not be after {rfc3339(latest_ms)}, judged by its record's timestamp", value
        )
    return time_ms


def parse_time(value: object, field: str) -> int:
    """Return what a number or text means, in epoch ms.

    Raises
    ------
    FieldRefused
        If it is missing, neither number nor text, not finite, or text that is not RFC 3339.

    Examples
    --------
    >>> parse_time(1767571210, "time"), parse_time(1767571210.123, "time"), parse_time(1767571210123000000, "time")
    (1767571210000, 1767571210123, 1767571210123)
    >>> parse_time("2026-01-05T01:00:10.1239+01:00", "time")
    1767571210123

    """
    if type(value) is int:
        if value < 100_000_000_000:
            return value * 1000
        if value < 100_000_000_000_000:
            return value
        return value // 1000 if value < 100_000_000_000_000_000 else value // 1_000_000
    if type(value) is float:
        return _from_float(value, field)
    if type(value) is str:
        return _from_text(value, field)
    if value is None:
        raise missing(field)
    raise refused(RejectReason.WRONG_TYPE, field, _RULE, value)


def whole_as_ms(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what integers from 0 on mean, in epoch ms, as :func:`parse_time` does."""
    of_unit = [times < limit for limit in (100_000_000_000, 100_000_000_000_000, 100_000_000_000_000_000)]
    return np.select(of_unit, [times * 1000, times, times // 1000], times // 1_000_000)


def seconds_as_ms(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return what floats of [0, 1e11) mean, in epoch ms, as :func:`parse_time` does; -1 for others."""
    is_seconds = (times >= 0.0) & (times < 1e11)
    return np.where(is_seconds, np.rint(np.where(is_seconds, times, 0.0) * 1e6).astype(np.int64) // 1000, -1)


def rfc3339(time_ms: int) -> str:
    """Return a time for people, in UTC; beyond the years 1 to 9999 the number itself.

    Examples
    --------
    >>> rfc3339(1767571210123), rfc3339(-10**18)
    ('2026-01-05T00:00:10.123Z', '-1000000000000000000 ms')

    """
    if not -62_135_596_800_000 <= time_ms < 253_402_300_800_000:
        return f"{time_ms} ms"
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def _from_float(value: float, field: str) -> int:
    if not math.isfinite(value):
        raise refused(RejectReason.NOT_FINITE, field, _RULE, value)
    if value < 1e11:
        return int(round(value * 1e6) // 1000) if value > -1e11 else int(value) * 1000
    if value < 1e14:
        return round(value * 1e3) // 1000
    return int(value) // 1000 if value < 1e17 else int(value) // 1_000_000


def _from_text(value: str, field: str) -> int:
    match = _RFC3339.fullmatch(value)
    if match is None:
        looks_like_a_number = value.strip().replace(".", "", 1).isdecimal()
        raise refused(RejectReason.WRONG_TYPE if looks_like_a_number else RejectReason.INVALID_TEXT, field, _RULE, value)
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    offset_hours, offset_minutes = int(match[9] or 0), int(match[10] or 0)
    leap_second = second == 60  # RFC 3339 knows them, epoch time does not: it is the second after
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap_second else second, tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None or offset_hours > 23 or offset_minutes > 59:
        raise refused(RejectReason.INVALID_TEXT, field, "must be a date and time that exist", value)
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds + leap_second
    offset_seconds = (offset_hours * 60 + offset_minutes) * 60
    seconds -= -offset_seconds if match[8] == "-" else offset_seconds
    return seconds * 1000 + int(((match[7] or "") + "000")[:3])
