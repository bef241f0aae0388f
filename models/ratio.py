"""Whether too many of the requests are bad (errors, or slower than a bound), by how many there were."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.averages import FadingMean
from models.detector import Assessment, Features
from models.deviance import count_limit
from models.errors import reading
from models.evidence import CountScorer, Evidence, ScaleScore, settled
from models.tuning import Tuning

_PRIOR_REQUESTS = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioEffects:
    """Least effects: times the expected ratio, and above it by so much (ratio points in ``[0, 1]``)."""

    times: float
    plus: float
    page_times: float
    page_plus: float


class RatioDetector:
    """Counts of bad requests against a learned ratio, negative-binomial, on several time scales.

    Features: ``bad`` and ``requests``, counts of the window.

    Notes
    -----
    Memory O(longest scale / 6); time O(1) per window; ready after ``tuning.ready_windows``; scores in standard
    deviations, high is anomalous.

    """

    def __init__(self, tuning: Tuning, effects: RatioEffects, *, scales: Sequence[int], prior_ratio: float) -> None:
        self._tuning = tuning
        self._effects = effects
        self._bad = FadingMean(tuning.windows(86_400.0))
        self._requests = FadingMean(tuning.windows(86_400.0))
        self._prior_ratio = prior_ratio
        self._evidence = Evidence(CountScorer(+1), tuning.make_scales(scales, prior=0.25, floor=1e-3), width=3, needs_two=True)

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._bad.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self.n_seen >= self._tuning.ready_windows

    @property
    def ratio(self) -> float:
        """Expected share of bad requests, in ``(0, 1]``; a prior worth 200 requests is in it."""
        seen = min(self._bad.n, self._bad.memory)
        return min(
            1.0,
            (self._bad.value * seen + self._prior_ratio * _PRIOR_REQUESTS) / (self._requests.value * seen + _PRIOR_REQUESTS),
        )

    def _item(self, x: Features) -> tuple[float, float, float]:
        return x["bad"], x["requests"] * self.ratio, x["requests"]

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        item = self._item(x)
        scores = self._evidence.scores(item)
        hits = [score for score in scores if score.z > score.threshold and self._is_large(score, page=False)]
        pages = [score for score in hits if score.z > score.page_threshold and self._is_large(score, page=True)]
        top = max(hits or scores, key=lambda score: score.z - score.threshold, default=None)
        short = scores[0] if scores else None
        ratio = self.ratio
        if top is None or short is None:
            return Assessment(score=0.0, expected=ratio, item=item, scores=scores)
        spread = math.sqrt(ratio * ratio * self._evidence.variability(short.k) + ratio / max(short.sums[2], 1.0))
        return Assessment(
            score=top.z,
            is_anomalous=bool(hits),
            is_page=bool(pages),
            is_slow=bool(hits) and all(hit.k > 1 for hit in hits),
            is_quiet=short.z < short.threshold / 2 or not self._is_large(short, page=False),
            is_settled=settled(scores),
            observed=top.sums[0] / top.sums[2] if top.sums[2] else None,
            expected=top.sums[1] / top.sums[2] if hits else ratio,
            lower=0.0,
            upper=self._limit(top) if hits else min(1.0, ratio + max(short.threshold * spread, self._effects.plus)),
            newest_score=short.z if short.k == 1 else 0.0,
            terms={"windows": float(top.k), "threshold": top.threshold, "times_expected": top.effect},
            item=item,
            scores=scores,
        )

    def _limit(self, hit: ScaleScore) -> float:
        """Return up to what ratio the scale that decided would have said nothing."""
        bad, expected, requests = hit.sums
        by_chance = count_limit(bad, expected, self._evidence.variability(hit.k), hit.threshold)
        return max(by_chance, expected * self._effects.times, expected + self._effects.plus * requests) / requests

    def _is_large(self, score: ScaleScore, *, page: bool) -> bool:
        times, plus = (self._effects.page_times, self._effects.page_plus) if page else (self._effects.times, self._effects.plus)
        bad, expected, requests = score.sums
        return requests > 0 and score.effect > times and bad > expected + plus * requests

    def score_one(self, x: Features) -> float | None:
        """See :class:`models.detector.Detector`."""
        return self.assess(x).score if self.is_ready else None

    def explain_one(self, x: Features) -> dict[str, float]:
        """See :class:`models.detector.Detector`."""
        return dict(self.assess(x).terms) if self.is_ready else {}

    def learn_one(self, x: Features) -> None:
        """See :class:`models.detector.Detector`."""
        self.take_one(x, self.assess(x), is_normal=True)

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        self._evidence.push(assessment.item, assessment.scores, is_normal=is_normal)
        if is_normal:
            self._bad.update(x["bad"])
            self._requests.update(x["requests"])

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._evidence.clear()

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "ratio",
            "v": 1,
            "bad": self._bad.to_state(),
            "requests": self._requests.to_state(),
            "evidence": self._evidence.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "RatioDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "ratio", 1):
            self._bad.from_state(state["bad"])
            self._requests.from_state(state["requests"])
            self._evidence.from_state(state["evidence"])
        return self
