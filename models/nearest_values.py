"""How far a value is from the nearest ones of the last two weeks."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from models.errors import reading
from models.float32 import from_bytes, to_bytes

N_NEAREST = 3
_ALL_BUT_LAST = range(N_NEAREST - 1)


class NearestValues:
    """The last ``capacity`` values, in order of arrival and sorted, asked how far the nearest three are.

    Parameters
    ----------
    capacity
        How many are kept; the oldest goes.

    Notes
    -----
    Values are 32-bit numbers (see :func:`models.float32.as_float32`). Memory 8 bytes a value; snapshot 4; a question
    costs O(log n), a new value two moves of memory.

    Examples
    --------
    >>> memory = NearestValues(capacity=4)
    >>> for value in (1.0, 2.0, 3.0, 10.0, 20.0):
    ...     memory.add(value)
    >>> memory.distance(3.0)
    2.67

    """

    __slots__ = ("_arrived", "_is_trimmed", "_oldest", "_sorted", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._arrived = array("f")
        self._oldest = 0
        """Where in ``_arrived`` the next value goes once it is full."""
        self._sorted = array("f")
        self._is_trimmed = False

    def __len__(self) -> int:
        return len(self._sorted)

    def distance(self, value: float) -> float:
        """Return the mean distance to the three nearest values (to fewer while there are fewer); 0 when there are none."""
        held = self._sorted
        above = bisect_left(held, value)
        below, n = above - 1, len(held)
        total = 0.0
        if N_NEAREST <= above <= n - N_NEAREST:  # nearly always: no end is near
            down, up = value - held[below], held[above] - value
            for _ in _ALL_BUT_LAST:
                if down <= up:
                    total += down
                    below -= 1
                    down = value - held[below]
                else:
                    total += up
                    above += 1
                    up = held[above] - value
            return (total + (down if down <= up else up)) / N_NEAREST
        wanted = min(N_NEAREST, n)
        for _ in range(wanted):
            if above == n or (below >= 0 and value - held[below] <= held[above] - value):
                total += value - held[below]
                below -= 1
            else:
                total += held[above] - value
                above += 1
        return total / wanted if wanted else 0.0

    def at_share(self, share: float) -> float | None:
        """Return the value below which this share of them lies, ``share`` in ``[0, 1]``; ``None`` when there are none."""
        held = self._sorted
        return held[min(len(held) - 1, int(share * len(held)))] if held else None

    def add(self, value: float) -> None:
        """Take one value in."""
        held = self._sorted
        if len(held) == self.capacity:
            arrived, oldest = self._arrived, self._oldest
            del held[bisect_left(held, arrived[oldest])]
            arrived[oldest] = value
            self._oldest = (oldest + 1) % self.capacity
        else:
            self._arrived.append(value)
        held.insert(bisect_left(held, value), value)
        if not self._is_trimmed and len(held) == self.capacity:
            self._trim()

    def _trim(self) -> None:
        """Give back the room that arrays grow with: it is a twentieth of the memory of every series."""
        self._arrived, self._sorted, self._is_trimmed = array("f", self._arrived), array("f", self._sorted), True

    def to_state(self) -> dict[str, Any]:
        """Return the values in order of arrival."""
        return {"kind": "nearest_values", "v": 1, "values": to_bytes(self._arrived[self._oldest :] + self._arrived[: self._oldest])}

    def from_state(self, state: Mapping[str, Any]) -> "NearestValues":
        """Take them over.

        Raises
        ------
        ModelStateError
            If they cannot be read, or are more than ``capacity``.

        """
        with reading(state, "nearest_values", 1):
            values = from_bytes(state["values"])
            if len(values) > self.capacity:
                raise ValueError(f"{len(values)} values for a memory of {self.capacity}")
            self._arrived, self._oldest = values, 0
            self._sorted = array("f", sorted(values))
        return self
