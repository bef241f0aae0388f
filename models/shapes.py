"""How far the curve of the last two hours is from the nearest curves of the last week."""

import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.errors import reading
from models.float32 import from_bytes, to_bytes

N_NUMBERS = 8
STRIDE = 3
SPAN = (N_NUMBERS - 1) * STRIDE
"""A shape is the newest number and the seven before it, three points apart: 22 points."""
_PENDING = N_NUMBERS
"""A shape is compared with only when it is 24 points old: eight strides."""
_ROOM = 64
"""Numbers that fit behind the memory before it is moved to the front."""
_N_NEAREST = 3
_sum = np.add.reduce


class Shapes:
    """The shapes seen at every third point, asked how far the nearest three are from the newest one.

    Consecutive shapes share seven of their eight numbers, so that one sequence of numbers holds them all, and shapes are
    windows that slide over it.

    Parameters
    ----------
    capacity
        How many shapes are kept; the oldest goes.

    Notes
    -----
    Numbers are 32-bit; memory and snapshot 4 bytes a shape; a question costs O(capacity) in numpy.

    Examples
    --------
    >>> shapes = Shapes(capacity=100)
    >>> for i in range(300):
    ...     shapes.add(float(i % 12))
    >>> shapes.distance(0.0), round(shapes.distance(7.0), 1)
    (0.0, 7.0)

    """

    __slots__ = ("_end", "_newest", "_numbers", "_phase", "_recent", "_seen", "_start", "_windows", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._recent = array("f", bytes(4 * (SPAN + 1)))
        """The last 21 numbers of every point, oldest first, and room for the one that is asked about."""
        self._newest = np.frombuffer(self._recent, dtype=np.float32)[::STRIDE, None]
        """The shape that they make."""
        self._phase = 0
        """Points since one was put into ``_numbers``."""
        self._numbers = np.zeros(capacity + N_NUMBERS - 1 + _PENDING + _ROOM, dtype=np.float32)
        self._start = self._end = 0
        """Where in ``_numbers`` those in use are."""
        self._windows = sliding_window_view(self._numbers, N_NUMBERS).T
        self._seen: NDArray[np.float32] | None = None
        """The shapes that are compared with, a column each; ``None``: none yet."""

    def distance(self, number: float) -> float:
        """Return the mean Euclidean distance of the shape that ends with ``number`` to the three nearest; 0 without any."""
        seen = self._seen
        if seen is None:
            return 0.0
        self._recent[SPAN] = number
        apart = seen - self._newest
        apart *= apart
        squares = _sum(apart, 0)  # row by row: the same bits on every machine
        n = len(squares)
        total = 0.0
        wanted = _N_NEAREST if n > _N_NEAREST else n
        for _ in range(wanted):
            nearest = squares.argmin()
            total += math.sqrt(squares[nearest])
            squares[nearest] = math.inf
        return total / wanted

    def _see(self) -> None:
        """Look at what there is to compare with now."""
        n = self._end - _PENDING - N_NUMBERS + 1 - self._start
        self._seen = self._windows[:, self._start : self._start + n] if n > 0 else None

    def add(self, number: float) -> None:
        """Take one number in."""
        recent = self._recent
        recent[SPAN] = number
        recent[:SPAN] = recent[1:]
        if self._phase == 0:
            if self._end == len(self._numbers):
                held = self._numbers[self._start :].copy()
                self._numbers[: len(held)] = held
                self._start, self._end = 0, len(held)
            self._numbers[self._end] = number
            self._end += 1
            self._start = max(self._start, self._end - self.capacity - N_NUMBERS + 1 - _PENDING)
            self._see()
        self._phase = (self._phase + 1) % STRIDE

    def follow(self, number: float) -> None:
        """Make the number the newest one, and do not remember it: while learning is frozen."""
        recent = self._recent
        recent[SPAN] = number
        recent[:SPAN] = recent[1:]

    def to_state(self) -> dict[str, Any]:
        """Return plain data and bytes."""
        numbers = array("f", self._numbers[self._start : self._end].tobytes())
        return {
            "kind": "shapes",
            "v": 1,
            "phase": self._phase,
            "recent": to_bytes(self._recent[:SPAN]),
            "numbers": to_bytes(numbers),
        }

    def from_state(self, state: Mapping[str, Any]) -> "Shapes":
        """Take it over.

        Raises
        ------
        ModelStateError
            If it cannot be read, or holds more than ``capacity``.

        """
        with reading(state, "shapes", 1):
            numbers, recent = from_bytes(state["numbers"]), from_bytes(state["recent"])
            if len(numbers) > len(self._numbers) - _ROOM or len(recent) != SPAN:
                raise ValueError(f"{len(numbers)} and {len(recent)} numbers are not what fits")
            self._phase = int(state["phase"]) % STRIDE
            self._recent[:SPAN] = recent
            self._start, self._end = 0, len(numbers)
            self._numbers[: self._end] = numbers
            self._see()
        return self
