"""From a budget of false alarms to a threshold: the normal law, corrected by the tail that was really seen."""

import math
from statistics import NormalDist

TAIL_FROM = 2.5
"""Scores above it are the tail that is learned, standard deviations."""
_EXCESS_CAP = 5.0
_NORMAL_RATE = 0.0062
"""The normal law has 0.62 % of its mass above 2.5 ..."""
_PRIOR_N, _PRIOR_EXCESS = 6.0, 1.9
"""... with a mean excess of 0.32; trusted like six tail values."""


class TailThreshold:
    """Learns how often, and how far, a score exceeds 2.5, and states the score exceeded with a given probability.

    Parameters
    ----------
    memory
        Windows after which a score counts 1/e.
    prior_windows
        Like how many independent windows the normal law is trusted at first.

    Notes
    -----
    Memory O(1); time O(1). See detection.md section 5 ("threshold from a false-alarm budget"): an exponential tail.

    Examples
    --------
    >>> tail = TailThreshold(60_000)
    >>> round(tail.threshold(1e-6), 2)
    5.27
    >>> for _ in range(1000):
    ...     tail.learn(4.0, 1.0)
    >>> tail.threshold(1e-6) > 10
    True

    """

    __slots__ = ("_cached", "_fade", "_prior_windows", "excess", "n_tail", "weight")

    def __init__(self, memory: float, prior_windows: float = 1000.0) -> None:
        self._prior_windows = prior_windows
        self._fade = 1 - 1 / memory
        self.restart()

    def restart(self) -> None:
        """Go back to the normal law."""
        self.weight = 0.0
        self.n_tail = 0.0
        self.excess = 0.0
        self._cached: dict[float, float] = {}

    def learn(self, score: float, weight: float) -> None:
        """Count a score; ``weight`` is 1 for independent scores, 1/K for sums over K windows that overlap."""
        fade = self._fade
        self.weight = self.weight * fade + weight
        self.n_tail *= fade
        self.excess *= fade
        if score > TAIL_FROM:
            self.n_tail += weight
            self.excess += weight * min(score - TAIL_FROM, _EXCESS_CAP)
            self._cached.clear()

    def threshold(self, probability: float) -> float:
        """Return the score that is exceeded with ``probability`` (in ``(0, 0.5)``) when all is well.

        Between two tail values it moves so slowly that the last answer stands.
        """
        found = self._cached.get(probability)
        if found is None:
            rate = (self.n_tail + self._prior_windows * _NORMAL_RATE) / (self.weight + self._prior_windows)
            mean_excess = (self.excess + _PRIOR_EXCESS) / (self.n_tail + _PRIOR_N)
            normal = normal_threshold(probability)
            found = self._cached[probability] = max(normal, TAIL_FROM + mean_excess * math.log(max(rate / probability, 1.0)))
        return found

    def to_state(self) -> list[float]:
        """Return [weight, n_tail, excess] and what was last answered."""
        return [self.weight, self.n_tail, self.excess, *(x for item in sorted(self._cached.items()) for x in item)]

    def from_state(self, state: list[float]) -> "TailThreshold":
        """Take it over."""
        self.weight, self.n_tail, self.excess = state[:3]
        self._cached = dict(zip(state[3::2], state[4::2], strict=True))
        return self


_NORMAL: dict[float, float] = {}


def normal_threshold(probability: float) -> float:
    """Return the standard normal quantile of ``1 - probability``."""
    found = _NORMAL.get(probability)
    if found is None:
        if len(_NORMAL) > 1000:
            _NORMAL.clear()
        found = _NORMAL[probability] = NormalDist().inv_cdf(1 - probability)
    return found
