"""Whether more requests than usual are very slow, while the typical one is as fast as ever."""

import math
from collections.abc import Mapping
from typing import Any

from models.detector import Assessment, Features, Step, step
from models.errors import number, reading
from models.ratio import RatioDetector, RatioEffects
from models.tuning import Tuning

TAIL_SHARE = 0.015
_NORMAL_POINT, _NORMAL_DENSITY = 2.17, 0.038
"""The normal law's 98.5 % point, and its density there, in standard deviations."""
_MEMORY_REQUESTS, _TRUSTED_REQUESTS = 50_000.0, 500.0


class TailDetector:
    """Requests above a learned 98.5 % point that shifts with the level, counted like errors, on long scales only.

    Features: ``bad``, requests slower than ``exp(level + offset)`` ms; ``requests``, all of the window; ``sd_log``,
    standard deviation of one request's log latency, by which the offset moves.

    Notes
    -----
    As :class:`models.ratio.RatioDetector`; one number more.

    """

    __slots__ = ("_counts", "_offset_sd", "_requests")

    def __init__(self, tuning: Tuning, effects: RatioEffects) -> None:
        scales = [k for k in tuning.scales if k >= 30]
        self._counts = RatioDetector(tuning, effects, scales=scales, prior_ratio=TAIL_SHARE)
        self._offset_sd = _NORMAL_POINT
        self._requests = 0.0

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._counts.n_seen

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self._counts.is_ready

    @property
    def offset_sd(self) -> float:
        """How far above the level the bound lies, in standard deviations of one request's log latency."""
        return self._offset_sd

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        return self._counts.assess(x)

    def score_one(self, x: Features) -> float | None:
        """See :class:`models.detector.Detector`."""
        return self._counts.score_one(x)

    def explain_one(self, x: Features) -> dict[str, float]:
        """See :class:`models.detector.Detector`."""
        return self._counts.explain_one(x)

    def learn_one(self, x: Features) -> None:
        """See :class:`models.detector.Detector`."""
        self.take_one(x, self.assess(x), is_normal=True)

    def step_one(self, x: Features) -> Step:
        """See :class:`models.detector.Detector`."""
        return step(self, x)

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` (assessed so just before) the newest evidence, and learn from it when it is normal."""
        self._counts.take_one(x, assessment, is_normal=is_normal)
        if is_normal and x["requests"] > 0:
            self._requests = min(self._requests + x["requests"], _MEMORY_REQUESTS)
            move = (x["bad"] - TAIL_SHARE * x["requests"]) / max(self._requests, _TRUSTED_REQUESTS) / _NORMAL_DENSITY
            self._offset_sd += max(-0.1, min(0.1, move))

    def clear(self) -> None:
        """Forget the newest evidence, not what was learned."""
        self._counts.clear()

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {"kind": "tail", "v": 1, "counts": self._counts.to_state(), "offset_sd": self._offset_sd, "requests": self._requests}

    def from_state(self, state: Mapping[str, Any]) -> "TailDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "tail", 1):
            self._counts.from_state(state["counts"])
            self._offset_sd, self._requests = number(state["offset_sd"]), number(state["requests"])
            if not math.isfinite(self._offset_sd):
                self._offset_sd = _NORMAL_POINT
        return self
