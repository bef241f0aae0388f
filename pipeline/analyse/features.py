"""What detectors see of a window's latencies: mean and variance of their logarithms, and how many are slow."""

import math
from functools import lru_cache

import msgspec

from pipeline.analyse.points import WindowPoint
from pipeline.contracts.histogram import Histogram

_SMALLEST_MS = 1e-3
_SMALLEST_LOG = math.log(_SMALLEST_MS)
_FAR = 1 << 40
"""Beyond every bucket."""
Bounds = tuple[float, float]


class Latencies(msgspec.Struct, frozen=True, gc=False):
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
    step = _step(histogram.scale)
    low, high, slow = bounds[0] / step - 0.5, bounds[1] / step - 0.5, slow_log / step  # in buckets, from a first one's middle
    slow_index = _whole(slow)
    within = squares_within = 0  # whole numbers: of nearly all buckets, which are neither clipped nor slow
    least, most = _whole(low), _whole(high if high < slow_index else slow_index)
    total, squares, n_slower = 0.0, 0.0, 0.0
    counts = histogram.counts
    n = sum(counts.values())
    for index, count in counts.items():
        if least < index < most:
            weighted = count * index
            within += weighted
            squares_within += weighted * index
        else:
            at: float = low if index < low else (high if index > high else index)
            total += count * at
            squares += count * at * at
            if index >= slow_index:
                n_slower += count if index > slow_index else count * (slow_index + 1 - slow)
    total += within
    squares += squares_within
    if histogram.zero_count:
        at = max(_SMALLEST_LOG / step - 0.5, low)
        n += histogram.zero_count
        total += histogram.zero_count * at
        squares += histogram.zero_count * at * at
    if not n:
        return Latencies(0, 0.0, 0.0, 0.0)
    mean = total / n
    variance = squares / n - mean * mean
    return Latencies(n, (mean + 0.5) * step, variance * step * step if variance > 0 else 0.0, n_slower)


def _whole(bucket: float) -> int:
    """Return the bucket below, whole so that it is compared quickly; far outside of all where it is infinite."""
    return math.floor(bucket) if -_FAR < bucket < _FAR else int(math.copysign(_FAR, bucket))


@lru_cache(maxsize=32)
def _step(scale: int) -> float:
    """Return the width of a bucket, log latency."""
    return math.log(2.0) * math.pow(2.0, -scale)


def stand_in(point: WindowPoint) -> float | None:
    """Return the log latency that stands for all requests where there is no histogram: the mean, the median, or the p95."""
    if point.latency is None:
        return None
    _, mean_ms, p50_ms, p95_ms, _ = point.latency
    value = mean_ms or p50_ms or p95_ms
    if value is None or not point.requests:
        return None
    return math.log(max(value, _SMALLEST_MS))


def slow_stand_in(point: WindowPoint) -> float | None:
    """Return the same of a 95th percentile that arrived ready-made; ``None`` where there is none, or a histogram."""
    if point.histogram is not None or point.latency is None or not point.requests:
        return None
    p95_ms = point.latency[3]
    return math.log(max(p95_ms, _SMALLEST_MS)) if p95_ms else None
