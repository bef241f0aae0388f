"""Whether a service gets too few requests for this time of day, or far too many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.day_profile import DayProfile
from models.detector import Assessment, Features
from models.deviance import count_limit
from models.errors import reading
from models.evidence import CountScorer, Evidence, ScaleScore, settled
from models.tuning import Tuning

_NO_RISE = 49
"""Requests; so few are no rush, however rare requests are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficEffects:
    """Least effects: a drop divides by so much (ticket, page), a rise multiplies; each above 1."""

    drop: float
    page_drop: float
    rise: float


class TrafficDetector:
    """Request counts against the day's profile, negative-binomial, both ways, a drop above all.

    Features: ``requests`` of the window, ``time_s`` its end (epoch seconds).

    Notes
    -----
    Memory O(longest scale / 6 + 288 bins); ready after ``tuning.ready_windows``; scores in standard deviations,
    positive: above expectation.

    """

    def __init__(self, tuning: Tuning, effects: TrafficEffects) -> None:
        self._tuning = tuning
        self._effects = effects
        self._profile = DayProfile(tuning.window_s)
        self._evidence = Evidence(
            CountScorer(-1), tuning.make_scales(tuning.scales, prior=0.02, floor=5e-4), width=2, needs_two=True
        )

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._profile.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self.n_seen >= self._tuning.ready_windows

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        expected = self._profile.expected(x["time_s"])
        item = (x["requests"], expected)
        scores = self._evidence.scores(item)
        # a rise is only judged on the shortest scales: a day that is busier than the last is no alarm
        drops = [s for s in scores if s.z > s.threshold and s.effect * self._effects.drop < 1]
        rises = [s for s in scores if s.k <= 6 and -s.z > s.threshold and s.effect > self._effects.rise and s.sums[0] > _NO_RISE]
        pages = [s for s in drops if s.z > s.page_threshold and s.effect * self._effects.page_drop <= 1]
        hits = drops or rises
        top: ScaleScore = max(hits or scores, key=lambda s: abs(s.z) - s.threshold)
        short = scores[0]
        effect = short.effect
        lower, upper = expected / self._effects.drop, expected * self._effects.rise
        n_summed = 5 if top.k == 6 else top.k  # the six-window sum leaves one out
        if hits:
            lower, upper = self._band(top, is_drop=bool(drops), n_summed=n_summed)
        return Assessment(
            score=-top.z,
            is_anomalous=bool(hits),
            is_page=bool(pages),
            is_slow=bool(hits) and all(hit.k > 1 for hit in hits),
            is_settled=settled(scores),
            is_quiet=abs(short.z) < short.threshold / 2 or (effect * self._effects.drop > 1 and effect < self._effects.rise),
            observed=top.sums[0] / n_summed,
            expected=top.sums[1] / n_summed,
            lower=lower,
            upper=upper,
            newest_score=abs(short.z),
            terms={"windows": float(top.k), "threshold": top.threshold, "times_expected": top.effect},
            item=item,
            scores=scores,
        )

    def _band(self, hit: ScaleScore, *, is_drop: bool, n_summed: int) -> tuple[float, float]:
        """Return between which requests a window the scale that decided would have said nothing."""
        count, expected = hit.sums
        by_chance = count_limit(count, expected, self._evidence.variability(hit.k), hit.threshold)
        lower, upper = expected / self._effects.drop, max(expected * self._effects.rise, float(_NO_RISE))
        if is_drop:
            return min(lower, by_chance) / n_summed, upper / n_summed
        return lower / n_summed, max(upper, by_chance) / n_summed

    def score_one(self, x: Features) -> float | None:
        """Return how far outside, whichever way; see :class:`models.detector.Detector`."""
        return abs(self.assess(x).score) if self.is_ready else None

    def explain_one(self, x: Features) -> dict[str, float]:
        """See :class:`models.detector.Detector`."""
        return dict(self.assess(x).terms) if self.is_ready else {}

    def learn_one(self, x: Features) -> None:
        """See :class:`models.detector.Detector`."""
        self.take_one(x, self.assess(x), is_normal=True)

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        self._evidence.push(assessment.item, assessment.scores, is_normal=is_normal)
        if is_normal and self._profile.learn(x["time_s"], x["requests"], assessment.item[1]):
            self._evidence.forget_learning()  # what the moving mean missed by is not what the profile will miss by
            self._evidence.clear()

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._evidence.clear()

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {"kind": "traffic", "v": 1, "profile": self._profile.to_state(), "evidence": self._evidence.to_state()}

    def from_state(self, state: Mapping[str, Any]) -> "TrafficDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "traffic", 1):
            self._profile.from_state(state["profile"])
            self._evidence.from_state(state["evidence"])
        return self
