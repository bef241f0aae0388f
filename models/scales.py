"""What one time scale says of the newest windows together, and its thresholds."""

import math
from collections.abc import Sequence
from typing import Protocol

import msgspec

from models.budget import TailThreshold
from models.deviance import count_score
from models.variability import Variability

BLOCK = 6
"""The short sum, and the block of which longer ones are made."""
COARSE = 30
"""Scales of COARSE_FROM windows and more are made of blocks of so many, and judged when one is full."""
COARSE_FROM = 120
_LEAST_SUMS = 50
"""A scale is judged once so many of its sums were learned from: a variance of fewer is a guess."""
OUT_OF_REACH = 1e6
"""Thresholds of a scale of which too few sums were learned."""
_LEAST_EXPECTED = 1e-6
_MOST_LOG = 700.0
"""A float holds no larger power of e."""
_NOTHING_KNOWN = 1e12
"""Sampling variance of a mean of nothing."""
_SETTLED = 2.0
"""Standard deviations below which the short scales are taken for usual again."""
Item = tuple[float, float, float]


class ScaleScore(msgspec.Struct, frozen=True, gc=False):
    """What one scale says.

    Attributes
    ----------
    k
        Windows.
    z
        Score, standard deviations, positive: fault-like.
    effect
        Observed / expected.
    deviation, sampling
        Relative deviation, which wanders by ``sampling`` plus the scale's variability (variances) when all is well.
    sums
        What it rests on.
    threshold, page_threshold
        Of ticket and page.

    """

    k: int
    z: float
    effect: float
    deviation: float
    sampling: float
    sums: Item
    threshold: float
    page_threshold: float


class Scorer(Protocol):
    """What sums of evidence mean."""

    def __call__(self, scale: "Scale", sums: Item) -> ScaleScore:
        """Return what the sums say on a scale."""
        ...


def too_many(scale: "Scale", sums: Item) -> ScaleScore:
    """Score items of (count, expected, anything that adds up); more than expected is fault-like."""
    return _of_counts(scale, sums, +1)


def too_few(scale: "Scale", sums: Item) -> ScaleScore:
    """Score items of (count, expected, anything that adds up); fewer than expected is fault-like."""
    return _of_counts(scale, sums, -1)


def _of_counts(scale: "Scale", sums: Item, direction: int) -> ScaleScore:
    count, expected, _ = sums
    if expected < _LEAST_EXPECTED:
        expected = _LEAST_EXPECTED
    effect = count / expected
    z = direction * count_score(count, expected, scale.variability.value)
    return ScaleScore(scale.k, z, effect, effect - 1, 1 / expected, sums, scale.threshold, scale.page_threshold)


def higher(scale: "Scale", sums: Item) -> ScaleScore:
    """Score items of (weight x deviation, weight, weight squared x sampling variance) of log values; high is fault-like."""
    weighted, weight, sampling = sums
    if weight <= 0:
        return ScaleScore(scale.k, 0.0, 1.0, 0.0, _NOTHING_KNOWN, sums, scale.threshold, scale.page_threshold)
    deviation, sampling = weighted / weight, sampling / (weight * weight)
    z = deviation / math.sqrt(sampling + scale.variability.value)
    effect = math.exp(deviation if deviation < _MOST_LOG else _MOST_LOG)
    return ScaleScore(scale.k, z, effect, deviation, sampling, sums, scale.threshold, scale.page_threshold)


def settled(scores: Sequence[ScaleScore]) -> bool:
    """Return whether the newest window and the last six together look usual; scores come by ascending scale."""
    return all(score.z < _SETTLED for score in scores[:2] if score.k <= BLOCK)


class Scale:
    """One time scale: its learned variability and tail, and the thresholds of ticket and page in force."""

    __slots__ = ("_least_learned", "k", "page_threshold", "tail", "threshold", "variability")

    def __init__(self, k: int, variability: Variability, tail: TailThreshold) -> None:
        self.k, self.variability, self.tail = k, variability, tail
        self._least_learned = _LEAST_SUMS * k
        self.threshold = self.page_threshold = OUT_OF_REACH

    def learn(self, score: ScaleScore, z: float, weight: float, n_learned: int) -> None:
        """Take a score in, ``z`` as its tail sees it; ``weight`` is 1 for independent sums, ``n_learned`` counts windows."""
        deviation, tail = score.deviation, self.tail
        self.variability.learn(deviation * deviation, score.sampling, weight)
        tail.learn(z, weight)
        if n_learned >= self._least_learned:
            self.threshold, self.page_threshold = tail.thresholds

    def restart(self) -> None:
        """Start again."""
        self.variability.restart()
        self.tail.restart()
        self.threshold = self.page_threshold = OUT_OF_REACH
