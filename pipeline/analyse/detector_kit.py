"""Which detector judges what: a fresh one by name, tuned from config/detection.yaml and profiles.yaml."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from models.detector import Detector
from models.latency import LatencyDetector, LatencyEffects
from models.level import LevelDetector, LevelEffects
from models.ratio import RatioDetector, RatioEffects
from models.saturation import SaturationDetector, SaturationLimits
from models.silence import SilenceDetector
from models.tail import TailDetector
from models.traffic import TrafficDetector, TrafficEffects
from models.tuning import Tuning
from pipeline.analyse.detection_params import DetectionParams, SignalParams

FIXED = ("silence", "traffic", "errors", "latency", "tail")
"""Detectors that every service has; ``slow`` comes with the first p95, every further one is a resource's."""
_RESOURCE, NAMED, LEVEL = "saturation:", "signal:", "level:"
"""Begin the names of detectors of a resource, of a counter that is a named signal, and of a gauge that is one."""
_OF_SIGNALS = (NAMED, LEVEL)
_TESTS_PER_SCALE = 5
"""Drops, rises, errors, latency, slow requests: what shares the budget on each scale ..."""
_LONGEST_MS = 7_200_000
"""... that is short enough to have a say: of five-minute windows the sum of 30 comes after the fact."""
_NEVER = math.inf
"""A least effect that nothing has."""
_USUAL_ERROR_RATIO = 0.0025
"""Taken for normal until 200 requests say otherwise."""


@lru_cache(maxsize=64)
def tuning_for(params: DetectionParams, size_ms: int) -> Tuning:
    """Return the clocks and budgets of a service whose windows are ``size_ms`` long."""
    n_scales = sum(k * size_ms <= _LONGEST_MS for k in params.scales)
    return Tuning(
        window_s=size_ms / 1000,
        n_tests=_TESTS_PER_SCALE * max(n_scales, 1),
        scales=params.scales,
        ready_windows=params.ready_windows,
        false_alarms_per_day=params.profiles.ticket.fast.false_alarms_per_day,
        false_pages_per_day=params.profiles.page.fast.false_alarms_per_day,
        level_s=params.level_s,
        variability_s=params.variability_s,
        tail_s=params.tail_s,
    )


class DetectorKit:
    """The detectors of one service by name, each a :class:`models.detector.Detector`.

    ``latency`` reads the mean, ``slow`` a 95th percentile that arrived ready-made, ``tail`` the share of very slow
    requests. What others read of ``latency`` and ``tail`` is why these two are known by their class.
    """

    __slots__ = ("_params", "_tuning", "by_name", "conditions", "latency", "tail", "unready")

    def __init__(self, params: DetectionParams, tuning: Tuning) -> None:
        self._params = params
        self._tuning = tuning
        self.by_name: dict[str, Detector] = {}
        self.unready: set[str] = set()
        """Which of them may not be listened to yet; a resource's is, because too full needs no learning."""
        self.conditions: tuple[str, ...] = ()
        """What findings are about; tail and slow speak for latency."""
        self.latency: LatencyDetector
        self.tail: TailDetector
        for name in FIXED:
            self.renew(name)

    def can_watch(self, name: str) -> bool:
        """Tell whether there is a detector of that name now, a resource's new one if there is room for it."""
        if name not in self.by_name:
            n_signals = sum(known.startswith(_OF_SIGNALS) for known in self.by_name)
            if name.startswith(_OF_SIGNALS) and n_signals >= self._params.max_signals:
                return False
            n_resources = sum(known.startswith(_RESOURCE) for known in self.by_name)
            if name.startswith(_RESOURCE) and n_resources >= self._params.saturation.max_resources:
                return False
            self.renew(name)
        return True

    def renew(self, name: str) -> Detector:
        """Put a detector that has seen nothing in the place of ``name``, and return it."""
        fresh: Detector
        if name == "latency":
            fresh = self.latency = _latency(self._params, self._tuning, long=self._params.profiles.ticket.fast.latency_long)
        elif name == "tail":
            fresh = self.tail = TailDetector(self._tuning, times=self._params.latency.tail_times)
        else:
            fresh = _other(name, self._params, self._tuning)
        self.by_name[name] = fresh
        if not name.startswith(_RESOURCE):
            self.unready.add(name)
        if name not in self.conditions and name not in ("tail", "slow"):
            self.conditions = (*self.conditions, name)
        return fresh

    def to_state(self) -> dict[str, Any]:
        """Return plain data by name."""
        return {name: detector.to_state() for name, detector in self.by_name.items()}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Take plain data over; a detector that it does not name starts cold."""
        for name, detector_state in state.items():
            self.renew(name).from_state(detector_state)


def _other(name: str, params: DetectionParams, tuning: Tuning) -> Detector:
    ticket, page = params.profiles.ticket.fast, params.profiles.page.fast
    match name:
        case "silence":
            return SilenceDetector(tuning, least_run=params.silence.least_run, longest_run=params.silence.longest_run)
        case "traffic":
            drop, page_drop = ticket.traffic_drop, page.traffic_drop
            return TrafficDetector(tuning, TrafficEffects(drop=drop, page_drop=page_drop, rise=params.traffic.rise))
        case "errors":
            return _errors(params, tuning)
        case "slow":
            return _latency(params, tuning, long=ticket.latency_p95)
        case _ if name.startswith(_OF_SIGNALS):
            return _of_signal(name, params, tuning)
        case _:
            return _saturation(params, tuning, name.partition(":")[2])


def _of_signal(name: str, params: DetectionParams, tuning: Tuning) -> Detector:
    kind, _, signal = name.partition(":")
    least = next((own for own in params.signals if own.name == signal), SignalParams())
    return _level(least, tuning) if kind == LEVEL[:-1] else _named(least, tuning)


def _level(least: SignalParams, tuning: Tuning) -> LevelDetector:
    page_plus = (least.page_plus or _NEVER) if least.plus else 0.0
    effects = LevelEffects(times=least.times, plus=least.plus, page_times=least.page_times, page_plus=page_plus)
    signs = {"up": (1,), "down": (-1,), "both": (1, -1)}[least.direction]
    return LevelDetector(tuning, effects, signs)


def _named(least: SignalParams, tuning: Tuning) -> Detector:
    drop, page, rise = (_NEVER, _NEVER, least.times) if least.direction == "up" else (least.times, least.page_times, least.times)
    rise = _NEVER if least.direction == "down" else rise
    return TrafficDetector(tuning, TrafficEffects(drop=drop, page_drop=page, rise=rise))


def _errors(params: DetectionParams, tuning: Tuning) -> RatioDetector:
    ticket, page = params.profiles.ticket.fast, params.profiles.page.fast
    effects = RatioEffects(
        times=ticket.errors_times, plus=ticket.errors_plus, page_times=page.errors_times, page_plus=page.errors_plus
    )
    return RatioDetector(tuning, effects, scales=tuning.scales, prior_ratio=_USUAL_ERROR_RATIO)


def _latency(params: DetectionParams, tuning: Tuning, *, long: float) -> LatencyDetector:
    ticket, page = params.profiles.ticket.fast, params.profiles.page.fast
    effects = LatencyEffects(short=ticket.latency_short, long=long, page=page.latency, long_s=params.latency.long_s)
    return LatencyDetector(tuning, effects)


def _saturation(params: DetectionParams, tuning: Tuning, resource: str) -> SaturationDetector:
    limits, profiles = params.saturation, params.profiles
    return SaturationDetector(
        tuning,
        SaturationLimits(
            full=profiles.ticket.fast.full,
            recovered=limits.recovered,
            page=profiles.page.fast.full,
            to_full_s=limits.to_full_s,
            least_rise=limits.least_rise,
            fills_up=resource in limits.fills_up,
        ),
    )
