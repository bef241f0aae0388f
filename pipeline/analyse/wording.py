"""How numbers, times and texts from telemetry are written for a person: rounded, with units, bounded, without surprises."""

import unicodedata
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999
"""The year 9999 ends; a later time is written as this one."""
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
RATIO_UNITS = frozenset({"ratio", "share", "utilization", "1"})
"""Units whose numbers are shown as per cent."""


def plain(text: str, limit: int = 80) -> str:
    r"""Return text from outside as one harmless line: no control or invisible characters, at most ``limit`` characters.

    Examples
    --------
    >>> plain("ca\x1b[31mrt\n"), plain("a" * 10, limit=6)
    ('ca [31mrt', 'aaa...')

    """
    shown = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text[: 4 * limit])
    words = " ".join(shown.split())
    return words if len(words) <= limit else words[: limit - 3] + "..."


def number(value: float) -> str:
    """Return a number in the two or so digits that a tired person reads.

    Examples
    --------
    >>> number(12345.6), number(48.2), number(3.14), number(3.0), number(0.0123), number(0.0)
    ('12,346', '48', '3.1', '3', '0.012', '0')

    """
    size = abs(value)
    if size >= 9.95:
        return f"{value:,.0f}"
    if size >= 0.995:
        return f"{value:.1f}".removesuffix(".0")
    if size >= 0.0001:
        return f"{value:.2g}"
    return "0" if size == 0 else f"{value:.1g}"


def quantity(value: float, unit: str) -> str:
    """Return a value with a unit that fits its size.

    Examples
    --------
    >>> quantity(480.2, "ms"), quantity(1234.0, "ms"), quantity(0.0314, "ratio"), quantity(12.0, "requests/s")
    ('480 ms', '1.2 s', '3.1 %', '12 requests/s')

    """
    return " ".join(part for part in _scaled(value, unit) if part)


def band(lower: float | None, upper: float | None, unit: str) -> str:
    """Return what is normal, from lower to upper; empty when neither is known.

    Examples
    --------
    >>> band(120.0, 180.0, "ms"), band(800.0, 1200.0, "ms"), band(None, 0.02, "ratio"), band(12.0, None, "requests/s")
    ('120-180 ms', '800 ms to 1.2 s', 'up to 2 %', 'at least 12 requests/s')
    >>> band(-20.0, -5.0, "C")
    '-20 to -5 C'

    """
    if upper is None:
        return "" if lower is None else f"at least {quantity(lower, unit)}"
    if lower is None:
        return f"up to {quantity(upper, unit)}"
    (low, low_unit), (high, high_unit) = _scaled(lower, unit), _scaled(upper, unit)
    if low_unit == high_unit:
        return f"{low}{' to ' if lower < 0 else '-'}{high} {high_unit}".rstrip()
    return f"{low} {low_unit} to {high} {high_unit}"


def duration(length_ms: int) -> str:
    """Return a length of time in one unit.

    Examples
    --------
    >>> duration(20_000), duration(60_000), duration(720_000), duration(7_200_000), duration(172_800_000)
    ('20 seconds', '1 minute', '12 minutes', '2 hours', '2 days')

    """
    for size_ms, name, up_to_ms in (
        (1_000, "second", _MINUTE_MS),
        (_MINUTE_MS, "minute", 2 * _HOUR_MS),
        (_HOUR_MS, "hour", 2 * _DAY_MS),
    ):
        if length_ms < up_to_ms:
            return _counted(length_ms, size_ms, name)
    return _counted(length_ms, _DAY_MS, "day")


def clock(time_ms: int, today_ms: int) -> str:
    """Return the UTC time of day, with its date unless that is the day of ``today_ms``.

    Examples
    --------
    >>> clock(11_520_000, 11_530_000), clock(11_520_000, 172_800_000)
    ('03:12 UTC', '1970-01-01 03:12 UTC')

    """
    time, today = _utc(time_ms), _utc(today_ms)
    return time.strftime("%H:%M UTC" if time.date() == today.date() else "%Y-%m-%d %H:%M UTC")


def joined(names: list[str]) -> str:
    """Return names as an enumeration.

    Examples
    --------
    >>> joined(["a"]), joined(["a", "b", "c"])
    ('a', 'a, b and c')

    """
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _scaled(value: float, unit: str) -> tuple[str, str]:
    if unit in RATIO_UNITS:
        return number(100 * value), "%"
    if unit == "s":
        return _scaled(1000 * value, "ms")
    if unit == "ms" and abs(value) >= 119_500:
        return number(value / _MINUTE_MS), "min"
    if unit == "ms" and abs(value) >= 999.5:
        return number(value / 1000), "s"
    return number(value), unit


def _counted(length_ms: int, size_ms: int, name: str) -> str:
    n = max(0, round(length_ms / size_ms))
    return f"{n} {name}" if n == 1 else f"{n} {name}s"


def _utc(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(max(time_ms, 0), _LAST_MS))
