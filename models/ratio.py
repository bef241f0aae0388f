"""Whether too many of the requests are bad (errors, or slower than a bound), by how many there were."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.averages import FadingRatio
from models.detector import Assessment, Features, Verbs
from models.deviance import count_bound, count_limit, has_abated
from models.errors import numbers, reading
from models.evidence import Evidence
from models.scales import Item, ScaleScore, too_many
from models.tuning import DAY_S, Tuning

_PRIOR_REQUESTS = 200.0
_NOTHING = (0.0, 0.0)
_CLIP_SD = 3.0
"""A window counts in sums as at most so far outside: one bad window is the single window's business."""
_UNCLIPPED = _CLIP_SD * _CLIP_SD / 4
"""Where nothing is expected, so many are three standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioEffects:
    """Least effects: times the expected ratio, and above it by so much (ratio points in ``[0, 1]``)."""

    times: float
    plus: float
    page_times: float
    page_plus: float


class RatioDetector(Verbs):
    """Counts of bad requests against a learned ratio, negative-binomial, on several time scales.

    Features: ``bad`` and ``requests``, counts of the window.

    Notes
    -----
    Memory O(1); time O(1) per window; ready after ``tuning.ready_windows``; scores in standard deviations, high is
    anomalous.

    """

    __slots__ = ("_before", "_effects", "_evidence", "_needs_two", "_ratio", "_tuning", "_was_page")

    def __init__(self, tuning: Tuning, effects: RatioEffects, *, scales: Sequence[int], prior_ratio: float) -> None:
        self._tuning = tuning
        self._effects = effects
        self._needs_two = tuning.needs_two
        self._ratio = FadingRatio(tuning.windows(DAY_S), prior=prior_ratio, prior_weight=_PRIOR_REQUESTS)
        self._was_page = False
        self._before = _NOTHING
        """(bad, requests) of the window before: in sums it counts as less."""
        made = tuning.make_scales(scales, prior=0.25, floor=1e-3)
        self._evidence = Evidence(too_many, made, needs_two=True, settle_windows=tuning.settle_windows)

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._ratio.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self._ratio.n >= self._tuning.ready_windows

    @property
    def ratio(self) -> float:
        """Expected share of bad requests, in ``(0, 1]``; a prior worth 200 requests is in it."""
        return min(1.0, self._ratio.value)

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        ratio, requests = self._ratio.value, x["requests"]
        if ratio > 1:
            ratio = 1.0
        newest = (x["bad"], requests * ratio, requests)
        item = newest if newest[0] <= _UNCLIPPED else self._clipped(newest)
        scores = self._evidence.scores(item, newest)
        if not scores:
            return Assessment(score=0.0, expected=ratio, item=item)
        short = top = scores[0]
        top_excess, hit_excess, hit, is_page, is_short_hit, is_long_hit = -math.inf, 0.0, None, False, False, False
        for score in scores:
            excess = score.z - score.threshold
            if excess > top_excess:
                top, top_excess = score, excess
            if excess > 0 and self._is_large(score, page=False):
                if score.k == 1:
                    is_short_hit = True
                else:
                    is_long_hit = True
                if hit is None or excess > hit_excess:
                    hit, hit_excess = score, excess
                if self._is_page(score) and (score.k > 1 or self._was_page or not self._needs_two):
                    is_page = True
        shown = hit or top
        terms = {"windows": float(shown.k), "threshold": shown.threshold, "times_expected": shown.effect}
        if hit is not None:
            terms |= self._evidence.rarity(hit, self._tuning.window_s)
        return Assessment(  # by place: keywords take twice the time
            shown.z,  # score
            hit is not None,  # is_anomalous
            is_page,
            hit is not None and not is_short_hit,  # is_slow
            False,  # is_spike
            is_short_hit and not is_long_hit and self._is_abating(newest, ratio),  # is_abating
            short.z < short.threshold / 2 or not self._is_large(short, page=False),  # is_quiet
            shown.sums[0] / shown.sums[2] if shown.sums[2] else None,  # observed
            ratio if hit is None else hit.sums[1] / hit.sums[2],  # expected
            0.0,  # lower
            self._usual_limit(short, ratio) if hit is None else self._limit(hit),  # upper
            short.z if short.k == 1 else 0.0,  # newest_score
            terms,
            item,
            scores,
        )

    def _clipped(self, newest: Item) -> Item:
        """Return what a window counts as in sums."""
        bad, expected, requests = newest
        bound = count_bound(expected, self._evidence.newest_variability, _CLIP_SD)
        return newest if bad <= bound else (bound, expected, requests)

    def _is_abating(self, newest: Item, ratio: float) -> bool:
        """Return whether the newest window has less than half of the excess of the one before, beyond sampling error.

        Half, because nobody knows by how much the ratio of a fault wanders beyond sampling error.
        """
        (bad, _, requests), (bad_before, requests_before) = newest, self._before
        if requests <= 0 or requests_before <= 0:
            return False
        both = (bad + bad_before) / (requests + requests_before)
        variance = both * (1 - min(both, 1.0)) * (1 / requests + 1 / requests_before)
        now, before = bad / requests - ratio, bad_before / requests_before - ratio
        return 2 * now < before and has_abated(now, before, variance)

    def _usual_limit(self, short: ScaleScore, ratio: float) -> float:
        """Return up to what ratio the shortest scale would say nothing."""
        requests = short.sums[2]
        spread = math.sqrt(ratio * ratio * self._evidence.variability(short.k) + ratio / (requests if requests > 1 else 1.0))
        reach, plus = short.threshold * spread, self._effects.plus
        limit = ratio + (reach if reach > plus else plus)
        return limit if limit < 1.0 else 1.0

    def _limit(self, hit: ScaleScore) -> float:
        """Return up to what ratio the scale that decided would have said nothing."""
        bad, expected, requests = hit.sums
        by_chance = count_limit(bad, expected, self._evidence.variability(hit.k), hit.threshold)
        return max(by_chance, expected * self._effects.times, expected + self._effects.plus * requests) / requests

    def _is_large(self, score: ScaleScore, *, page: bool) -> bool:
        times, plus = (self._effects.page_times, self._effects.page_plus) if page else (self._effects.times, self._effects.plus)
        bad, expected, requests = score.sums
        return requests > 0 and score.effect > times and bad > expected + plus * requests

    def _is_page(self, score: ScaleScore) -> bool:
        return score.z > score.page_threshold and self._is_large(score, page=True)

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        scores = assessment.scores
        self._evidence.push(assessment.item, scores, is_normal=is_normal)
        self._was_page = bool(scores) and self._is_page(scores[0])
        self._before = (x["bad"], x["requests"])
        if is_normal:
            self._ratio.update(x["bad"], x["requests"])

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._evidence.clear()
        self._was_page, self._before = False, _NOTHING

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "ratio",
            "v": 3,
            "ratio": self._ratio.to_state(),
            "was_page": self._was_page,
            "before": list(self._before),
            "evidence": self._evidence.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "RatioDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "ratio", 3, 2) as version:
            self._ratio.from_state(state["ratio"])
            self._was_page = bool(int(state["was_page"]))
            bad, requests = numbers(state["before"]) if version > 2 else _NOTHING
            self._before = (bad, requests)
            self._evidence.from_state(state["evidence"])
        return self
