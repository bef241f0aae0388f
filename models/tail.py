"""Whether more requests than usual are very slow, while the typical one is as fast as ever."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.averages import FadingRatio
from models.detector import Assessment, Features, Verbs
from models.deviance import count_bound, count_limit
from models.errors import number, reading
from models.evidence import Evidence
from models.scales import Item, ScaleScore, too_many
from models.tuning import DAY_S, Tuning

TAIL_SHARE = 0.015
_NORMAL_POINT, _NORMAL_DENSITY = 2.17, 0.038
"""The normal law's 98.5 % point, and its density there, in standard deviations."""
_MEMORY_REQUESTS, _TRUSTED_REQUESTS = 50_000.0, 500.0
_PRIOR_REQUESTS = 200.0
_LEAST_SCALE = 30
"""Windows; the tail of fewer holds next to nothing."""
_CLIP_SD = 3.0
_UNCLIPPED = _CLIP_SD * _CLIP_SD / 4
"""Where nothing is expected, so many are three standard deviations."""
_MOST_MOVE = 0.1
_NOTHING = Assessment(score=0.0)


class TailDetector(Verbs):
    """Requests above a learned 98.5 % point that shifts with the level, counted like errors, on long scales only.

    Features: ``bad``, requests slower than ``exp(level + offset)`` ms; ``requests``, all of the window.

    Parameters
    ----------
    tuning
        Its scales below 30 windows are left out.
    times
        Least effect: times the expected share, above 1.

    Notes
    -----
    Memory O(1); time O(1) a window, next to nothing but at the end of a block; ready after ``tuning.ready_windows``;
    scores in standard deviations, high is anomalous.

    """

    __slots__ = ("_evidence", "_offset_sd", "_requests", "_share", "_shown", "_times", "_tuning")

    def __init__(self, tuning: Tuning, *, times: float) -> None:
        self._tuning = tuning
        self._times = times
        self._share = FadingRatio(tuning.windows(DAY_S), prior=TAIL_SHARE, prior_weight=_PRIOR_REQUESTS)
        scales = tuning.make_scales([k for k in tuning.scales if k >= _LEAST_SCALE], prior=0.25, floor=1e-3)
        self._evidence = Evidence(too_many, scales, needs_two=True, settle_windows=tuning.settle_windows)
        self._offset_sd = _NORMAL_POINT
        self._requests = 0.0
        self._shown: tuple[Sequence[ScaleScore], Assessment] = ((), _NOTHING)
        """What the scales say until the next block is full, and what that means."""

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._share.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self._share.n >= self._tuning.ready_windows

    @property
    def offset_sd(self) -> float:
        """How far above the level the bound lies, in standard deviations of one request's log latency."""
        return self._offset_sd

    def _item(self, x: Features) -> Item:
        """Return what a window counts as: one whose tail is all bad counts as three standard deviations."""
        bad, requests = x["bad"], x["requests"]
        expected = requests * self._share.value
        if bad <= _UNCLIPPED:
            return bad, expected, requests
        bound = count_bound(expected, 0.0, _CLIP_SD)
        return (bad if bad < bound else bound), expected, requests

    def assess(self, x: Features) -> Assessment:
        """Return what the last full blocks look like, the newest window among them when it fills one. Changes nothing."""
        evidence = self._evidence
        scores = evidence.scores(self._item(x)) if evidence.is_block_end else evidence.held
        known, shown = self._shown
        if known is not scores:
            shown = self._meaning(scores)
            self._shown = (scores, shown)
        return shown

    def _meaning(self, scores: Sequence[ScaleScore]) -> Assessment:
        if not scores:
            return _NOTHING
        hits = [score for score in scores if score.z > score.threshold and score.effect > self._times]
        top = max(hits or scores, key=lambda score: score.z - score.threshold)
        bad, expected, requests = top.sums
        upper = None
        if hits:
            by_chance = count_limit(bad, expected, self._evidence.variability(top.k), top.threshold)
            upper = max(by_chance, expected * self._times) / requests
        terms = {"windows": float(top.k), "threshold": top.threshold, "times_expected": top.effect}
        if hits:
            terms |= self._evidence.rarity(top, self._tuning.window_s)
        return Assessment(
            score=top.z,
            is_anomalous=bool(hits),
            is_slow=bool(hits),
            observed=bad / requests if requests else None,
            expected=expected / requests if requests else None,
            lower=0.0,
            upper=upper,
            terms=terms,
            scores=scores,
        )

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        self._evidence.push(self._item(x), assessment.scores, is_normal=is_normal)
        if not is_normal:
            return
        bad, requests = x["bad"], x["requests"]
        self._share.update(bad, requests)
        if requests > 0:
            seen = self._requests + requests
            self._requests = seen = seen if seen < _MEMORY_REQUESTS else _MEMORY_REQUESTS
            move = (bad - TAIL_SHARE * requests) / (seen if seen > _TRUSTED_REQUESTS else _TRUSTED_REQUESTS) / _NORMAL_DENSITY
            self._offset_sd += move if -_MOST_MOVE < move < _MOST_MOVE else math.copysign(_MOST_MOVE, move)

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._evidence.clear()

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "tail",
            "v": 2,
            "share": self._share.to_state(),
            "evidence": self._evidence.to_state(),
            "offset_sd": self._offset_sd,
            "requests": self._requests,
        }

    def from_state(self, state: Mapping[str, Any]) -> "TailDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "tail", 2):
            self._share.from_state(state["share"])
            self._evidence.from_state(state["evidence"])
            self._offset_sd, self._requests = number(state["offset_sd"]), number(state["requests"])
            self._shown = ((), _NOTHING)
            if not math.isfinite(self._offset_sd):
                self._offset_sd = _NORMAL_POINT
        return self
