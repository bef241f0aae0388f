"""How far a slow level is from what it usually is at this hour."""

import math
from array import array
from collections.abc import Mapping
from typing import Any

from models.errors import number, reading
from models.float32 import from_bytes, to_bytes

N_BINS = 48
_DAY_S = 86_400
_BIN_S = _DAY_S // N_BINS
_LEVEL_RATE = 0.1
_BIN_RATE = 0.15


class TimeOfDay:
    """A level that follows the values, and its usual height in each half hour of the UTC day.

    Notes
    -----
    Memory O(1): 48 numbers; time O(1). A bin that was never seen says nothing.

    Examples
    --------
    >>> usual = TimeOfDay()
    >>> for i in range(960):
    ...     usual.learn(usual.level_with(10.0 if i % 48 < 24 else 20.0), i * 1800.0)
    >>> round(usual.residual(20.0, 23 * 1800.0)), round(usual.residual(20.0, 47 * 1800.0))
    (9, 1)

    """

    __slots__ = ("_bins", "_seen", "level")

    def __init__(self) -> None:
        self.level: float | None = None
        self._bins = array("d", [0.0]) * N_BINS
        self._seen = bytearray(N_BINS)

    def level_with(self, value: float) -> float:
        """Return what the level becomes with ``value``."""
        return value if self.level is None else self.level + _LEVEL_RATE * (value - self.level)

    def usual(self, time_s: float) -> float | None:
        """Return the level's mean in the half hour of ``time_s`` (epoch seconds); ``None`` if it was never seen."""
        i = int(time_s % _DAY_S) // _BIN_S
        return self._bins[i] if self._seen[i] else None

    def residual(self, level: float, time_s: float) -> float:
        """Return how far a level is from the usual one at that time; 0 when none is known."""
        i = int(time_s % _DAY_S) // _BIN_S
        return abs(level - self._bins[i]) if self._seen[i] else 0.0

    def learn(self, level: float, time_s: float) -> None:
        """Take a level in."""
        self.level = level
        i = int(time_s % _DAY_S) // _BIN_S
        if self._seen[i]:
            usual = self._bins[i]
            self._bins[i] = usual + _BIN_RATE * (level - usual)
        else:
            self._bins[i], self._seen[i] = level, 1

    def to_state(self) -> dict[str, Any]:
        """Return plain data and bytes."""
        level = [] if self.level is None else [self.level]
        return {"kind": "time_of_day", "v": 1, "level": level, "bins": to_bytes(self._bins), "seen": list(self._seen)}

    def from_state(self, state: Mapping[str, Any]) -> "TimeOfDay":
        """Take it over.

        Raises
        ------
        ModelStateError
            If it cannot be read.

        """
        with reading(state, "time_of_day", 1):
            self.level = number(state["level"][0]) if state["level"] else None
            self._bins, self._seen = from_bytes(state["bins"], "d"), bytearray(state["seen"])
            if not len(self._bins) == len(self._seen) == N_BINS or not math.isfinite(self.level or 0.0):
                raise ValueError(f"not {N_BINS} bins, or no level")
        return self
