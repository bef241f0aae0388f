"""Whether a service gets too few requests for this time of day, or far too many."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.day_profile import DayProfile
from models.detector import Assessment, Features, TwoSided
from models.deviance import count_limit
from models.errors import reading
from models.evidence import Evidence
from models.scales import BLOCK, ScaleScore, too_few
from models.tuning import Tuning

_NO_RISE = 49
"""Requests; so few are no rush, however rare requests are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficEffects:
    """Least effects: a drop divides by so much (ticket, page), a rise multiplies; each above 1."""

    drop: float
    page_drop: float
    rise: float


class TrafficDetector(TwoSided):
    """Request counts against the day's profile, negative-binomial, both ways, a drop above all.

    Features: ``requests`` of the window, ``time_s`` its end (epoch seconds).

    Notes
    -----
    Memory O(288 bins); ready after ``tuning.ready_windows``; scores in standard deviations, positive: above expectation.

    """

    __slots__ = ("_effects", "_evidence", "_needs_two", "_profile", "_tuning", "_was_page")

    def __init__(self, tuning: Tuning, effects: TrafficEffects) -> None:
        self._tuning = tuning
        self._effects = effects
        self._needs_two = tuning.needs_two
        self._profile = DayProfile(tuning.window_s)
        self._was_page = False
        scales = tuning.make_scales(tuning.scales, prior=0.02, floor=5e-4)
        self._evidence = Evidence(too_few, scales, needs_two=True, settle_windows=tuning.settle_windows)

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._profile.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self._profile.n >= self._tuning.ready_windows

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        expected = self._profile.expected(x["time_s"])
        item = (x["requests"], expected, 1.0)
        scores = self._evidence.scores(item)
        short = top = scores[0]
        top_excess, hit, is_page, is_short_hit = -math.inf, None, False, False
        for score in scores:
            z = score.z
            excess = (z if z > 0 else -z) - score.threshold
            if excess > top_excess:
                top, top_excess = score, excess
            if excess > 0 and self._is_large(score):
                is_short_hit = is_short_hit or score is short
                if hit is None or _outranks(score, hit):
                    hit = score
                if self._is_page(score) and (score is not short or self._was_page or not self._needs_two):
                    is_page = True
        effects, shown = self._effects, hit or top
        count, expected_count, n_summed = shown.sums
        lower, upper = (expected / effects.drop, expected * effects.rise) if hit is None else self._band(hit)
        terms = {"windows": float(shown.k), "threshold": shown.threshold, "times_expected": shown.effect}
        if hit is not None:
            terms |= self._evidence.rarity(hit, self._tuning.window_s)
        far = short.z if short.z > 0 else -short.z
        return Assessment(  # by place: keywords take twice the time
            -shown.z,  # score
            hit is not None,  # is_anomalous
            is_page,
            hit is not None and not is_short_hit,  # is_slow
            False,  # is_spike
            False,  # is_abating
            # is_quiet: written so that no requests, where a drop is no news (0 * inf is NaN), are quiet
            far < short.threshold / 2 or not (short.effect * effects.drop <= 1 or short.effect >= effects.rise),
            count / n_summed,  # observed
            expected_count / n_summed,  # expected
            lower,
            upper,
            far,  # newest_score
            terms,
            item,
            scores,
        )

    def _is_large(self, score: ScaleScore) -> bool:
        """Tell whether a drop or a rise is large enough; a rise only on short scales: a day may be busier than the last."""
        if score.z > 0:
            return score.effect * self._effects.drop < 1
        return score.k <= BLOCK and score.effect > self._effects.rise and score.sums[0] > _NO_RISE

    def _is_page(self, score: ScaleScore) -> bool:
        return score.z > score.page_threshold and score.effect * self._effects.page_drop <= 1

    def _band(self, hit: ScaleScore) -> tuple[float, float]:
        """Return between which requests a window the scale that decided would have said nothing."""
        count, expected, n_summed = hit.sums
        by_chance = count_limit(count, expected, self._evidence.variability(hit.k), hit.threshold)
        lower, upper = expected / self._effects.drop, max(expected * self._effects.rise, float(_NO_RISE))
        if hit.z > 0:
            return min(lower, by_chance) / n_summed, upper / n_summed
        return lower / n_summed, max(upper, by_chance) / n_summed

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        item = assessment.item
        self._evidence.push(item, assessment.scores, is_normal=is_normal)
        self._was_page = self._is_page(assessment.scores[0])
        if is_normal and self._profile.learn(x["time_s"], x["requests"], item[1]):
            self._evidence.forget_learning()  # what the moving mean missed by is not what the profile will miss by
            self._evidence.clear()

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._evidence.clear()
        self._was_page = False

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "traffic",
            "v": 2,
            "profile": self._profile.to_state(),
            "was_page": self._was_page,
            "evidence": self._evidence.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "TrafficDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "traffic", 2):
            self._profile.from_state(state["profile"])
            self._was_page = bool(int(state["was_page"]))
            self._evidence.from_state(state["evidence"])
        return self


def _outranks(one: ScaleScore, other: ScaleScore) -> bool:
    """Tell whether a hit is to be shown rather than another: a drop before a rise, then the further beyond its threshold."""
    if (one.z > 0) is not (other.z > 0):
        return one.z > 0
    return abs(one.z) - one.threshold > abs(other.z) - other.threshold
