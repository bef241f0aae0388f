"""What the day of week adds to what the time of day and the level of the last hours say of traffic, once it is worth it."""

import math
import struct
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from models.errors import numbers, reading

N_HOURS = 168
_PACKED = struct.Struct(f"<{N_HOURS}h")
_HOUR_S = 3600
_GAIN = 1 - math.exp(-1 / 1.5)
"""Of an hour, in the level that follows in an hour and a half."""
_WEEKS_KEPT = 4
_COMPARED = 2 * N_HOURS
"""Hours after which a comparison counts 1/e."""
_LEAST_COMPARED = _COMPARED * (1 - math.exp(-N_HOURS / _COMPARED))
"""A week's hours, faded as they are by its end."""
_SURE = 2.0
"""Standard errors by which the week must be better than no week."""
_MOST_ERROR = 1.0
"""One hour counts at most so much, log squared: an outage at a weekend must not decide."""
_MOST = 3.0
_UNIT = 1e-4


class WeekPattern:
    """Log traffic of each of the 168 hours of a week, less the usual level: learned always, used when it predicts better.

    Two forecasts of every hour are made before it is learned: from the level of the hours before alone, and from the
    same and this hour of the weeks before. When the second has been better for a week, by two standard errors of the
    difference of their squared errors, the pattern is on; when it is no better, it is off again. Nothing else decides.

    Attributes
    ----------
    is_on
        Whether the pattern is used.

    Parameters
    ----------
    window_s
        Length of the window, seconds.

    Notes
    -----
    Memory O(1): 168 hours in 0.5 kB; time O(1) a window, next to nothing but at the end of an hour. Weeks begin with the
    epoch's: which day that is does not matter. The earliest that it can be on is the third week.

    """

    __slots__ = ("_hour", "_of_hour", "_per_hour", "_plain", "_seen", "_slow", "_verdict", "_weekly", "_weeks", "is_on")

    def __init__(self, window_s: float) -> None:
        self._per_hour = max(1.0, _HOUR_S / window_s)
        self._weeks = array("h", bytes(2 * N_HOURS))
        """By hour of the week: log traffic less the slow level, in units of 0.0001."""
        self._seen = array("B", bytes(N_HOURS))
        """By hour of the week: in how many weeks, up to four."""
        self._hour = -1
        self._of_hour = (0.0, 0.0, 0.0, 0)
        """Of the hour that goes on: requests, expected ones, sum of levels, windows."""
        self._slow = (0.0, 0)
        """The level over a week, and from how many hours it is."""
        self._plain = self._weekly = 0.0
        """The levels that follow, without the week and beside it."""
        self._verdict = (0.0, 0.0, 0.0)
        """Hours compared, and sums of how much better the week was, and of the squares; faded."""
        self.is_on = False

    def offset(self, time_s: float) -> float:
        """Return what the hour of the week adds to log traffic at ``time_s`` (epoch seconds): between two hours' middles."""
        at = time_s / _HOUR_S - 0.5
        low = math.floor(at)
        return _UNIT * (self._weeks[low % N_HOURS] * (low + 1 - at) + self._weeks[(low + 1) % N_HOURS] * (at - low))

    def learn(self, time_s: float, count: float, expected: float, level: float) -> float:
        """Take one window in; return by how much the level has to move because the pattern was turned on or off.

        Parameters
        ----------
        time_s
            End of the window, epoch seconds.
        count, expected
            Requests, seen and expected, with ``level`` and, where it is on, the pattern in the expectation.
        level
            The level that was expected, log.

        """
        hour, shift = int(time_s) // _HOUR_S, 0.0
        if hour != self._hour:
            shift = self._end_hour(time_s)
            self._hour, self._of_hour = hour, (0.0, 0.0, 0.0, 0)
        counted, thought, levels, n = self._of_hour
        self._of_hour = (counted + count, thought + expected, levels + level, n + 1)
        return shift

    def _end_hour(self, time_s: float) -> float:
        counted, thought, levels, n = self._of_hour
        if self._hour < 0 or 2 * n < self._per_hour:  # half an hour is not the hour
            return 0.0
        slot = self._hour % N_HOURS
        known = self._weeks[slot] * _UNIT
        seen = math.log((counted + 0.5) / (thought + 0.5)) + levels / n + (known if self.is_on else 0.0)
        slow, n_slow = self._slow
        if not n_slow:
            slow = self._plain = self._weekly = seen
        if self._seen[slot]:
            self._compare(seen - self._plain, seen - known - self._weekly)
        self._plain += _GAIN * (seen - self._plain)
        self._weekly += _GAIN * (seen - known - self._weekly)
        n_slow = min(n_slow + 1, N_HOURS)
        slow += (seen - slow) / n_slow
        self._slow = (slow, n_slow)
        rate = max(1 / (1 + self._seen[slot]), 1 / _WEEKS_KEPT)
        moved = known + rate * (seen - slow - known)
        self._weeks[slot] = round(max(-_MOST, min(_MOST, moved)) / _UNIT)
        self._seen[slot] = min(self._seen[slot] + 1, _WEEKS_KEPT)
        return self._decide(time_s)

    def _compare(self, plain: float, weekly: float) -> None:
        """Count by how much the week's forecast of an hour was better than the one without it."""
        better = min(plain * plain, _MOST_ERROR) - min(weekly * weekly, _MOST_ERROR)
        fade = 1 - 1 / _COMPARED
        n, total, squares = self._verdict
        self._verdict = (n * fade + 1, total * fade + better, squares * fade + better * better)

    def _decide(self, time_s: float) -> float:
        n, total, squares = self._verdict
        if self.is_on:
            if total < 0:
                self.is_on = False
                return self.offset(time_s)
            return 0.0
        mean = total / n if n else 0.0
        error = math.sqrt(max(squares / n - mean * mean, 0.0) / n) if n else 0.0
        if n < _LEAST_COMPARED or mean <= _SURE * error:
            return 0.0
        self.is_on = True
        return -self.offset(time_s)

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "week",
            "v": 1,
            "hours": b64encode(_PACKED.pack(*self._weeks)).decode() if self._slow[1] else "",
            "seen": "".join(map(str, self._seen)) if self._slow[1] else "",
            "hour": [self._hour, *self._of_hour],
            "levels": [*self._slow, self._plain, self._weekly],
            "verdict": list(self._verdict),
            "is_on": self.is_on,
        }

    def from_state(self, state: Mapping[str, Any]) -> "WeekPattern":
        """Take plain data over."""
        with reading(state, "week", 1):
            self._weeks = array("h", _PACKED.unpack(b64decode(state["hours"])) if state["hours"] else bytes(2 * N_HOURS))
            self._seen = array("B", [int(digit) for digit in state["seen"]] or bytes(N_HOURS))
            hour, counted, thought, levels, n = numbers(state["hour"])
            self._hour, self._of_hour = int(hour), (counted, thought, levels, int(n))
            slow, n_slow, self._plain, self._weekly = numbers(state["levels"])
            self._slow = (slow, int(n_slow))
            n, total, squares = numbers(state["verdict"])
            self._verdict = (n, total, squares)
            self.is_on = bool(int(state["is_on"]))
            if len(self._seen) != N_HOURS:
                raise ValueError(f"not {N_HOURS} hours")
        return self
