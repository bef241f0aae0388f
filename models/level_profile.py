"""What a level usually is at this time of day: a mean of each half hour, and how far today is from it."""

import math
from collections.abc import Mapping
from typing import Any

from models.averages import FadingMean
from models.errors import numbers, reading

N_BINS = 48
_DAY_S = 86_400.0
_BIN_S = _DAY_S / N_BINS
_DAYS_KEPT = 5
_LEAST_WINDOWS = 24.0
_LEAST_SHARE = 0.25
"""A half hour of which less was seen says nothing."""
_LONGEST_S = 300.0
"""A value stands for the time since the one before, but for no more than this: gauges are sent less often than windows end."""


class LevelProfile:
    """Expected level of a window: ``profile + today``; before a day was seen a mean of 20 minutes (24 windows at least).

    Parameters
    ----------
    window_s
        Length of the window, seconds.

    Notes
    -----
    48 half hours, in a straight line between their middles; memory O(1), time O(1). A half hour is learned when it is over;
    five days weigh alike, then they fade. What today is off by follows in an hour and a half.

    """

    __slots__ = (
        "_at", "_bins", "_days", "_last_s", "_longest_s", "_n", "_recent", "_seen_in_bin_s", "_seen_s", "_sum", "_today",
        "_window_s", "has_profile", "n",
    )  # fmt: skip

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._longest_s = max(_LONGEST_S, window_s)
        self.n = 0
        self.has_profile = False
        self._recent = FadingMean(max(_LEAST_WINDOWS, 1200 / window_s))
        self._today = FadingMean(max(_LEAST_WINDOWS, 5400 / window_s))
        self._bins = [0.0] * N_BINS
        self._days = [0] * N_BINS
        self._at, self._n, self._sum = -1, 0, 0.0
        """The half hour that goes on, its windows and their sum."""
        self._last_s = self._seen_s = self._seen_in_bin_s = 0.0
        """When the last window ended (0: there was none); what all windows stand for, and those of this half hour, seconds."""

    def expected(self, time_s: float) -> float:
        """Return the expected level of the window that ends at ``time_s`` (epoch seconds)."""
        if not self.has_profile:
            return self._recent.value
        return self._usual(time_s) + self._today.value

    def _usual(self, time_s: float) -> float:
        at = (time_s % _DAY_S) / _BIN_S - 0.5
        low = math.floor(at)
        start, end = self._bins[low % N_BINS], self._bins[(low + 1) % N_BINS]
        return start + (at - low) * (end - start)

    def learn(self, time_s: float, value: float, off: float) -> bool:
        """Take in a window, ``off`` from what was expected as far as that counts; return whether the profile is now complete."""
        self.n += 1
        if self.has_profile:
            today = self._today
            today.update(today.value + off)
        else:
            recent = self._recent
            recent.update(value if not recent.n else recent.value + off)
        at = int(time_s % _DAY_S // _BIN_S)
        if at != self._at:
            self._end_bin()
            self._at = at
        self._n += 1
        self._sum += value
        since_s = time_s - self._last_s if self._last_s else self._window_s
        stands_for_s = min(max(since_s, self._window_s), self._longest_s)
        self._seen_in_bin_s += stands_for_s
        self._seen_s += stands_for_s
        self._last_s = time_s
        return not self.has_profile and self._seen_s >= _DAY_S and self._complete()

    def _end_bin(self) -> None:
        at, n = self._at, self._n
        if n and self._seen_in_bin_s >= _LEAST_SHARE * _BIN_S:
            self._days[at] = days = min(self._days[at] + 1, _DAYS_KEPT)
            mean = self._sum / n
            self._bins[at] += (mean - self._bins[at]) / days
        self._n, self._sum, self._seen_in_bin_s = 0, 0.0, 0.0

    def _complete(self) -> bool:
        """Fill half hours that were not seen with the mean of the others, and begin to use the profile."""
        self._end_bin()
        seen = [level for level, days in zip(self._bins, self._days, strict=True) if days]
        if not seen:
            return False
        mean = sum(seen) / len(seen)
        self._bins = [level if days else mean for level, days in zip(self._bins, self._days, strict=True)]
        self.has_profile = True
        return True

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "level_profile",
            "v": 2,
            "n": self.n,
            "has_profile": self.has_profile,
            "recent": self._recent.to_state(),
            "today": self._today.to_state(),
            "bins": list(self._bins),
            "days": list(self._days),
            "going_on": [self._at, self._n, self._sum],
            "seen": [self._last_s, self._seen_s, self._seen_in_bin_s],
        }

    def from_state(self, state: Mapping[str, Any]) -> "LevelProfile":
        """Take plain data over; version 1 counted windows instead of time.

        Raises
        ------
        ModelStateError
            If it cannot be read.

        """
        with reading(state, "level_profile", 2, 1) as version:
            self.n, self.has_profile = int(state["n"]), bool(int(state["has_profile"]))
            self._recent.from_state(state["recent"])
            self._today.from_state(state["today"])
            self._bins, self._days = list(numbers(state["bins"])), [int(days) for days in state["days"]]
            at, n, self._sum = numbers(state["going_on"])
            self._at, self._n = int(at), int(n)
            seen = state["seen"] if version > 1 else (0.0, self.n * self._window_s, self._n * self._window_s)
            self._last_s, self._seen_s, self._seen_in_bin_s = numbers(seen)
            if not len(self._bins) == len(self._days) == N_BINS or not -1 <= self._at < N_BINS:
                raise ValueError(f"not {N_BINS} half hours")
        return self
