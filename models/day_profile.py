"""How much traffic to expect at this time of day: a daily profile times a level that follows slowly."""

import math
from collections.abc import Mapping
from typing import Any

from models.errors import number, numbers, reading

N_BINS = 288
_DAY_S = 86_400
_BIN_S = _DAY_S // N_BINS
_LEAST_WINDOWS = 24.0
"""A mean of fewer windows is mostly noise, whatever their length."""
_DAYS_KEPT = 5
_STEP = 0.3
"""A bin moves by at most this much of log traffic a time."""


class DayProfile:
    """Expected count of a window: ``exp(profile + level)``; before a day was seen a mean of 20 minutes (24 windows at least).

    Parameters
    ----------
    window_s
        Length of the window, seconds.

    Notes
    -----
    288 bins of five minutes; memory O(1); time O(1) but for one smoothing at the end of the first day.
    Growth and weekends go into the level, which takes an hour and a half to follow.

    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._recent_memory = max(_LEAST_WINDOWS, 1200 / window_s)
        self._level_memory = max(_LEAST_WINDOWS, 5400 / window_s)
        self.n = 0
        self._recent = 0.0
        self._level = 0.0
        self._bins = [0.0] * N_BINS
        self._seen = [0] * N_BINS
        """Windows by bin, up to five days' worth."""
        self._per_bin = max(1.0, _BIN_S / window_s)
        self.has_profile = False

    def expected(self, time_s: float) -> float:
        """Return the expected count of the window that ends at ``time_s`` (epoch seconds); at least 1e-3."""
        if not self.has_profile:
            return max(self._recent, 1e-3)
        return max(math.exp(min(self._profile(time_s) + self._level, 50.0)), 1e-3)

    def _profile(self, time_s: float) -> float:
        """Return the smoothed, interpolated log profile."""
        at = (time_s % _DAY_S) / _BIN_S - 0.5
        low = math.floor(at)
        share = at - low
        return (1 - share) * self._smooth(low) + share * self._smooth(low + 1)

    def _smooth(self, i: int) -> float:
        bins = self._bins
        return 0.25 * bins[(i - 1) % N_BINS] + 0.5 * bins[i % N_BINS] + 0.25 * bins[(i + 1) % N_BINS]

    def learn(self, time_s: float, count: float, expected: float) -> bool:
        """Take one window in; return whether the profile has just become complete."""
        self.n += 1
        if not self.has_profile:
            return self._learn_first_day(time_s, count)
        residual = (count - expected) / max(expected, 1.0)
        gain = min(1.0, expected)
        self._level += max(-0.7, min(0.7, residual)) * gain / self._level_memory
        i = int(time_s % _DAY_S) // _BIN_S
        self._seen[i] = min(self._seen[i] + 1, round(_DAYS_KEPT * self._per_bin))
        rate = max(1 / (1 + self._seen[i] / self._per_bin), 1 / _DAYS_KEPT) * gain / self._per_bin
        self._bins[i] = round(self._bins[i] + rate * max(-_STEP, min(_STEP, residual)), 5)
        return False

    def _learn_first_day(self, time_s: float, count: float) -> bool:
        """Collect plain sums by bin (in ``_bins``), and follow the last 20 minutes."""
        weight = max(1 / self.n, 1 / self._recent_memory)
        self._recent += weight * (count - self._recent)
        i = int(time_s % _DAY_S) // _BIN_S
        self._bins[i] += count
        self._seen[i] += 1
        if self.n * self._window_s < _DAY_S:
            return False
        mean = max(sum(self._bins) / max(sum(self._seen), 1), 1e-3)
        self._bins = [round(math.log((total + 0.5 * mean) / (n + 0.5)), 6) for total, n in zip(self._bins, self._seen, strict=True)]
        self._seen = [round(self._per_bin)] * N_BINS
        self._level = 0.0
        self.has_profile = True
        return True

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "day_profile",
            "v": 1,
            "n": self.n,
            "recent": self._recent,
            "level": self._level,
            "bins": self._bins if self.n else [],
            "seen": self._seen if self.n else [],
            "has_profile": self.has_profile,
        }

    def from_state(self, state: Mapping[str, Any]) -> "DayProfile":
        """Take plain data over."""
        with reading(state, "day_profile", 1):
            self.n, self._recent, self._level = int(state["n"]), number(state["recent"]), number(state["level"])
            self._bins = list(numbers(state["bins"])) or [0.0] * N_BINS
            self._seen = [int(n) for n in state["seen"]] or [0] * N_BINS
            self.has_profile = bool(int(state["has_profile"]))
            if not len(self._bins) == len(self._seen) == N_BINS:
                raise ValueError(f"not {N_BINS} bins")
        return self
