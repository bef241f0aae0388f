"""Whether a number that goes up and down, such as a queue's length, is far from what it is at this time of day."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.averages import FadingMean
from models.detector import Assessment, Features, TwoSided
from models.errors import reading
from models.evidence import Evidence
from models.level_profile import LevelProfile
from models.scales import OUT_OF_REACH, Item, Scale, ScaleScore
from models.tuning import Tuning

_CLIP = 4.0
_MOST_UNITS = 1e6
"""Nothing is further out than so many of its usual deviations."""
_LEAST_SHARE, _LEAST_PLUS_SHARE, _LEAST_UNIT = 1e-3, 1e-2, 1e-9
"""A usual deviation is at least these shares of what is expected and of ``plus``, and above 0."""
_MOST_TIMES = 1e6
"""Who is further away than so many times the expected value expected nothing: a ratio to that is no measure."""
_PRIOR, _FLOOR = 1.0, 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEffects:
    """Least effects of ticket and page: expected times or divided by so much, or so much away (``plus`` above 0) instead."""

    times: float
    plus: float
    page_times: float
    page_plus: float


class _Usual(NamedTuple):
    """What is expected of a window, and how far from it is usual."""

    expected: float
    unit: float


class _Look(NamedTuple):
    """What one scale says in one direction."""

    sign: int
    side: Evidence
    scores: Sequence[ScaleScore]
    score: ScaleScore
    excess: float
    is_hit: bool
    is_newest: bool


class LevelDetector(TwoSided):
    """A level against what is usual at this time of day, in the directions that are news, each with its own evidence.

    Features: ``value``, the window's mean, of any unit and sign; ``time_s``, the window's end (epoch seconds).

    Parameters
    ----------
    tuning
        Clocks and budgets.
    effects
        What is large enough.
    signs
        Directions: +1 up, -1 down.

    Notes
    -----
    Memory O(1); ready after ``tuning.ready_windows``; scores in standard deviations, positive: above expectation.
    Deviations are told in units of the usual one, learned slowly and clipped at four, so that one unit fits all gauges.

    """

    __slots__ = ("_effects", "_needs_two", "_profile", "_sides", "_square", "_tuning", "_was_page")

    def __init__(self, tuning: Tuning, effects: LevelEffects, signs: Sequence[int]) -> None:
        self._tuning = tuning
        self._effects = effects
        self._needs_two = tuning.needs_two
        self._profile = LevelProfile(tuning.window_s)
        self._square = FadingMean(tuning.windows(tuning.variability_s))
        """Mean squared deviation."""
        self._was_page = False
        self._sides = tuple(
            (
                sign,
                Evidence(
                    _score,
                    tuning.make_scales(tuning.scales, prior=_PRIOR, floor=_FLOOR),
                    needs_two=tuning.needs_two,
                    settle_windows=tuning.settle_windows,
                ),
            )
            for sign in signs
        )

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._profile.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self._profile.n >= self._tuning.ready_windows

    def _unit(self, expected: float) -> float:
        least = max(_LEAST_SHARE * abs(expected), _LEAST_PLUS_SHARE * self._effects.plus, _LEAST_UNIT)
        return max(math.sqrt(self._square.value), least)

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        expected = self._profile.expected(x["time_s"])
        usual = _Usual(expected, self._unit(expected))
        away = x["value"] - expected
        off = max(-_MOST_UNITS, min(_MOST_UNITS, away / usual.unit))
        looks = [look for sign, evidence in self._sides for look in self._looks(sign, evidence, _item(sign, off, away), usual)]
        best, hits = max(looks, key=lambda look: (look.is_hit, look.excess)), [look for look in looks if look.is_hit]
        newest = [look for look in looks if look.is_newest]
        lower, upper = self._band(best, usual)
        terms = {"windows": float(best.score.k), "threshold": best.score.threshold}
        if best.is_hit:
            terms |= best.side.rarity(best.score, self._tuning.window_s)
        return Assessment(  # by place: keywords take twice the time
            best.sign * best.score.z,  # score
            best.is_hit,  # is_anomalous
            any(self._pages(look, usual) for look in hits),  # is_page
            best.is_hit and not any(look.is_newest for look in hits),  # is_slow
            False,  # is_spike
            False,  # is_abating
            all(look.score.z < look.score.threshold / 2 or not self._is_large(look.score, usual, look.sign) for look in newest),
            expected + best.sign * _away(best.score),  # observed
            expected,
            lower,
            upper,
            max(look.score.z for look in newest),  # newest_score
            terms,
            (off, usual.unit, expected),  # item
            best.scores,
        )

    def _looks(self, sign: int, side: Evidence, item: Item, usual: "_Usual") -> Iterator["_Look"]:
        scores = side.scores(item)
        for score in scores:
            excess = score.z - score.threshold
            is_hit = excess > 0 and self._is_large(score, usual, sign)
            yield _Look(sign, side, scores, score, excess, is_hit=is_hit, is_newest=score is scores[0])

    def _least(self, expected: float, sign: int, times: float, plus: float) -> float:
        """Return how far away is far enough."""
        if self._effects.plus:
            return plus
        return abs(expected) * (times - 1 if sign * expected >= 0 else 1 - 1 / times)

    def _is_large(self, score: ScaleScore, usual: "_Usual", sign: int) -> bool:
        return _away(score) > self._least(usual.expected, sign, self._effects.times, self._effects.plus)

    def _pages(self, look: "_Look", usual: "_Usual") -> bool:
        if look.is_newest and self._needs_two and not self._was_page:
            return False
        return self._is_page(look.score, usual, look.sign)

    def _is_page(self, score: ScaleScore, usual: "_Usual", sign: int) -> bool:
        away = _away(score)
        if not self._effects.plus and away > _MOST_TIMES * abs(usual.expected):
            return False
        return score.z > score.page_threshold and away >= self._least(
            usual.expected, sign, self._effects.page_times, self._effects.page_plus
        )

    def _band(self, best: "_Look", usual: "_Usual") -> tuple[float | None, float | None]:
        """Return between which values the scale that says most would have said nothing, in the directions that are news."""
        threshold, limits = best.score.threshold, {}
        if threshold >= OUT_OF_REACH:  # too little was learned to say
            return None, None
        by_chance = threshold * math.sqrt(best.side.variability(best.score.k)) * usual.unit
        if best.is_hit:  # its windows may have been told in other units than the newest
            by_chance = _away(best.score) * threshold / best.score.z
        for sign, _ in self._sides:
            least = self._least(usual.expected, sign, self._effects.times, self._effects.plus)
            limits[sign] = usual.expected + sign * max(by_chance, least)
        return limits.get(-1), limits.get(1)

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        off, unit, expected = assessment.item
        usual, away = _Usual(expected, unit), x["value"] - expected
        was_page = False
        is_known = self._profile.n > 0
        for sign, evidence in self._sides:
            item = _item(sign, off, away)
            scores = evidence.scores(item)
            was_page = was_page or self._is_page(scores[0], usual, sign)
            evidence.push(item, scores, is_normal=is_normal and is_known)
        self._was_page = was_page
        if is_normal:
            self._learn(x, expected, unit)

    def _learn(self, x: Features, expected: float, unit: float) -> None:
        value, is_ready = x["value"], self.is_ready
        reach = _CLIP * unit if is_ready else math.inf
        clipped = max(expected - reach, min(expected + reach, value))
        if self._profile.n:
            self._square.update((clipped - expected) ** 2)
        if self._profile.learn(x["time_s"], value, clipped - expected):
            for _, evidence in self._sides:
                evidence.forget_learning()  # what the moving mean missed by is not what the profile will miss by
                evidence.clear()

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        for _, evidence in self._sides:
            evidence.clear()
        self._was_page = False

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "level",
            "v": 2,
            "profile": self._profile.to_state(),
            "square": self._square.to_state(),
            "was_page": self._was_page,
            "sides": [[sign, evidence.to_state()] for sign, evidence in self._sides],
        }

    def from_state(self, state: Mapping[str, Any]) -> "LevelDetector":
        """See :class:`models.detector.Detector`; a direction that was not judged before starts cold.

        Version 1 did not keep how far away the newest windows were, only in units: they are forgotten.
        """
        with reading(state, "level", 2, 1) as version:
            self._profile.from_state(state["profile"])
            self._square.from_state(state["square"])
            self._was_page = bool(int(state["was_page"]))
            known = {int(sign): side for sign, side in state["sides"]}
            for sign, evidence in self._sides:
                if sign in known:
                    evidence.from_state(known[sign])
                if version < 2:
                    evidence.clear()
        return self


def _item(sign: int, off: float, away: float) -> Item:
    """Return (deviation in usual units, 1 window, deviation in the gauge's own units): units change, what was seen does not."""
    return sign * off, 1.0, sign * away


def _score(scale: Scale, sums: Item) -> ScaleScore:
    """Return what sums of items say; see :class:`models.scales.Scorer`. There is no ratio: levels may be around zero."""
    off, n, _ = sums
    deviation = off / n
    z = deviation / math.sqrt(scale.variability.value)
    return ScaleScore(scale.k, z, 1.0, deviation, 0.0, sums, scale.threshold, scale.page_threshold)


def _away(score: ScaleScore) -> float:
    """Return the mean deviation in the gauge's own units."""
    _, n, away = score.sums
    return away / n
