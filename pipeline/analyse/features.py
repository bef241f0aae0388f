"""What detectors see of a window's latencies: mean and variance of their logarithms, and how many are slow."""

import math
from collections.abc import Mapping
from functools import lru_cache
from operator import mul
from typing import NamedTuple

from pipeline.contracts.histogram import Histogram
from pipeline.contracts.signals import Signals

_SMALLEST_MS = 1e-3
_SMALLEST_LOG = math.log(_SMALLEST_MS)
Bounds = tuple[float, float]


class Latencies(NamedTuple):
    """What a histogram says: how many; mean and variance of ln(latency / ms), clipped; how many are slower than a bound."""

    n: int
    mean_log: float
    var_log: float
    n_slower: float


def read_latencies(histogram: Histogram, bounds: Bounds, slow_log: float = math.inf) -> Latencies:
    """Return what a histogram says.

    Parameters
    ----------
    histogram
        Latencies, ms.
    bounds
        Log latencies to which each value is clipped.
    slow_log
        A latency above ``exp(slow_log)`` ms is slow; the bucket that holds this bound is counted in proportion.

    Examples
    --------
    >>> histogram = Histogram()
    >>> histogram.add(100.0, 3)
    >>> found = read_latencies(histogram, (-math.inf, math.inf), math.log(50))
    >>> found.n, round(math.exp(found.mean_log)), round(found.var_log, 6), found.n_slower
    (3, 100, 0.0, 3.0)

    """
    step, counts = _step(histogram.scale), histogram.counts
    n, total, squares, n_slower = 0, 0.0, 0.0, 0.0
    if counts:  # in units of a bucket, from the first bucket's middle
        n = sum(counts.values())
        sums = list(map(mul, counts, counts.values()))
        total, squares = sum(sums), sum(map(mul, sums, counts))
        low, high = bounds[0] / step - 0.5, bounds[1] / step - 0.5
        slow = slow_log / step
        highest = max(counts)
        if highest >= high or min(counts) <= low:
            total, squares = _clipped_sums(counts, low, high)
        if highest >= slow - 1:
            n_slower = _above(counts, slow)
    if histogram.zero_count:
        at = max(_SMALLEST_LOG, bounds[0]) / step - 0.5
        n += histogram.zero_count
        total += histogram.zero_count * at
        squares += histogram.zero_count * at * at
    if not n:
        return Latencies(0, 0.0, 0.0, 0.0)
    mean = total / n
    variance = squares / n - mean * mean
    return Latencies(n, (mean + 0.5) * step, variance * step * step if variance > 0 else 0.0, n_slower)


def _clipped_sums(counts: Mapping[int, int], low: float, high: float) -> tuple[float, float]:
    """Return the sums of buckets and of their squares, each bucket clipped."""
    total, squares = 0.0, 0.0
    for index, count in counts.items():
        at = low if index < low else (high if index > high else index)
        weighted = count * at
        total += weighted
        squares += weighted * at
    return total, squares


def _above(counts: Mapping[int, int], bound: float) -> float:
    """Return how many lie above a bound (in buckets)."""
    index = math.floor(bound)
    at_bound = counts.get(index, 0) * (index + 1 - bound)
    return at_bound + sum([count for i, count in counts.items() if i > index])


@lru_cache(maxsize=32)
def _step(scale: int) -> float:
    """Return the width of a bucket, log latency."""
    return math.log(2.0) * math.pow(2.0, -scale)


def stand_in(signals: Signals) -> float | None:
    """Return the log latency that stands for all requests where there is no histogram: the mean, the median, or the p95."""
    latency = signals.latency
    value = None if latency is None else (latency.mean_ms or latency.p50_ms or latency.p95_ms)
    if value is None or not signals.traffic.requests:
        return None
    return math.log(max(value, _SMALLEST_MS))


def slow_stand_in(signals: Signals) -> float | None:
    """Return the same of a 95th percentile that arrived ready-made; ``None`` where there is none, or a histogram."""
    latency = signals.latency
    if signals.histogram is not None or latency is None or not latency.p95_ms or not signals.traffic.requests:
        return None
    return math.log(max(latency.p95_ms, _SMALLEST_MS))
