"""How rare a distance is, in powers of ten: the same number means the same on a series of any scale."""

import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.errors import number, reading
from models.float32 import from_bytes, to_bytes

TAIL_SHARE = 0.15
MOST_DECADES = 20.0
"""Rarer than 1 in 1e20 is not told apart."""
WINDOW = 6000
"""Distances that are looked back on: three weeks of five minutes."""
FIRST_FIT = 100
_REFIT = 200
_BLOCK = 100
"""The window moves in blocks of this many distances."""
_LEAST_TAIL = 8
_MOST_KEPT = 960
_RECUT_TO = 915
"""Large distances kept: never fewer than the 901 that a fit over 6000 looks at, until the window moves on."""
_LEAST_KEPT, _LOWERING = 800, 0.9
"""With fewer left, the cut is lowered by a tenth a block."""
_ROUNDED = 1.2e-7
"""What is kept is rounded by this share at most, and equal distances are to stay equal."""
_LN10 = math.log(10)


class TailCalibration:
    """The tail of the last 6000 distances, and the exponential law fitted to it.

    Of m distances the k = 15 % largest are the tail: u is the largest one outside of it, e the mean excess over u. A
    distance d has the tail probability k/m exp(-(d - u) / e). Below u the number of decades falls linearly to 0 at d = 0.

    Notes
    -----
    Only distances large enough to be among the k largest are kept, at most 960, as 32-bit numbers: up to 6000 distances
    the fit is exactly that of all of them. Then the window moves on, 100 at a time, and what falls under the cut in force
    is lost: while fewer than k are left, these are the tail, and a share as much smaller; with fewer than 800, the cut
    is lowered until there are enough again. Memory and snapshot 4 kB; time O(1), a fit of about 10 us every 200 distances
    (earlier more often). Samples until ready: 100.

    Examples
    --------
    >>> calibration = TailCalibration()
    >>> calibration.decades(1.0, 0.0) is None
    True
    >>> for i in range(1000):
    ...     calibration.learn((i * 37 % 1000) / 1000)
    >>> round(calibration.decades(0.85, 1e-9), 2), round(calibration.decades(1.2, 1e-9), 2)
    (0.84, 2.82)

    """

    __slots__ = ("_block_counts", "_cut", "_decades", "_excess", "_kept", "_limit", "_next_fit", "n")

    def __init__(self) -> None:
        self.n = 0
        """Distances learned."""
        self._kept = array("f")
        """In order of arrival."""
        self._block_counts = [0]
        """How many of ``_kept`` are of each block of the window, newest last."""
        self._cut = 0.0
        """What is smaller is not kept."""
        self._next_fit = FIRST_FIT
        self._limit = self._excess = self._decades = 0.0
        """u, e and -log10(k/m) of the fit in force."""

    def decades(self, distance: float, least: float) -> float | None:
        """Return -log10 of the probability of a distance as large, in ``[0, 20]``; ``None`` until ready.

        Parameters
        ----------
        distance
            At least 0.
        least
            Added to the mean excess, so that a tail without width does not make a hair's breadth infinitely rare.

        """
        if not self._decades:
            return None
        limit = self._limit
        if distance <= limit:
            return self._decades * distance / limit if limit else 0.0
        decades = self._decades + (distance - limit) / (self._excess + least) / _LN10
        return min(MOST_DECADES, decades)

    def learn(self, distance: float) -> None:
        """Take one distance in, and fit anew when it is time."""
        n = self.n
        if n % _BLOCK == 0 and n:
            self._begin_block()
        if distance >= self._cut:
            self._kept.append(distance)
            self._block_counts[-1] += 1
            if len(self._kept) > _MOST_KEPT:
                self._recut()
        self.n = n = n + 1
        if n >= self._next_fit:
            self._fit()

    def _begin_block(self) -> None:
        if len(self._block_counts) == WINDOW // _BLOCK:
            del self._kept[: self._block_counts.pop(0)]
            if len(self._kept) < _LEAST_KEPT:
                self._cut *= _LOWERING
        self._block_counts.append(0)

    def _recut(self) -> None:
        """Drop the smallest of the kept, of equal ones the oldest."""
        kept = np.array(self._kept, dtype=np.float32)
        dropped = np.argsort(kept, kind="stable")[: len(kept) - _RECUT_TO]
        self._cut = float(kept[dropped[-1]]) * (1 - _ROUNDED)
        blocks = np.repeat(np.arange(len(self._block_counts)), self._block_counts)
        losses = np.bincount(blocks[dropped], minlength=len(self._block_counts))
        self._block_counts = [count - int(loss) for count, loss in zip(self._block_counts, losses, strict=True)]
        self._kept = array("f", np.delete(kept, dropped).tobytes())

    def _fit(self) -> None:
        kept = np.array(self._kept, dtype=np.float32)
        m = min(self.n, (len(self._block_counts) - 1) * _BLOCK + (self.n - 1) % _BLOCK + 1)
        k = min(max(_LEAST_TAIL, int(TAIL_SHARE * m)), len(kept) - 1)
        kept.partition(len(kept) - k - 1)
        limit = float(kept[-k - 1])
        self._excess = float(kept[-k:].mean(dtype=np.float64)) - limit
        self._limit = limit * (1 + _ROUNDED)
        self._decades = -math.log10(k / m)
        self._next_fit = self.n + min(_REFIT, self.n // 10)

    def to_state(self) -> dict[str, Any]:
        """Return plain data and bytes."""
        return {
            "kind": "tail_calibration",
            "v": 1,
            "n": self.n,
            "kept": to_bytes(self._kept),
            "block_counts": self._block_counts,
            "next_fit": self._next_fit,
            "fit": [self._cut, self._limit, self._excess, self._decades],
        }

    def from_state(self, state: Mapping[str, Any]) -> "TailCalibration":
        """Take it over.

        Raises
        ------
        ModelStateError
            If it cannot be read, or does not add up.

        """
        with reading(state, "tail_calibration", 1):
            self.n, self._next_fit = int(state["n"]), int(state["next_fit"])
            self._kept = from_bytes(state["kept"])
            self._block_counts = [int(count) for count in state["block_counts"]]
            self._cut, self._limit, self._excess, self._decades = (number(value) for value in state["fit"])
            if not 0 < len(self._block_counts) <= WINDOW // _BLOCK or sum(self._block_counts) != len(self._kept) <= _MOST_KEPT:
                raise ValueError(f"{len(self._kept)} distances in blocks of {self._block_counts}")
        return self
