"""What was reached near this hour on the last days: nightly jobs stop being news after a few nights."""

from array import array
from collections.abc import Mapping
from typing import Any

from models.errors import numbers, reading

_HOUR_S = 3600
_DAY_HOURS = 24
_DAYS = 3
_KEPT = (_DAYS + 1) * _DAY_HOURS
_UNIT = 1e-4
_MOST = 65_535
_NOT_RECKONED = (-1, 0.0)


class HourlyPeaks:
    """The highest level that held for two windows, by hour, of four days.

    Notes
    -----
    Memory O(1): 96 numbers; time O(1). Ready for an hour's neighbours on two earlier days after two days.

    """

    __slots__ = ("_hour", "_peak", "_peaks", "_previous", "_until_s", "_usual")

    def __init__(self) -> None:
        self._peaks = array("H", bytes(2 * _KEPT))
        """By hour modulo four days, in units of 0.0001; 0: nothing was seen."""
        self._hour = -1
        """The newest hour, in hours since the epoch; it ends at ``_until_s``, and its peak so far is ``_peak``."""
        self._until_s = -1
        self._peak = 0.0
        self._previous = 0.0
        self._usual = _NOT_RECKONED
        """The hour it was last reckoned for, and :meth:`usual` then."""

    def usual(self, time_s: float) -> float:
        """Return the second highest of three days' peaks within an hour of this time of day; 0 when fewer were seen."""
        hour = int(time_s) // _HOUR_S
        if self._usual[0] != hour:
            self._usual = (hour, self._second_highest(hour))
        return self._usual[1]

    def _second_highest(self, hour: int) -> float:
        days = sorted(self._day_peak(hour - day * _DAY_HOURS) for day in range(1, _DAYS + 1))
        return days[-2] * _UNIT

    def _day_peak(self, hour: int) -> int:
        oldest = self._hour - _KEPT
        return max(self._peaks[at % _KEPT] if oldest < at <= self._hour else 0 for at in (hour - 1, hour, hour + 1))

    def all_seen(self) -> tuple[float, int]:
        """Return the highest peak of the last four days, this hour's left out, and of how many hours."""
        here = self._hour % _KEPT
        seen = [peak for at, peak in enumerate(self._peaks) if peak and at != here]
        return max(seen, default=0) * _UNIT, len(seen)

    def learn(self, time_s: float, value: float) -> None:
        """Take one window in, whatever it is."""
        if time_s >= self._until_s:
            self._begin_hour(int(time_s) // _HOUR_S)
        held = value if value < self._previous else self._previous
        self._previous = value
        if held > self._peak:
            self._peak = held
            self._peaks[self._hour % _KEPT] = min(round(held / _UNIT), _MOST)

    def _begin_hour(self, hour: int) -> None:
        for at in range(max(self._hour + 1, hour - _KEPT + 1), hour + 1):
            self._peaks[at % _KEPT] = 0
        self._hour, self._until_s, self._peak = hour, (hour + 1) * _HOUR_S, 0.0
        self._usual = _NOT_RECKONED

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "nightly",
            "v": 1,
            "hour": self._hour,
            "previous": [self._previous, self._peak],
            "peaks": list(self._peaks) if self._hour >= 0 else [],
        }

    def from_state(self, state: Mapping[str, Any]) -> "HourlyPeaks":
        """Take plain data over."""
        with reading(state, "nightly", 1):
            self._hour = int(state["hour"])
            self._previous, self._peak = numbers(state["previous"])
            self._peaks = array("H", [int(peak) for peak in state["peaks"]] or bytes(2 * _KEPT))
            if len(self._peaks) != _KEPT:
                raise ValueError(f"{len(self._peaks)} hours, not {_KEPT}")
            self._usual = _NOT_RECKONED
            self._until_s = (self._hour + 1) * _HOUR_S if self._hour >= 0 else -1
        return self
