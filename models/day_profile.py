"""How much traffic to expect at this time of day: a daily profile times a level that follows slowly."""

import math
from array import array
from collections.abc import Mapping
from typing import Any

from models.errors import number, numbers, reading
from models.week import WeekPattern

N_BINS = 288
_DAY_S = 86_400
_BIN_S = _DAY_S // N_BINS
_LEAST_WINDOWS = 24.0
"""A mean of fewer windows is mostly noise, whatever their length."""
_DAYS_KEPT = 5
_STEP = 0.3
"""A bin moves by at most this much of log traffic a time."""
_LEVEL_STEP = 0.7
_LEAST = 1e-3
"""Requests a window that are expected at least."""
_LEAST_LOG, _MOST_LOG = math.log(_LEAST), 50.0
_UNIT = 1e-5
_NO_SEGMENT = (-2, 0.0, 0.0)


class DayProfile:
    """Expected count of a window: ``exp(profile + level)``; before a day was seen a mean of 20 minutes (24 windows at least).

    Parameters
    ----------
    window_s
        Length of the window, seconds.

    Notes
    -----
    288 bins of five minutes; memory O(1); time O(1) but for one smoothing at the end of the first day. A bin learns
    when it is over. Growth goes into the level, which takes an hour and a half to follow, and so do weekends until the
    week is known and turns out to predict better (:class:`models.week.WeekPattern`).

    """

    __slots__ = (
        "_bins", "_days", "_learning", "_level", "_level_memory", "_n_moves", "_per_bin", "_recent", "_recent_memory", "_segment",
        "_sum_moves", "_sums", "_week", "_window_s", "has_profile", "n",
    )  # fmt: skip

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._recent_memory = max(_LEAST_WINDOWS, 1200 / window_s)
        self._level_memory = max(_LEAST_WINDOWS, 5400 / window_s)
        self._per_bin = max(1.0, _BIN_S / window_s)
        self.n = 0
        self.has_profile = False
        self._recent = 0.0
        self._level = 0.0
        self._bins = array("i", bytes(4 * N_BINS))
        """From the first day on: log requests a window, in units of 0.00001."""
        self._sums = array("d", bytes(8 * N_BINS))
        """First day: requests by bin; a named counter's may be of any size, or a fraction. Then: empty."""
        self._days = array("H", bytes(2 * N_BINS))
        """First day: windows by bin. Then: days by bin, up to five."""
        self._learning = -1
        """The bin whose windows are being collected, their residuals in ``_sum_moves``, their number in ``_n_moves``."""
        self._sum_moves = 0.0
        self._n_moves = 0
        self._week = WeekPattern(window_s)
        self._segment = _NO_SEGMENT
        """Between two bins' middles: (which, log profile at its start, at its end), so that it is smoothed once."""

    def expected(self, time_s: float) -> float:
        """Return the expected count of the window that ends at ``time_s`` (epoch seconds); at least 1e-3."""
        if not self.has_profile:
            return max(self._recent, _LEAST)
        at = time_s / _BIN_S - 0.5
        low = math.floor(at)
        which, start, end = self._segment
        if which != low:
            start, end = self._smooth(low), self._smooth(low + 1)
            if self._week.is_on:
                start += self._week.offset((low + 0.5) * _BIN_S)
                end += self._week.offset((low + 1.5) * _BIN_S)
            self._segment = (low, start, end)
        log = start + (at - low) * (end - start) + self._level
        return math.exp(log) if _LEAST_LOG < log < _MOST_LOG else (_LEAST if log < 0 else math.exp(_MOST_LOG))

    def _smooth(self, i: int) -> float:
        bins = self._bins
        return (bins[(i - 1) % N_BINS] + 2 * bins[i % N_BINS] + bins[(i + 1) % N_BINS]) * (_UNIT / 4)

    def learn(self, time_s: float, count: float, expected: float) -> bool:
        """Take one window in; return whether the profile has just become complete."""
        self.n += 1
        if not self.has_profile:
            return self._learn_first_day(time_s, count)
        residual = (count - expected) / (expected if expected > 1.0 else 1.0)
        gain = expected if expected < 1.0 else 1.0
        move = _LEVEL_STEP if residual > _LEVEL_STEP else (-_LEVEL_STEP if residual < -_LEVEL_STEP else residual)
        shift = self._week.learn(time_s, count, expected, self._level)
        self._level += move * gain / self._level_memory + shift
        if shift:
            self._segment = _NO_SEGMENT
        i = int(time_s % _DAY_S) // _BIN_S
        if i != self._learning:
            self._move_bin()
            self._learning = i
        self._sum_moves += gain * (_STEP if residual > _STEP else (-_STEP if residual < -_STEP else residual))
        self._n_moves += 1
        return False

    def _move_bin(self) -> None:
        """Move the bin that is over by what its windows were off, the less the more days it has seen."""
        i = self._learning
        if i < 0 or not self._n_moves:
            return
        share = min(1.0, self._n_moves / self._per_bin)  # a bin that was half seen moves half
        rate = max(1 / (1 + self._days[i]), 1 / _DAYS_KEPT)
        self._bins[i] += round(rate * share * self._sum_moves / self._n_moves / _UNIT)
        self._days[i] = min(self._days[i] + 1, _DAYS_KEPT)
        self._sum_moves, self._n_moves = 0.0, 0
        self._segment = _NO_SEGMENT

    def _learn_first_day(self, time_s: float, count: float) -> bool:
        """Collect plain sums by bin, and follow the last 20 minutes."""
        weight = max(1 / self.n, 1 / self._recent_memory)
        self._recent += weight * (count - self._recent)
        i = int(time_s % _DAY_S) // _BIN_S
        self._sums[i] += count
        self._days[i] = min(self._days[i] + 1, 65_535)
        if self.n * self._window_s < _DAY_S:
            return False
        mean = max(sum(self._sums) / max(sum(self._days), 1), _LEAST)
        for j, (total, n) in enumerate(zip(self._sums, self._days, strict=True)):
            self._bins[j] = round(math.log((total + 0.5 * mean) / (n + 0.5)) / _UNIT)
            self._days[j] = min(n, 1)
        self._sums = array("d")
        self._level = 0.0
        self.has_profile = True
        return True

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "day_profile",
            "v": 3,
            "n": self.n,
            "recent": self._recent,
            "level": self._level,
            "bins": list(self._bins if self.has_profile else self._sums) if self.n else [],
            "days": list(self._days) if self.n else [],
            "moves": [self._learning, self._sum_moves, self._n_moves],
            "has_profile": self.has_profile,
            "week": self._week.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "DayProfile":
        """Take plain data over; version 2 knew no week."""
        with reading(state, "day_profile", 3, 2) as version:
            self.n, self._recent, self._level = int(state["n"]), number(state["recent"]), number(state["level"])
            self._days = array("H", [int(n) for n in state["days"]] or bytes(2 * N_BINS))
            learning, self._sum_moves, n_moves = numbers(state["moves"])
            self._learning, self._n_moves = int(learning), int(n_moves)
            self.has_profile = bool(int(state["has_profile"]))
            bins = numbers(state["bins"]) or (0,) * N_BINS
            self._bins = array("i", map(int, bins) if self.has_profile else bytes(4 * N_BINS))
            self._sums = array("d", () if self.has_profile else bins)
            self._week = WeekPattern(self._window_s)
            if version > 2:
                self._week.from_state(state["week"])
            self._segment = _NO_SEGMENT
            if not len(bins) == len(self._days) == N_BINS or not -1 <= self._learning < N_BINS:
                raise ValueError(f"not {N_BINS} bins")
        return self
