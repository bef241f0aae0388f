"""What detectors see of a window's latencies: mean and variance of their logarithms, and how many are slow."""

import math

from pipeline.contracts.histogram import Histogram
from pipeline.contracts.signals import Signals

_SMALLEST_MS = 1e-3


def log_moments(histogram: Histogram, low: float, high: float) -> tuple[int, float, float]:
    """Return (n, mean, variance) of ln(latency / ms) in a histogram, each value clipped to ``[low, high]``.

    Examples
    --------
    >>> histogram = Histogram()
    >>> histogram.add(100.0, 3)
    >>> n, mean, variance = log_moments(histogram, -math.inf, math.inf)
    >>> n, round(math.exp(mean)), round(variance, 6)
    (3, 100, 0.0)

    """
    step = math.log(2.0) * math.pow(2.0, -histogram.scale)
    n, total, squares = 0, 0.0, 0.0
    for index, count in histogram.counts.items():
        value = min(max((index + 0.5) * step, low), high)
        n += count
        total += count * value
        squares += count * value * value
    if histogram.zero_count:
        value = max(math.log(_SMALLEST_MS), low)
        n += histogram.zero_count
        total += histogram.zero_count * value
        squares += histogram.zero_count * value * value
    if not n:
        return 0, 0.0, 0.0
    mean = total / n
    return n, mean, max(squares / n - mean * mean, 0.0)


def n_slower(histogram: Histogram, log_bound: float) -> float:
    """Return how many latencies lie above ``exp(log_bound)`` ms, the bucket that holds it counted in proportion."""
    step = math.log(2.0) * math.pow(2.0, -histogram.scale)
    at = log_bound / step
    index = math.floor(at)
    n = 0.0
    for i, count in histogram.counts.items():
        if i > index:
            n += count
        elif i == index:
            n += count * (index + 1 - at)
    return n


def latency_features(signals: Signals, bounds: tuple[float, float]) -> dict[str, float]:
    """Return the latency features of a window; without a histogram the mean (or median) stands for its requests."""
    histogram, latency = signals.histogram, signals.latency
    if histogram is not None:
        n, mean, variance = log_moments(histogram, *bounds)
        return {"n": float(n), "mean_log": mean, "var_log": variance}
    value = None if latency is None else (latency.mean_ms or latency.p50_ms or latency.p95_ms)
    if latency is None or value is None or not signals.traffic.requests:
        return {"n": 0.0, "mean_log": 0.0, "var_log": 0.0}
    # one number stands for all: what it wanders by is learned as variability, not as sampling error
    return {"n": 1.0, "mean_log": math.log(max(value, _SMALLEST_MS)), "var_log": 0.0}


def slow_features(signals: Signals) -> dict[str, float] | None:
    """Return the same of a 95th percentile that arrived ready-made; ``None`` where there is none, or a histogram."""
    latency = signals.latency
    if signals.histogram is not None or latency is None or not latency.p95_ms or not signals.traffic.requests:
        return None
    return {"n": 1.0, "mean_log": math.log(max(latency.p95_ms, _SMALLEST_MS)), "var_log": 0.0}
