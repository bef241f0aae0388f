"""Whether a resource is nearly full, or will be soon: an absolute level, what is usual for it, and its growth."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.averages import FadingMean
from models.detector import Assessment, Features
from models.errors import number, numbers, reading
from models.tuning import Tuning

_BLOCK_S = 300.0
_HOUR_BLOCKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturationLimits:
    """When a resource is too full.

    Attributes
    ----------
    full
        Utilization above which it is too full, 1 is full.
    recovered
        Below it, it no longer is.
    page
        From here on somebody must act now.
    to_full_s
        A resource that fills up (``fills_up``) and will be full within so many seconds is too full already.
    least_rise
        ... once it is so much above its usual level.
    fills_up
        Whether it only grows until something breaks (memory, disk), so that its growth means something.

    """

    full: float
    recovered: float
    page: float
    to_full_s: float
    least_rise: float
    fills_up: bool


class SaturationDetector:
    """Utilization of one resource: too full, unusually so; or filling up too fast.

    Features: ``utilization``, the window's mean, 1 is full.

    Notes
    -----
    Memory O(1): 25 five-minute means; ready after ``tuning.ready_windows``, but too full needs no learning and is
    judged from the first window.

    """

    def __init__(self, tuning: Tuning, limits: SaturationLimits) -> None:
        self._tuning = tuning
        self._limits = limits
        self._level = FadingMean(tuning.windows(tuning.level_s))
        self._variance = FadingMean(tuning.windows(tuning.variability_s))
        self._blocks: deque[float] = deque(maxlen=2 * _HOUR_BLOCKS + 1)
        self._block_windows = max(1, round(_BLOCK_S / tuning.window_s))
        self._filling: list[float] = []
        self._to_full_s = math.inf

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._level.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self.n_seen >= self._tuning.ready_windows

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        value, limits = x["utilization"], self._limits
        spread = math.sqrt(max(self._variance.value, 1e-4))
        usual = self._level.value
        upper = max(limits.full, min(usual + 3 * spread, 1.2)) if self.is_ready else limits.full
        is_full = value > upper
        is_filling = self._is_filling(value)
        return Assessment(
            score=(value - usual) / spread if self.is_ready else 0.0,
            is_anomalous=is_full or is_filling,
            is_page=is_full and value >= limits.page,
            is_quiet=value < limits.recovered and not is_filling,
            observed=value,
            expected=usual if self.n_seen else None,
            lower=0.0,
            upper=min(upper, usual + limits.least_rise) if is_filling and not is_full else upper,
            terms={
                "utilization": value,
                "usual": usual,
                "hours_to_full": self._to_full_s / 3600 if self._to_full_s < 1e7 else -1.0,
            },
        )

    def _is_filling(self, value: float) -> bool:
        limits = self._limits
        return (
            limits.fills_up
            and self.is_ready
            and value > self._level.value + limits.least_rise
            and self._to_full_s <= limits.to_full_s
        )

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
        """Make ``x`` the newest evidence, and learn from it when it is normal and not too full."""
        value = x["utilization"]
        self._filling.append(value)
        if len(self._filling) >= self._block_windows:
            self._blocks.append(sum(self._filling) / len(self._filling))
            self._filling = []
            self._to_full_s = self._time_to_full_s()
        if is_normal and not assessment.is_anomalous:
            self._variance.update(min((value - self._level.value) ** 2, 0.25) if self._level.n else 0.0)
            self._level.update(value)

    def _time_to_full_s(self) -> float:
        """Return the seconds until 1 at the smaller of the growth over the last hour and over the last two."""
        blocks = list(self._blocks)
        if len(blocks) < 2 * _HOUR_BLOCKS + 1:
            return math.inf
        newest = sum(blocks[-3:]) / 3
        per_s = min(
            (newest - sum(blocks[-_HOUR_BLOCKS - 2 : -_HOUR_BLOCKS + 1]) / 3) / ((_HOUR_BLOCKS - 1) * _BLOCK_S),
            (newest - sum(blocks[:3]) / 3) / ((2 * _HOUR_BLOCKS - 2) * _BLOCK_S),
        )
        return max(0.0, 1 - newest) / per_s if per_s > 1e-9 else math.inf

    def clear(self) -> None:
        """Forget the newest evidence (a restart empties what was filling), not what was learned."""
        self._blocks.clear()
        self._filling, self._to_full_s = [], math.inf

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "saturation",
            "v": 1,
            "level": self._level.to_state(),
            "variance": self._variance.to_state(),
            "blocks": list(self._blocks),
            "filling": list(self._filling),
            "to_full_s": self._to_full_s if self._to_full_s < math.inf else None,
        }

    def from_state(self, state: Mapping[str, Any]) -> "SaturationDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "saturation", 1):
            self._level.from_state(state["level"])
            self._variance.from_state(state["variance"])
            self.clear()
            self._blocks.extend(numbers(state["blocks"]))
            self._filling = list(numbers(state["filling"]))
            self._to_full_s = math.inf if state["to_full_s"] is None else number(state["to_full_s"])
        return self
