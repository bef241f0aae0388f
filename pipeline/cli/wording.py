"""How single values are shown to people: decides escapes, times, amounts with units, sparklines."""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.analyse.wording import RATIO_UNITS

MAX_TEXT = 200
"""Text from telemetry is cut to this length, characters."""
UNKNOWN = "-"
BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"


def safe(text: str, limit: int = MAX_TEXT) -> str:
    r"""Return text that came from outside such that a terminal only shows it: escaped, and cut to ``limit``.

    Examples
    --------
    >>> print(safe("red \x1b[31m alert"))
    red \x1b[31m alert

    """
    shown = "".join(character if _is_harmless(character) else _escaped(character) for character in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def safe_bytes(value: bytes, limit: int = MAX_TEXT) -> str:
    r"""Return bytes as escaped text; what is not UTF-8 as ``\xNN``.

    Examples
    --------
    >>> print(safe_bytes(b'{"a":\xff}'))
    {"a":\xff}

    """
    return safe(value[: limit * 4].decode(errors="backslashreplace"), limit)


def moment(time_ms: int | None, *, with_date: bool = False) -> str:
    """Return a UTC epoch time as people read it.

    Examples
    --------
    >>> moment(1_700_000_000_000), moment(1_700_000_000_000, with_date=True)
    ('22:13:20', '2023-11-14 22:13:20')

    """
    if time_ms is None:
        return UNKNOWN
    try:
        when = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
    return when.strftime("%Y-%m-%d %H:%M:%S" if with_date else "%H:%M:%S")


def amount(value: float | None, unit: str = "") -> str:
    """Return a value with its unit, with about three digits.

    Examples
    --------
    >>> amount(1234.5, "ms"), amount(85.21, "ms"), amount(0.0312, "ratio"), amount(12.34, "requests/s"), amount(None)
    ('1.23 s', '85.2 ms', '3.1 %', '12.3 requests/s', '-')

    """
    if value is None:
        return UNKNOWN
    if unit == "ms":
        return f"{value / 1000:.2f} s" if abs(value) >= 1000 else f"{value:.3g} ms"
    if unit in RATIO_UNITS:
        return f"{value * 100:.1f} %"
    digits = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if value == 1:
        unit = {"windows": "window"}.get(unit, unit)
    return f"{digits} {safe(unit)}".rstrip()


def band(lower: float | None, upper: float | None, unit: str = "") -> str:
    """Return an expected band in words.

    Examples
    --------
    >>> band(1, 2, "ms"), band(None, 1, "windows"), band(1, None, "ms"), band(None, None)
    ('1 ms to 2 ms', 'up to 1 window', 'at least 1 ms', 'not known yet')
    >>> band(-20, -5, "C")
    '-20 C to -5 C'

    """
    if lower is None and upper is None:
        return "not known yet"
    if lower is None:
        return f"up to {amount(upper, unit)}"
    if upper is None:
        return f"at least {amount(lower, unit)}"
    return f"{amount(lower, unit)} to {amount(upper, unit)}"


def duration(span_ms: float) -> str:
    """Return a length of time.

    Examples
    --------
    >>> duration(800), duration(90_000), duration(599_999), duration(7_500_000)
    ('0.8 s', '1 min 30 s', '10 min 00 s', '2 h 05 min')

    """
    seconds = span_ms / 1000
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(n: int, noun: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> counted(1, "window"), counted(1200, "window")
    ('1 window', '1,200 windows')

    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def sparkline(values: Sequence[float | None], low: float | None = None) -> str:
    """Return the values as a row of blocks, from ``low`` (their lowest, if none is given) to their highest.

    A value that is missing is a gap. With 0 as ``low``, chance looks as small as it is.

    Examples
    --------
    >>> sparkline([0, 1, None, 7])
    '▁▂·█'
    >>> sparkline([80, 84, 160], low=0)
    '▅▅█'

    """
    known = [value for value in values if value is not None]
    if not known:
        return GAP * len(values)
    low = min(known) if low is None else min(low, *known)
    span = (max(known) - low) or 1.0
    top = len(BLOCKS) - 1
    return "".join(GAP if value is None else BLOCKS[round((value - low) / span * top)] for value in values)


def _is_harmless(character: str) -> bool:
    return character == " " or (character.isprintable() and unicodedata.category(character) not in {"Cf", "Zl", "Zp"})


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if ord(character) != 0x20 else " "
