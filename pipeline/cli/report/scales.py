"""Axes: decides where values and times lie in a plot, and which of them are written beside it."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MINUTE_MS = 60_000
_STEPS_MIN = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160, 43_200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear axis from ``low`` to ``high``, drawn from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return where a value is drawn; what lies outside, at the edge."""
        within = min(max(value, self.low), self.high)
        return self.start + (within - self.low) / (self.high - self.low) * (self.end - self.start)


def value_range(values: Floats, bands: Floats, notable: Floats) -> tuple[float, float]:
    """Return the (lowest, highest) value that a plot shows.

    Rare spikes are cut off, unless they lie where something was wrong; nothing there may be so large that all else is
    flat. The axis starts at 0 unless everything is far from it.

    Parameters
    ----------
    values, bands
        All values, and the edges of all bands; ``nan`` is passed over.
    notable
        Values while something was wrong.

    """
    known, edges, special = (some[np.isfinite(some)] for some in (values, bands, notable))
    if not len(known):
        return 0.0, 1.0
    usual = float(np.percentile(known, 99.7))
    top = max(usual, float(np.percentile(edges, 98)) if len(edges) else usual)
    if len(special):
        most = float(special.max())
        top = max(top, min(most, 8 * top) if top > 0 else most)
    bottom = min(float(np.percentile(known, 0.3)), float(np.percentile(edges, 2)) if len(edges) else math.inf)
    if len(special):
        bottom = min(bottom, float(special.min()))
    if 0 <= bottom < 0.6 * top:
        bottom = 0.0
    room = (top - bottom) * 0.06 or abs(top) * 0.1 or 1.0
    return (bottom if bottom == 0 else bottom - room), top + room


def value_ticks(low: float, high: float, n: int = 3) -> list[float]:
    """Return about ``n`` round values between two others.

    Examples
    --------
    >>> value_ticks(0, 1.06), value_ticks(38, 171)
    ([0.0, 0.5, 1.0], [50.0, 100.0, 150.0])

    """
    rough = (high - low) / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def time_ticks(start_ms: int, end_ms: int, n: int = 8) -> list[tuple[int, str]]:
    """Return at most about ``n`` round times (UTC) with their text; a day's begin is written as its date.

    Examples
    --------
    >>> time_ticks(1_767_571_200_000, 1_767_571_200_000 + 6 * 3_600_000, 3)
    [(1767571200000, 'Jan 5'), (1767578400000, '02:00'), (1767585600000, '04:00'), (1767592800000, '06:00')]

    """
    step_ms = next((m * MINUTE_MS for m in _STEPS_MIN if m * MINUTE_MS * n >= end_ms - start_ms), _STEPS_MIN[-1] * MINUTE_MS)
    while (end_ms - start_ms) / step_ms > 2 * n:
        step_ms *= 2
    first = -(-start_ms // step_ms) * step_ms
    return [(at, _clock(at)) for at in range(first, end_ms + 1, step_ms)]


def _clock(at_ms: int) -> str:
    try:
        when = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return f"{when:%b} {when.day}" if at_ms % (1440 * MINUTE_MS) == 0 else f"{when:%H:%M}"
