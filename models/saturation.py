"""Whether a resource is nearly full, or will be soon: an absolute level, what is usual for it, and its growth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.averages import FadingMean
from models.detector import Assessment, Features, Verbs
from models.errors import number, numbers, reading
from models.nightly import HourlyPeaks
from models.tuning import Tuning

_BLOCK_S = 300.0
_HOUR_BLOCKS = 12
_LEAST_VARIANCE, _LEAST_SPREAD = 1e-4, 0.01
_MOST_OFF = 0.5
_MOST_USUAL = 1.2
"""However usual it is, beyond this it is too full."""


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


class SaturationDetector(Verbs):
    """Utilization of one resource: too full, unusually so; or filling up too fast.

    Features: ``utilization``, the window's mean, 1 is full; ``time_s``, the window's end (epoch seconds).

    Notes
    -----
    Memory O(1): 25 five-minute means, 96 hourly peaks; ready after ``tuning.ready_windows``, but too full needs no
    learning and is judged from the first window. What was reached near this hour on two of the last three days is usual.

    """

    __slots__ = (
        "_block_windows", "_blocks", "_filling", "_level", "_limits", "_n_filling", "_peaks", "_to_full_s", "_tuning", "_variance",
    )  # fmt: skip

    def __init__(self, tuning: Tuning, limits: SaturationLimits) -> None:
        self._tuning = tuning
        self._limits = limits
        self._level = FadingMean(tuning.windows(tuning.level_s))
        self._variance = FadingMean(tuning.windows(tuning.variability_s))
        self._blocks: list[float] = []
        self._block_windows = max(1, round(_BLOCK_S / tuning.window_s))
        self._filling, self._n_filling = 0.0, 0
        """Sum and number of the windows of the block that goes on."""
        self._to_full_s = math.inf
        self._peaks = HourlyPeaks()

    @property
    def n_seen(self) -> int:
        """Windows learned from."""
        return self._level.n

    @property
    def is_ready(self) -> bool:
        """Whether enough windows were seen."""
        return self._level.n >= self._tuning.ready_windows

    def assess(self, x: Features) -> Assessment:
        """Return what the window looks like. Changes nothing."""
        value, limits, level, variance = x["utilization"], self._limits, self._level, self._variance.value
        usual, n_seen, to_full_s = level.value, level.n, self._to_full_s
        is_ready = n_seen >= self._tuning.ready_windows
        spread = math.sqrt(variance) if variance > _LEAST_VARIANCE else _LEAST_SPREAD
        upper = limits.full
        if is_ready and usual + 3 * spread > upper:
            upper = min(usual + 3 * spread, _MOST_USUAL)
        if value > upper:  # so that it is asked for only when it matters
            upper = max(upper, min(self._peaks.usual(x["time_s"]), _MOST_USUAL))
        is_full = value > upper
        is_filling = is_ready and to_full_s <= limits.to_full_s and limits.fills_up and value > usual + limits.least_rise
        terms = {
            "utilization": value,
            "usual": usual,
            "hours_to_full": to_full_s / 3600 if to_full_s < 1e7 else -1.0,
        }
        if is_anomalous := is_full or is_filling:
            terms |= self._rarity(value)
        return Assessment(  # by place: keywords take twice the time
            (value - usual) / spread if is_ready else 0.0,  # score
            is_anomalous,
            is_full and value >= limits.page,  # is_page
            False,  # is_slow
            False,  # is_spike
            False,  # is_abating
            value < limits.recovered and not is_filling,  # is_quiet
            value,  # observed
            usual if n_seen else None,  # expected
            0.0,  # lower
            min(upper, usual + limits.least_rise) if is_filling and not is_full else upper,  # upper
            0.0,  # newest_score
            terms,
        )

    def _rarity(self, value: float) -> dict[str, float]:
        """Return how rare it is among the hours remembered: of n + 1 hours that are alike the newest is the fullest once."""
        highest, n_hours = self._peaks.all_seen()
        if not n_hours or value <= highest:
            return {}
        return {"one_in": n_hours + 1.0, "days": n_hours / 24, "above_all": 1.0}

    def take_one(self, x: Features, assessment: Assessment, *, is_normal: bool) -> None:
        """Make ``x`` the newest evidence, and learn from it when it is normal and not too full."""
        value = x["utilization"]
        self._filling += value
        self._n_filling = n_filling = self._n_filling + 1
        if n_filling >= self._block_windows:
            self._end_block()
        self._peaks.learn(x["time_s"], value)
        if is_normal and not assessment.is_anomalous:
            level = self._level
            off = value - level.value if level.n else 0.0
            self._variance.update(off * off if -_MOST_OFF < off < _MOST_OFF else _MOST_OFF * _MOST_OFF)
            level.update(value)

    def _end_block(self) -> None:
        if self._limits.fills_up:
            self._blocks.append(self._filling / self._n_filling)
            del self._blocks[: -2 * _HOUR_BLOCKS - 1]
            self._to_full_s = self._time_to_full_s()
        self._filling, self._n_filling = 0.0, 0

    def _time_to_full_s(self) -> float:
        """Return the seconds until 1 at the smaller of the growth over the last hour and over the last two."""
        blocks = self._blocks
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
        self._filling, self._n_filling, self._to_full_s = 0.0, 0, math.inf

    def to_state(self) -> dict[str, Any]:
        """See :class:`models.detector.Detector`."""
        return {
            "kind": "saturation",
            "v": 2,
            "level": self._level.to_state(),
            "variance": self._variance.to_state(),
            "blocks": list(self._blocks),
            "filling": [self._filling, self._n_filling],
            "peaks": self._peaks.to_state(),
            "to_full_s": self._to_full_s if self._to_full_s < math.inf else None,
        }

    def from_state(self, state: Mapping[str, Any]) -> "SaturationDetector":
        """See :class:`models.detector.Detector`."""
        with reading(state, "saturation", 2):
            self._level.from_state(state["level"])
            self._variance.from_state(state["variance"])
            self.clear()
            self._blocks = list(numbers(state["blocks"]))
            self._filling, n_filling = numbers(state["filling"])
            self._n_filling = int(n_filling)
            self._peaks.from_state(state["peaks"])
            self._to_full_s = math.inf if state["to_full_s"] is None else number(state["to_full_s"])
        return self
