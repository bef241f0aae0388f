"""Whether isolated spikes, each of them harmless, come too often."""

import math
from collections.abc import Mapping
from typing import Any

from models.errors import number, reading
from models.tuning import DAY_S, Tuning

_HOUR_S = 3600.0
_CHANCE, _LEAST_CHANCE = 1e-4, 1e-12
_LEAST = 3
_PRIOR_DAYS = 1.0


class SpikeTrain:
    """Isolated spikes of the last hour against a learned daily rate (prior: one a day, worth a day).

    Notes
    -----
    Memory O(spikes in an hour); time O(1).

    """

    __slots__ = ("_at", "_day", "_days", "_fade", "_hour", "_n_learned", "_now", "_was_spike")

    def __init__(self, tuning: Tuning) -> None:
        self._hour = tuning.windows(_HOUR_S)
        self._day = tuning.windows(DAY_S)
        self._fade = 1 - 1 / (7 * self._day)
        self._now = 0
        self._at: list[int] = []
        self._n_learned = 0.0
        self._days = 0.0
        self._was_spike = False

    @property
    def rate_per_day(self) -> float:
        """Expected isolated spikes a day."""
        return (self._n_learned + _PRIOR_DAYS) / (self._days + _PRIOR_DAYS)

    @property
    def n_recent(self) -> int:
        """Isolated spikes within the last hour."""
        return sum(at > self._now - self._hour for at in self._at)

    @property
    def is_unusual(self) -> bool:
        """Three or more in an hour, improbable under the learned rate, the last one within 10 minutes."""
        if len(self._at) < _LEAST:
            return False
        if self.n_recent < _LEAST or self._now - self._at[-1] > self._hour / 6:
            return False
        return self.chance < _CHANCE

    @property
    def chance(self) -> float:
        """Probability of at least so many in an hour under the learned rate, from 1e-12 on."""
        rate = self.rate_per_day / 24
        at_most = sum(math.exp(-rate) * rate**i / math.factorial(i) for i in range(self.n_recent))
        return max(1 - at_most, _LEAST_CHANCE)

    def take(self, *, is_spike: bool, is_normal: bool) -> None:
        """Take one window in. A spike counts when the window before was none."""
        self._now += 1
        if is_spike and not self._was_spike:
            self._at = [at for at in self._at if at > self._now - self._hour][-50:]
            self._at.append(self._now)
            if is_normal:
                self._n_learned += 1
        self._was_spike = is_spike
        if is_normal:
            self._n_learned *= self._fade
            self._days = self._days * self._fade + 1 / self._day

    def clear(self) -> None:
        """Forget the spikes of the last hour."""
        self._at = []

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "spikes",
            "v": 1,
            "now": self._now,
            "at": self._at,
            "n_learned": self._n_learned,
            "days": self._days,
            "was_spike": self._was_spike,
        }

    def from_state(self, state: Mapping[str, Any]) -> "SpikeTrain":
        """Take plain data over."""
        with reading(state, "spikes", 1):
            self._now, self._at = int(state["now"]), [int(at) for at in state["at"]]
            self._n_learned, self._days = number(state["n_learned"]), number(state["days"])
            self._was_spike = bool(int(state["was_spike"]))
        return self
