"""Evidence on several time scales: sums of the newest windows, scored, with a learned variability and tail each."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from models.budget import TailThreshold
from models.deviance import count_score
from models.errors import number, numbers, reading
from models.variability import Variability

BLOCK = 6
"""Scales above it are made of whole blocks of so many windows, and judged when a block is full."""
_LEAST_SUMS = 50
"""A scale is judged once so many of its sums were learned from: a variance of fewer is a guess."""
_OUT_OF_REACH = 1e6
_RANK_VARIABILITY = 0.01
"""By which windows are compared to find the most fault-like one."""
_MOST_LOG = 700.0
"""A float holds no larger power of e."""
_SETTLED = 2.0
"""Standard deviations below which the short scales are taken for usual again."""
Item = tuple[float, ...]


class Scorer(Protocol):
    """What sums of evidence mean."""

    def z(self, sums: Item, variability: float) -> float:
        """Return the score in standard deviations, positive when fault-like."""
        ...

    def moments(self, sums: Item) -> tuple[float, float]:
        """Return (squared deviation, its sampling variance), in relative units."""
        ...

    def effect(self, sums: Item) -> float:
        """Return observed / expected."""
        ...


class CountScorer:
    """Items are (count, expected count); ``direction`` +1: too many is fault-like, -1: too few."""

    def __init__(self, direction: int) -> None:
        self._direction = direction

    def z(self, sums: Item, variability: float) -> float:
        """See :class:`Scorer`."""
        return self._direction * count_score(sums[0], max(sums[1], 1e-6), variability)

    def moments(self, sums: Item) -> tuple[float, float]:
        """See :class:`Scorer`."""
        expected = max(sums[1], 1e-6)
        return (sums[0] / expected - 1) ** 2, 1 / expected

    def effect(self, sums: Item) -> float:
        """See :class:`Scorer`."""
        return sums[0] / max(sums[1], 1e-6)


class MeanScorer:
    """Items are (weight x deviation, weight, weight squared x sampling variance) of log values; high is fault-like."""

    def z(self, sums: Item, variability: float) -> float:
        """See :class:`Scorer`."""
        weighted, weight, sampling = sums
        if weight <= 0:
            return 0.0
        return weighted / weight / math.sqrt(sampling / (weight * weight) + variability)

    def moments(self, sums: Item) -> tuple[float, float]:
        """See :class:`Scorer`."""
        weighted, weight, sampling = sums
        return ((weighted / weight) ** 2, sampling / (weight * weight)) if weight > 0 else (0.0, math.inf)

    def effect(self, sums: Item) -> float:
        """See :class:`Scorer`."""
        return math.exp(min(sums[0] / sums[1], _MOST_LOG)) if sums[1] > 0 else 1.0


class ScaleScore(NamedTuple):
    """What one scale says: ``k`` windows, score, observed / expected, the sums, the thresholds of ticket and page."""

    k: int
    z: float
    effect: float
    sums: Item
    threshold: float
    page_threshold: float


def settled(scores: Sequence[ScaleScore]) -> bool:
    """Return whether the last six windows together look usual."""
    return all(score.z < _SETTLED for score in scores if score.k in (1, BLOCK))


class Scale:
    """One time scale: its learned variability, and its tail with the thresholds of ticket and page."""

    __slots__ = ("k", "tail", "variability")

    def __init__(self, k: int, variability: Variability, tail: TailThreshold) -> None:
        self.k, self.variability, self.tail = k, variability, tail


class Evidence:
    """Sums over the newest 1, 6, 30 ... windows of one signal, judged against what is usual on that scale.

    With ``needs_two`` one window alone is only half a proof: its tail is that of the smaller of two neighbours, because
    an alert needs both. The six-window sum leaves out its most fault-like window, so that one spike is no alarm.

    Notes
    -----
    Memory O(BLOCK + longest scale / BLOCK); time O(scales), the long ones every sixth window only.

    """

    def __init__(self, scorer: Scorer, scales: Sequence[Scale], *, width: int, needs_two: bool) -> None:
        self._scorer = scorer
        self._needs_two = needs_two
        self._scales = tuple(scales)
        self._by_k = {scale.k: scale for scale in self._scales}
        self._width = width
        self._longest = max(scale.k for scale in scales)
        self._n_learned = 0
        self._fresh()

    def _fresh(self) -> None:
        self._recent: deque[Item] = deque(maxlen=BLOCK - 1)
        self._recent_z: deque[float] = deque(maxlen=BLOCK - 1)
        """How fault-like each of these is, so that it is reckoned once."""
        self._blocks: deque[Item] = deque(maxlen=max(self._longest // BLOCK - 1, 1))
        self._filling: Item = (0.0,) * self._width
        self._phase = 0
        self._previous_z = 0.0
        self._held: dict[int, ScaleScore] = {}

    def variability(self, k: int) -> float:
        """Return the learned variance (relative units) of scale ``k``."""
        return self._by_k[k].variability.value

    def scores(self, item: Item) -> list[ScaleScore]:
        """Return what each scale says if ``item`` is the newest window. Changes nothing."""
        found = []
        for scale in self._scales:
            sums = self._sums(scale.k, item)
            if sums is not None:
                z = self._scorer.z(sums, scale.variability.value)
                known = self._n_learned >= _LEAST_SUMS * scale.k
                threshold, page_threshold = scale.tail.thresholds if known else (_OUT_OF_REACH, _OUT_OF_REACH)
                found.append(ScaleScore(scale.k, z, self._scorer.effect(sums), sums, threshold, page_threshold))
            elif scale.k in self._held:
                found.append(self._held[scale.k])
        return found

    def _sums(self, k: int, item: Item) -> Item | None:
        """Return the sum over ``k`` windows that end with ``item``; ``None``: not now, or not yet."""
        if k == 1:
            return item
        if k == BLOCK:
            if len(self._recent) < BLOCK - 1:
                return None
            window = (*self._recent, item)
            ranks = (*self._recent_z, self._rank(item))
            worst = window[ranks.index(max(ranks))]
            return tuple(sum(column) - left_out for column, left_out in zip(zip(*window, strict=True), worst, strict=True))
        n_blocks = k // BLOCK - 1
        if self._phase != BLOCK - 1 or len(self._blocks) < n_blocks:
            return None
        last = list(self._blocks)[-n_blocks:]
        return tuple(sum(column) for column in zip(*last, self._filling, item, strict=True))

    def _rank(self, item: Item) -> float:
        return self._scorer.z(item, _RANK_VARIABILITY)

    def push(self, item: Item, scores: Sequence[ScaleScore], *, is_normal: bool) -> None:
        """Make ``item`` the newest window; learn variability and tails from ``scores`` (its own) when it is normal."""
        if is_normal:
            self._learn(scores)
        self._held = {score.k: score for score in scores if score.k > BLOCK}
        self._previous_z = next((score.z for score in scores if score.k == 1), 0.0)
        self._recent.append(item)
        self._recent_z.append(self._rank(item))
        self._filling = tuple(a + b for a, b in zip(self._filling, item, strict=True))
        self._phase += 1
        if self._phase == BLOCK:
            self._blocks.append(self._filling)
            self._filling, self._phase = (0.0,) * self._width, 0

    def _learn(self, scores: Sequence[ScaleScore]) -> None:
        self._n_learned += 1
        for score in scores:
            if score.k > BLOCK and self._phase != BLOCK - 1:
                continue
            scale = self._by_k[score.k]
            step = BLOCK if score.k > BLOCK else 1
            squared, sampling = self._scorer.moments(score.sums)
            if sampling < math.inf:
                scale.variability.learn(squared, sampling, step / score.k)
            is_half = score.k == 1 and self._needs_two
            scale.tail.learn(min(score.z, self._previous_z) if is_half else score.z, step / score.k)

    def forget_learning(self) -> None:
        """Start the learned variabilities and tails again; what was seen lately stays."""
        self._n_learned = 0
        for scale in self._scales:
            scale.variability.restart()
            scale.tail.restart()

    def clear(self) -> None:
        """Forget the newest windows (an alarm was closed); what was learned stays."""
        self._fresh()

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "evidence",
            "v": 1,
            "scales": [[scale.k, scale.variability.to_state(), scale.tail.to_state()] for scale in self._scales],
            "n_learned": self._n_learned,
            "recent": [list(item) for item in self._recent],
            "blocks": [list(item) for item in self._blocks],
            "filling": list(self._filling),
            "phase": self._phase,
            "previous_z": self._previous_z,
            "held": [list(score) for score in self._held.values()],
        }

    def from_state(self, state: Mapping[str, Any]) -> "Evidence":
        """Take plain data over."""
        with reading(state, "evidence", 1):
            self._fresh()
            for k, variability, tail in state["scales"]:
                if k in self._by_k:
                    self._by_k[k].variability.from_state(variability)
                    self._by_k[k].tail.from_state(tail)
            self._recent.extend(self._item(item) for item in state["recent"])
            self._recent_z.extend(self._rank(item) for item in self._recent)
            self._blocks.extend(self._item(item) for item in state["blocks"])
            self._filling, self._phase = self._item(state["filling"]), int(state["phase"])
            self._previous_z, self._n_learned = number(state["previous_z"]), int(state["n_learned"])
            for k, z, effect, sums, threshold, page_threshold in state["held"]:
                self._held[k] = ScaleScore(
                    int(k), number(z), number(effect), self._item(sums), number(threshold), number(page_threshold)
                )
        return self

    def _item(self, values: Sequence[Any]) -> Item:
        item = numbers(values)
        if len(item) != self._width:
            raise ValueError(f"{len(item)} numbers of evidence, not {self._width}")
        return item
