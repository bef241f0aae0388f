"""Times as older logs write them: months by name, and no year."""

import re
from datetime import UTC, datetime, timedelta

MONTHS = {name: i for i, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1)}
_WITHOUT_YEAR = re.compile(r"([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?")


def from_syslog(text: str, published_ms: int) -> str | None:
    """Return RFC 3164's time as RFC 3339, to the second; ``None``: it is none.

    Examples
    --------
    >>> from_syslog("Jan  5 00:00:10", 1_767_571_210_000)
    '2026-01-05T00:00:10Z'

    """
    match = _WITHOUT_YEAR.fullmatch(text)
    return None if match is None else with_year(match[1], int(match[2]), match[3], published_ms)


def with_year(month: str, day: int, clock: str, published_ms: int) -> str | None:
    """Return a time, which is UTC, in the year that brings it nearest to its record's timestamp; ``None``: there is none such."""
    try:
        published = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=published_ms)
    except OverflowError:
        return None  # a timestamp in microseconds, say: it tells no year
    hour, minute, second = map(int, clock.split(":"))
    candidates = []
    for year in (published.year - 1, published.year, published.year + 1):
        try:
            at = datetime(year, MONTHS[month], day, hour, minute, second, tzinfo=UTC)
        except (KeyError, ValueError):
            continue
        candidates.append(at)
    nearest = min(candidates, key=lambda at: abs(at - published), default=None)
    return None if nearest is None else f"{nearest:%Y-%m-%dT%H:%M:%S}Z"
