"""From a budget of false alarms to a threshold: the normal law, corrected by the tail that was really seen."""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

from models.errors import numbers

TAIL_FROM = 2.5
"""Scores above it are the tail that is learned, standard deviations."""
_EXCESS_CAP = 5.0
_REFRESH = 64
_NORMAL_RATE = 0.0062
"""The normal law has 0.62 % of its mass above 2.5 ..."""
_NORMAL_EXCESS = 0.32
"""... with this mean excess."""
_NOTHING = (0.0, 0.0)
_NONE = (0.0, 0.0, 0.0)
_PRIOR_N = 6.0
"""A prior's mean excess is trusted like so many tail values."""


class TailThreshold:
    """Learns how often, and how far, a score exceeds 2.5, and holds the scores exceeded with given probabilities.

    Parameters
    ----------
    probabilities
        Of exceeding each threshold when all is well, each in ``(0, 0.5)``.
    memory
        Windows after which a score counts 1/e.
    prior_windows
        Like how many independent windows the normal law is trusted at first.

    Notes
    -----
    Memory O(1); time O(1). See detection.md section 5 ("threshold from a false-alarm budget"): an exponential tail.
    A tail value counts from the second :meth:`settle` after it on: what came shortly before an alarm belongs to its trouble,
    and is dropped with it. Learned, it would raise the threshold, which lets more of the trouble in, and so on, until the
    service is blind. Thresholds are computed anew when tail values begin to count, and every 64th score.

    Examples
    --------
    >>> tail = TailThreshold((1e-6,), memory=60_000)
    >>> round(tail.thresholds[0], 2)
    5.29
    >>> for _ in range(1000):
    ...     tail.learn(4.0, 1.0)
    >>> tail.thresholds[0] < 5.3
    True
    >>> tail.settle()
    >>> tail.settle()
    >>> tail.thresholds[0] > 10
    True

    """

    __slots__ = (
        "_fade", "_memory", "_normal", "_prior_windows", "_probabilities", "excess", "held", "n_tail", "now", "past", "recent",
        "since", "thresholds", "weight",
    )  # fmt: skip

    def __init__(self, probabilities: Sequence[float], *, memory: float, prior_windows: float = 1000.0) -> None:
        self._probabilities = tuple(probabilities)
        self._normal = _normal_thresholds(self._probabilities)
        self._prior_windows = prior_windows
        self._memory = memory
        self._fade = 1 - 1 / memory
        self.restart()

    def restart(self) -> None:
        """Go back to the normal law."""
        self.weight = self.n_tail = self.excess = 0.0
        self.now = self.past = _NOTHING
        """(highest score, windows) of the span of ``memory`` windows that goes on, and of the one before it."""
        self.drop()
        self._refresh()

    def drop(self) -> None:
        """Forget the tail values that do not count yet: trouble followed."""
        self.recent = self.held = _NONE
        """(weight, excess, highest score) of those since the last :meth:`settle`, and of those before it."""

    def settle(self, n_windows: float = 0.0) -> None:
        """Count the tail values that were held back: all has been well since, for ``n_windows`` windows."""
        n, excess, highest = self.held
        self.held, self.recent = self.recent, _NONE
        most, n_now = self.now
        self.now = (max(most, highest), n_now + n_windows)
        if self.now[1] >= self._memory:
            self.now, self.past = _NOTHING, self.now
        if n:
            self.n_tail += n
            self.excess += excess
            self._refresh()

    @property
    def highest(self) -> float:
        """The highest score above 2.5 of the last one to two memories; 0: there was none."""
        return max(self.now[0], self.past[0])

    @property
    def n_windows(self) -> float:
        """In how many windows it was the highest."""
        return self.now[1] + self.past[1]

    def chance(self, score: float) -> float:
        """Return the probability that a score is as high when all is well: what the thresholds come from, read backwards.

        Examples
        --------
        >>> tail = TailThreshold((1e-6,), memory=60_000)
        >>> round(tail.chance(tail.thresholds[0]) / 1e-6, 3)
        1.0

        """
        normal = 0.5 * math.erfc(score / math.sqrt(2))
        if score <= TAIL_FROM:
            return normal
        rate, mean_excess = self._tail()
        return max(normal, rate * math.exp(-(score - TAIL_FROM) / mean_excess))

    def learn(self, score: float, weight: float) -> None:
        """Count a score; ``weight`` is 1 for independent scores, 1/K for sums over K windows that overlap."""
        fade = self._fade
        self.weight = self.weight * fade + weight
        self.n_tail *= fade
        self.excess *= fade
        self.since += 1
        if score > TAIL_FROM:
            n, excess, highest = self.recent
            self.recent = (n + weight, excess + weight * min(score - TAIL_FROM, _EXCESS_CAP), max(highest, score))
        if self.since >= _REFRESH:
            self._refresh()

    def _tail(self) -> tuple[float, float]:
        """Return the probability of a score above 2.5, and the mean excess of one."""
        rate = (self.n_tail + self._prior_windows * _NORMAL_RATE) / (self.weight + self._prior_windows)
        return rate, (self.excess + _PRIOR_N * _NORMAL_EXCESS) / (self.n_tail + _PRIOR_N)

    def _refresh(self) -> None:
        rate, mean_excess = self._tail()
        self.thresholds = tuple(
            max(normal, TAIL_FROM + mean_excess * math.log(max(rate / p, 1.0)))
            for normal, p in zip(self._normal, self._probabilities, strict=True)
        )
        self.since = 0

    def to_state(self) -> list[float]:
        """Return [weight, n_tail, excess, scores since the thresholds were computed, thresholds ..., and ten more numbers]."""
        pending = (*self.recent, *self.held, *self.now, *self.past)
        return [self.weight, self.n_tail, self.excess, self.since, *self.thresholds, *pending]

    def from_state(self, state: list[float]) -> "TailThreshold":
        """Take it over; one of the version before, which held nothing back and knew no highest score, too."""
        self.weight, self.n_tail, self.excess, since, *rest = numbers(state)
        n = len(self._probabilities)
        thresholds, more = rest[:n], rest[n:] or [0.0] * 10
        if len(thresholds) != n or len(more) != 10:
            raise ValueError(f"{len(rest)} numbers after the first four, for {n} probabilities")
        self.since, self.thresholds = int(since), tuple(thresholds)
        recent, held, now, past = (more[0], more[1], more[2]), (more[3], more[4], more[5]), (more[6], more[7]), (more[8], more[9])
        self.recent, self.held = recent if any(recent) else _NONE, held if any(held) else _NONE
        self.now, self.past = now if any(now) else _NOTHING, past if any(past) else _NOTHING  # what is shared takes no room
        return self


@lru_cache(maxsize=1024)
def normal_threshold(probability: float) -> float:
    """Return the standard normal quantile of ``1 - probability``."""
    return NormalDist().inv_cdf(1 - probability)


@lru_cache(maxsize=1024)
def _normal_thresholds(probabilities: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(normal_threshold(p) for p in probabilities)
