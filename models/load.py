"""How latency follows load: a slowly learned parabola of log latency over the request rate."""

from array import array
from collections.abc import Mapping
from typing import Any

from models.errors import number, numbers, reading

_BLOCK_S = 300.0
_MEMORY_S = 5 * 86_400.0
_RIDGE_BLOCKS = 24.0
"""The load has to explain as much as this many blocks of nothing would hide: two hours of trust in "no effect"."""
_LEAST_BLOCKS = 36
"""Half a morning: before it no slope is told."""
_REACH = 1.5
"""Beyond the loads that were seen the parabola is followed by half as much again, and no further."""
_MOST = 1.5
"""Log latency that load may explain at most."""


class LoadEffect:
    """Expected log latency relative to that at a load of nothing: ``b1 r + b2 r^2``, r the mean count of a window.

    Ridge regression on five-minute means that fade over five days.

    Parameters
    ----------
    window_s
        Length of the window, seconds.

    Notes
    -----
    Memory O(1); time O(1), the regression once in five minutes. Before half a morning was seen the effect is 0.

    """

    __slots__ = ("_fade", "_loads", "_logs", "_moments", "_n", "_n_block", "_unit", "b1", "b2", "most_load")

    def __init__(self, window_s: float) -> None:
        self._n_block = max(1, round(_BLOCK_S / window_s))
        self._fade = 1 - self._n_block * window_s / _MEMORY_S
        self._unit = 0.0
        """Load of the first block: loads are told in it, so that their powers stay small."""
        self._moments = array("d", bytes(8 * 8))
        """Faded sums over blocks of 1, r, r^2, r^3, r^4, y, r y, r^2 y."""
        self._n, self._loads, self._logs = 0, 0.0, 0.0
        """Of the block that is being filled: windows, requests, log latencies."""
        self.b1 = self.b2 = 0.0
        self.most_load = 0.0

    @property
    def n_blocks(self) -> float:
        """How many blocks it knows, faded."""
        return self._moments[0]

    def at(self, load: float) -> float:
        """Return the effect (log latency) of a load, requests a window."""
        if not self._unit:
            return 0.0
        r = load / self._unit
        if r > self.most_load * _REACH:
            r = self.most_load * _REACH
        effect = r * (self.b1 + self.b2 * r)
        return effect if -_MOST < effect < _MOST else (_MOST if effect > 0 else -_MOST)

    def learn(self, load: float, log_latency: float) -> bool:
        """Take one window in, its latency as it was seen; return whether the effect was fitted anew."""
        self._n += 1
        self._loads += load
        self._logs += log_latency
        return self._n >= self._n_block and self._end_block()

    def _end_block(self) -> bool:
        n, loads, logs = self._n, self._loads, self._logs
        self._n, self._loads, self._logs = 0, 0.0, 0.0
        if loads <= 0:
            return False
        if not self._unit:
            self._unit = loads / n
        r, y = loads / n / self._unit, logs / n
        self.most_load = max(self.most_load * self._fade, r)
        moments, fade = self._moments, self._fade
        for i, value in enumerate((1.0, r, r * r, r**3, r**4, y, r * y, r * r * y)):
            moments[i] = moments[i] * fade + value
        return self._fit()

    def _fit(self) -> bool:
        """Solve the ridge regression, each power's penalty in units of its own variance."""
        n, s1, s2, s3, s4, y, ry, rry = self._moments
        if n < _LEAST_BLOCKS:
            return False
        m1, m2, my = s1 / n, s2 / n, y / n
        v11, v12, v22 = s2 / n - m1 * m1, s3 / n - m1 * m2, s4 / n - m2 * m2
        c1, c2 = ry / n - m1 * my, rry / n - m2 * my
        ridge = 1 + _RIDGE_BLOCKS / n
        v11, v22 = v11 * ridge, v22 * ridge
        determinant = v11 * v22 - v12 * v12
        if v11 <= 1e-9 or determinant <= 1e-12:
            return False
        self.b1 = (c1 * v22 - c2 * v12) / determinant
        self.b2 = (c2 * v11 - c1 * v12) / determinant
        return True

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "load",
            "v": 1,
            "unit": self._unit,
            "moments": list(self._moments),
            "filling": [self._n, self._loads, self._logs],
            "effect": [self.b1, self.b2],
            "most_load": self.most_load,
        }

    def from_state(self, state: Mapping[str, Any]) -> "LoadEffect":
        """Take plain data over."""
        with reading(state, "load", 1):
            self._unit, self.most_load = number(state["unit"]), number(state["most_load"])
            n, self._loads, self._logs = numbers(state["filling"])
            self._n = int(n)
            self.b1, self.b2 = numbers(state["effect"])
            self._moments = array("d", numbers(state["moments"]))
            if len(self._moments) != 8:
                raise ValueError(f"{len(self._moments)} moments, not 8")
        return self
