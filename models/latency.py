"""Whether requests take longer than usual under this load: the mean log latency on several time scales, upward."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.averages import FadingMean
from models.detector import Assessment, Features, Verbs
from models.deviance import has_abated
from models.errors import numbers, reading
from models.evidence import Evidence
from models.load import LoadEffect
from models.scales import Item, ScaleScore, higher
from models.tuning import Tuning

_CLIP_SD = 3.0
_LEAST_SD = 0.3
_LEAST_LEARNED = 10
"""Windows before which nothing is clipped."""
_LOAD_WINDOWS = 6
_MOST_VARIANCE = 16.0
"""Of one request's log latency."""
_NOT_RECKONED = (-1.0, 0.0, 0.0)
_MOST_EXPECTED_LOG = 50.0
_MAX_LOG_EFFECT, _MAX_EFFECT = 5.0, 200.0
"""A band reaches no further than 150 times the expected latency, an observed one no further than a little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyEffects:
    """Least effects, times the expected latency: over less than ``long_s`` seconds, over more, and of a page."""

    short: float
    long: float
    page: float
    long_s: float


class LatencyDetector(Verbs):
    """Mean log latency of a window against a slowly learned level plus what the load explains.

    Features: ``mean_log`` and ``var_log``, mean and variance of ln(latency / ms) within the window, clipped to
    :meth:`looked_at`; ``n``, how many requests they rest on, 0: nothing to judge; ``load``, requests of the window.

    Notes
    -----
    Memory O(1); ready after ``tuning.ready_windows`` windows with requests; scores in standard deviations, high is
    anomalous. The level follows in eight hours, each window clipped at three standard deviations.

    """

    __slots__ = (
        "_effects", "_evidence", "_expected", "_level", "_load", "_loads", "_needs_two", "_request_variance", "_tuning",
        "_was_page",
    )  # fmt: skip

    def __init__(self, tuning: Tuning, effects: LatencyEffects) -> None:
        self._tuning = tuning
        self._effects = effects
        self._needs_two = tuning.needs_two
        self._level = FadingMean(tuning.windows(tuning.level_s))
        self._request_variance = FadingMean(tuning.windows(tuning.level_s))
        self._load = LoadEffect(tuning.window_s)
        self._loads: list[float] = []
        """Requests of the last five windows."""
        self._was_page = False
        self._expected = _NOT_RECKONED
        """Of the newest window: (its load, mean load with it, expected ln(latency / ms)), so that they are reckoned once."""
        self._evidence = Evidence(
            higher,
            tuning.make_scales(tuning.scales, prior=0.01, floor=1e-4),
            needs_two=tuning.needs_two,
            settle_windows=tuning.settle_windows,
        )

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._level.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows with requests were seen."""
        return self._level.n >= self._tuning.ready_windows

    def _reckoned(self, load: float) -> tuple[float, float, float]:
        """Return (load, mean load of the last six windows, expected log latency): a queue feels the mean."""
        expected = self._expected
        if expected[0] != load:
            loads = self._loads
            mean_load = (sum(loads) + load) / (len(loads) + 1)
            self._expected = expected = (load, mean_load, self._level.value + self._load.at(mean_load))
        return expected

    def looked_at(self, load: float, slow_sd: float) -> tuple[float, float, float]:
        """Return (low, high, slow), log latencies, for a window with so many requests.

        Those of its requests are to be clipped to the first two: one slow request must not move a mean. Above the third one,
        ``slow_sd`` standard deviations of one request above expectation, a request is slow; infinite until ready.
        """
        n, expected = self._level.n, self._reckoned(load)[2]
        sd = math.sqrt(self._request_variance.value)
        slow = expected + slow_sd * sd if n >= self._tuning.ready_windows else math.inf
        if n < _LEAST_LEARNED:
            return -math.inf, math.inf, slow
        reach = _CLIP_SD * (sd if sd > _LEAST_SD else _LEAST_SD)
        return expected - reach, expected + reach, slow

    def _item(self, x: Features, expected: float) -> Item:
        n = x["n"]
        if n <= 0:
            return 0.0, 0.0, 0.0
        sampling = self._request_variance.value / n
        weight = 1 / (sampling + self._evidence.newest_variability)  # above 0, because the variability is
        return weight * (x["mean_log"] - expected), weight, weight * weight * sampling

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        expected_log, n = self._reckoned(x["load"])[2], x["n"]
        item = self._item(x, expected_log)
        scores = self._evidence.scores(item)
        effects, short = self._effects, scores[0]
        least = self._least(short)
        top, top_excess, hit, hit_excess, is_page, is_long_hit = short, -math.inf, None, 0.0, False, False
        for score in scores:
            excess = score.z - score.threshold
            if excess > top_excess:
                top, top_excess = score, excess
            if excess > 0 and score.effect > self._least(score):
                is_long_hit = is_long_hit or score is not short
                if hit is None or excess > hit_excess:
                    hit, hit_excess = score, excess
                if self._is_page(score) and (score is not short or self._was_page or not self._needs_two):
                    is_page = True
        is_newest_out = short.z > short.threshold
        shown = hit or top
        expected = math.exp(expected_log if expected_log < _MOST_EXPECTED_LOG else _MOST_EXPECTED_LOG)
        limit = self._usual_limit(short, n, least) if hit is None else self._limit(hit)
        terms = {"windows": float(shown.k), "threshold": shown.threshold, "times_expected": shown.effect}
        if hit is not None:
            terms |= self._evidence.rarity(hit, self._tuning.window_s)
        return Assessment(  # by place: keywords take twice the time
            shown.z,  # score
            hit is not None,  # is_anomalous
            is_page,
            hit is not None and not (is_newest_out and short.effect > least),  # is_slow
            is_newest_out and short.effect >= effects.short and self.is_ready,  # is_spike
            hit is not None and not is_long_hit and self._is_abating(item),  # is_abating
            short.z < short.threshold / 2 or short.effect < math.sqrt(least),  # is_quiet
            expected * min(shown.effect, _MAX_EFFECT) if n > 0 else None,  # observed
            expected,
            0.0,  # lower
            expected * limit,  # upper
            short.z,  # newest_score
            terms,
            item,
            scores,
        )

    def _least(self, score: ScaleScore) -> float:
        return self._effects.long if score.k * self._tuning.window_s >= self._effects.long_s else self._effects.short

    def _is_page(self, score: ScaleScore) -> bool:
        return score.z > score.page_threshold and score.effect >= self._effects.page

    def _is_abating(self, item: Item) -> bool:
        """Return whether the newest window is nearer to expectation than the one before, beyond what windows wander by."""
        before = self._evidence.newest
        if before is None or before[1] <= 0 or item[1] <= 0:
            return False
        sampling = item[2] / (item[1] * item[1]) + before[2] / (before[1] * before[1])
        wander = 2 * self._evidence.newest_variability
        return has_abated(item[0] / item[1], before[0] / before[1], sampling + wander)

    def _limit(self, hit: ScaleScore) -> float:
        """Return up to what effect the scale that decided would have said nothing."""
        return max(self._least(hit), math.exp(min(math.log(hit.effect) * hit.threshold / hit.z, _MAX_LOG_EFFECT)))

    def _usual_limit(self, short: ScaleScore, n: float, least: float) -> float:
        """Return the same of the newest window alone, which rests on ``n`` requests."""
        variance = self._evidence.newest_variability + (self._request_variance.value / n if n > 0 else 0.0)
        reach = short.threshold * math.sqrt(variance)
        limit = math.exp(reach if reach < _MAX_LOG_EFFECT else _MAX_LOG_EFFECT)
        return limit if limit > least else least

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        n_seen, load = self._level.n, x["load"]
        if is_normal and x["n"] > 0:
            self._learn(x, assessment.item)
        self._evidence.push(assessment.item, assessment.scores, is_normal=is_normal and n_seen >= _LEAST_LEARNED)
        self._was_page = self._needs_two and self._is_page(assessment.scores[0])
        self._expected = _NOT_RECKONED
        self._loads.append(load)
        if len(self._loads) == _LOAD_WINDOWS:
            del self._loads[0]

    def _learn(self, x: Features, item: Item) -> None:
        level, n = self._level, x["n"]
        _, mean_load, expected = self._reckoned(x["load"])
        innovation = x["mean_log"] - expected
        if level.n >= _LEAST_LEARNED:
            most = _CLIP_SD / math.sqrt(item[1])  # the weight is one over the variance of a window's mean
            innovation = most if innovation > most else (-most if innovation < -most else innovation)
        if n > 1:
            variance = x["var_log"] * n / (n - 1)
            self._request_variance.update(variance if variance < _MOST_VARIANCE else _MOST_VARIANCE)
        effect = expected - level.value
        level.update(level.value + innovation)
        if self._load.learn(mean_load, expected + innovation):
            level.value += effect - self._load.at(mean_load)  # under this load the expectation stays what it was

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._evidence.clear()
        self._was_page = False

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "latency",
            "v": 2,
            "level": self._level.to_state(),
            "request_variance": self._request_variance.to_state(),
            "load": self._load.to_state(),
            "loads": list(self._loads),
            "was_page": self._was_page,
            "evidence": self._evidence.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "LatencyDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "latency", 2):
            self._level.from_state(state["level"])
            self._request_variance.from_state(state["request_variance"])
            self._load.from_state(state["load"])
            self._loads, self._expected = list(numbers(state["loads"])), _NOT_RECKONED
            self._was_page = bool(int(state["was_page"]))
            self._evidence.from_state(state["evidence"])
        return self
