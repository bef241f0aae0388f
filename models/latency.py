"""Whether requests take longer than usual: the mean log latency on several time scales, upward."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.averages import FadingMean
from models.detector import Assessment, Features
from models.errors import reading
from models.evidence import Evidence, MeanScorer, ScaleScore, settled
from models.tuning import Tuning

_CLIP_SD = 3.0
_MAX_LOG_EFFECT, _MAX_EFFECT = 5.0, 200.0
"""A band reaches no further than 150 times the expected latency, an observed one no further than a little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyEffects:
    """Least effects, times the expected latency: over less than ``long_s`` seconds, over more, and of a page."""

    short: float
    long: float
    page: float
    long_s: float


class LatencyDetector:
    """Mean log latency of a window against a slowly learned level, with sampling error and learned variability.

    Features: ``mean_log`` and ``var_log``, mean and variance of ln(latency / ms) within the window, clipped to
    :attr:`bounds`; ``n``, how many requests they rest on; 0: nothing to judge.

    Notes
    -----
    Memory O(longest scale / 6); ready after ``tuning.ready_windows`` windows with requests; scores in standard
    deviations, high is anomalous.

    """

    def __init__(self, tuning: Tuning, effects: LatencyEffects) -> None:
        self._tuning = tuning
        self._effects = effects
        self._level = FadingMean(tuning.windows(tuning.level_s))
        self._request_variance = FadingMean(tuning.windows(tuning.level_s))
        self._evidence = Evidence(
            MeanScorer(), tuning.make_scales(tuning.scales, prior=0.01, floor=1e-4), width=3, needs_two=tuning.needs_two
        )

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._level.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows with requests were seen."""
        return self.n_seen >= self._tuning.ready_windows

    @property
    def level(self) -> float:
        """Expected ln(latency / ms)."""
        return self._level.value

    @property
    def sd_log(self) -> float:
        """Standard deviation of one request's ln(latency)."""
        return math.sqrt(self._request_variance.value)

    @property
    def bounds(self) -> tuple[float, float]:
        """Log latencies outside are to be clipped to these: one slow request must not move a mean."""
        if self._level.n < 10:
            return -math.inf, math.inf
        reach = _CLIP_SD * max(math.sqrt(self._request_variance.value), 0.3)
        return self.level - reach, self.level + reach

    def _item(self, x: Features) -> tuple[float, float, float]:
        n = x["n"]
        if n <= 0:
            return 0.0, 0.0, 0.0
        sampling = self._request_variance.value / n
        weight = 1 / (sampling + self._evidence.variability(1))
        return weight * (x["mean_log"] - self.level), weight, weight * weight * sampling

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        item = self._item(x)
        scores = self._evidence.scores(item)
        hits = [score for score in scores if score.z > score.threshold and score.effect > self._least(score)]
        pages = [score for score in hits if score.z > score.page_threshold and score.effect >= self._effects.page]
        top = max(hits or scores, key=lambda score: score.z - score.threshold)
        short = scores[0]
        expected = math.exp(min(self.level, 50.0))
        return Assessment(
            score=top.z,
            is_anomalous=bool(hits),
            is_page=bool(pages),
            is_slow=bool(hits) and all(hit.k > 1 for hit in hits),
            is_spike=self.is_ready and short.z > short.threshold and short.effect >= self._effects.short,
            is_quiet=short.z < short.threshold / 2 or short.effect < math.sqrt(self._least(short)),
            is_settled=settled(scores),
            observed=expected * min(top.effect, _MAX_EFFECT) if x["n"] > 0 else None,
            expected=expected,
            lower=0.0,
            upper=expected * (self._limit(top) if hits else self._usual_limit(short, x["n"])),
            newest_score=short.z,
            terms={"windows": float(top.k), "threshold": top.threshold, "times_expected": top.effect},
            item=item,
            scores=scores,
        )

    def _least(self, score: ScaleScore) -> float:
        return self._effects.long if score.k * self._tuning.window_s >= self._effects.long_s else self._effects.short

    def _limit(self, hit: ScaleScore) -> float:
        """Return up to what effect the scale that decided would have said nothing."""
        return max(self._least(hit), math.exp(min(math.log(hit.effect) * hit.threshold / hit.z, _MAX_LOG_EFFECT)))

    def _usual_limit(self, short: ScaleScore, n: float) -> float:
        """Return the same of the newest window alone, which rests on ``n`` requests."""
        spread = math.sqrt(self._evidence.variability(1) + (self._request_variance.value / n if n > 0 else 0.0))
        return max(self._least(short), math.exp(min(short.threshold * spread, _MAX_LOG_EFFECT)))

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
        self._evidence.push(assessment.item, assessment.scores, is_normal=is_normal and self.n_seen >= 10)
        n = x["n"]
        if not is_normal or n <= 0:
            return
        sd = math.sqrt(self._request_variance.value / n + self._evidence.variability(1))
        innovation = x["mean_log"] - self.level
        if self.n_seen >= 10:
            innovation = max(-_CLIP_SD * sd, min(_CLIP_SD * sd, innovation))
        self._level.update(self.level + innovation)
        if n > 1:
            self._request_variance.update(min(x["var_log"] * n / (n - 1), 16.0))

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._evidence.clear()

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "latency",
            "v": 1,
            "level": self._level.to_state(),
            "request_variance": self._request_variance.to_state(),
            "evidence": self._evidence.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "LatencyDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "latency", 1):
            self._level.from_state(state["level"])
            self._request_variance.from_state(state["request_variance"])
            self._evidence.from_state(state["evidence"])
        return self
