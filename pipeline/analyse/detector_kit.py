"""Which detector judges what: a fresh one by name, tuned from config/detection.yaml."""

import math

from models.latency import LatencyDetector, LatencyEffects
from models.ratio import RatioDetector, RatioEffects
from models.saturation import SaturationDetector, SaturationLimits
from models.silence import SilenceDetector
from models.tail import TailDetector
from models.traffic import TrafficDetector, TrafficEffects
from models.tuning import Tuning
from pipeline.analyse.detection_params import DetectionParams

AnyDetector = LatencyDetector | RatioDetector | TrafficDetector | SaturationDetector | SilenceDetector | TailDetector
_USUAL_ERROR_RATIO = 0.0025
"""Taken for normal until 200 requests say otherwise."""


def tuning_for(params: DetectionParams, size_ms: int) -> Tuning:
    """Return the clocks and budgets of a service whose windows are ``size_ms`` long."""
    return Tuning(
        window_s=size_ms / 1000,
        scales=params.scales,
        ready_windows=params.ready_windows,
        false_alarms_per_day=params.false_alarms_per_day,
        false_pages_per_day=params.false_pages_per_day,
        level_s=params.level_s,
        variability_s=params.variability_s,
        tail_s=params.tail_s,
    )


def fresh_detector(name: str, params: DetectionParams, tuning: Tuning) -> AnyDetector:
    """Return a detector that has seen nothing.

    ``latency`` reads the mean, ``slow`` a 95th percentile that arrived ready-made, ``tail`` the share of very slow
    requests; every other name but ``silence``, ``traffic`` and ``errors`` is a resource, ``saturation:<resource>``.
    """
    match name:
        case "silence":
            return SilenceDetector(tuning, least_run=params.silence.least_run, longest_run=params.silence.longest_run)
        case "traffic":
            least = params.traffic
            return TrafficDetector(tuning, TrafficEffects(drop=least.drop, page_drop=least.page_drop, rise=least.rise))
        case "errors":
            return _errors(params, tuning)
        case "latency" | "slow":
            return _latency(params, tuning, long=params.latency.long if name == "latency" else params.latency.p95)
        case "tail":
            effects = RatioEffects(times=params.latency.tail_times, plus=0.0, page_times=math.inf, page_plus=0.0)
            return TailDetector(tuning, effects)
        case _:
            return _saturation(params, tuning, name.partition(":")[2])


def _errors(params: DetectionParams, tuning: Tuning) -> RatioDetector:
    least = params.errors
    effects = RatioEffects(times=least.times, plus=least.plus, page_times=least.page_times, page_plus=least.page_plus)
    return RatioDetector(tuning, effects, scales=tuning.scales, prior_ratio=_USUAL_ERROR_RATIO)


def _latency(params: DetectionParams, tuning: Tuning, *, long: float) -> LatencyDetector:
    least = params.latency
    return LatencyDetector(tuning, LatencyEffects(short=least.short, long=long, page=least.page, long_s=least.long_s))


def _saturation(params: DetectionParams, tuning: Tuning, resource: str) -> SaturationDetector:
    limits = params.saturation
    return SaturationDetector(
        tuning,
        SaturationLimits(
            full=limits.full,
            recovered=limits.recovered,
            page=limits.page,
            to_full_s=limits.to_full_s,
            least_rise=limits.least_rise,
            fills_up=resource in limits.fills_up,
        ),
    )
