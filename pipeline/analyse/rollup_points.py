"""What the novelty detectors see of five minutes of a service: a handful of series, each with its unit and its least effect."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.heard import Heard
from pipeline.contracts.partials import ChangeNote, FeedbackNote

_LEAST_MS = 1e-3
Effect = Callable[[DetectionParams, float, float], bool]
"""Whether (observed, expected), in the series' unit, differ by enough to be told."""


class RollupPoint(msgspec.Struct, kw_only=True, frozen=True, array_like=True):
    """One rollup.

    Attributes
    ----------
    start_ms, end_ms
        The five minutes.
    series
        Value by name, as the detector sees it (see :data:`SERIES`).
    trouble
        Why nothing may be learned from it; empty: it may.
    changes, feedback
        What people did and said.

    """

    start_ms: int
    end_ms: int
    series: dict[str, float]
    trouble: str
    changes: list[ChangeNote]
    feedback: list[FeedbackNote]

    @classmethod
    def of(cls, heard: Heard, *, trouble: str, least_requests: int) -> "RollupPoint":
        """Return what the novelty detectors see of a rollup."""
        return cls(
            start_ms=heard.window_start_ms,
            end_ms=heard.window_end_ms,
            series=_values(heard, least_requests),
            trouble=trouble,
            changes=heard.changes,
            feedback=heard.feedback,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series: its golden signal, its statistic and unit, how a value is told, and from which effect on."""

    signal: str
    unit: str
    is_enough: Effect
    statistic: str = ""
    is_log: bool = False

    def told(self, value: float) -> float:
        """Return a value of the detector in the series' unit."""
        return math.exp(value) if self.is_log else value


def _slower(params: DetectionParams, observed: float, expected: float) -> bool:
    return observed >= params.profiles.ticket.fast.latency_long * expected


def _more_errors(params: DetectionParams, observed: float, expected: float) -> bool:
    least = params.profiles.ticket.fast
    return observed >= least.errors_times * expected and observed >= expected + least.errors_plus


def _other_traffic(params: DetectionParams, observed: float, expected: float) -> bool:
    return observed * params.profiles.ticket.fast.traffic_drop <= expected or observed >= params.traffic.rise * expected


def _fuller(params: DetectionParams, observed: float, expected: float) -> bool:
    return observed >= expected + params.saturation.least_rise


SERIES: Mapping[str, Series] = {
    "latency": Series(signal="latency", unit="ms", is_enough=_slower, statistic="p50", is_log=True),
    "latency_p95": Series(signal="latency", unit="ms", is_enough=_slower, statistic="p95", is_log=True),
    "traffic": Series(signal="traffic", unit="requests/s", is_enough=_other_traffic),
    "errors": Series(signal="errors", unit="ratio", is_enough=_more_errors),
    "saturation": Series(signal="saturation", unit="utilization", is_enough=_fuller),
}
"""By name. Latencies are judged as logarithms, so that a service's slow and fast hours weigh the same."""


def _values(heard: Heard, least_requests: int) -> dict[str, float]:
    """Return the series that have a value; where few requests came, latency and errors have none."""
    if heard.is_silent:
        return {}
    values = {"traffic": heard.traffic.requests_per_second}
    latency = heard.latency
    if heard.traffic.requests >= least_requests:
        values["errors"] = heard.errors.count / heard.traffic.requests
        middle = None if latency is None else latency.p50_ms if latency.p50_ms is not None else latency.mean_ms
        for name, value in (("latency", middle), ("latency_p95", None if latency is None else latency.p95_ms)):
            if value is not None:
                values[name] = math.log(max(value, _LEAST_MS))
    if heard.saturation:
        values["saturation"] = max(usage.mean for usage in heard.saturation.values())
    return {name: value for name, value in values.items() if math.isfinite(value)}
