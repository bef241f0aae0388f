"""Latencies of many histograms added at once: the same buckets, counts and sums, to the bit, as one after the other."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipeline.contracts.histogram import MAX_BUCKETS, MAX_SCALE, Histogram, bucket_index

_count_in = cast(Callable[[dict[int, int], list[int]], None], Counter.update)
"""Counts a list's elements into any dict, in C, new keys in order of appearance."""
_NEAR = 1e-6
"""So near to a bucket's bound numpy's logarithm does not decide: it may differ from math's by some 1e-15."""
_N_SHORT = 65_536


def add_all(histograms: Sequence[Histogram], which: NDArray[np.int64], values_ms: NDArray[np.float64]) -> None:
    """Add each value (ms, finite, at least 0) to the histogram that stands beside it, in order.

    Parameters
    ----------
    histograms
        Each one once.
    which
        Index of a histogram, one a value.
    values_ms
        The values.

    """
    n_each = np.bincount(which, minlength=len(histograms))
    sums = _sums(histograms, which, values_ms)
    order = stable_order(which, len(histograms))
    ordered = values_ms[order]
    positive = ordered > 0.0
    buckets = _buckets(ordered, positive)
    stops = np.cumsum(n_each).tolist()
    has_zeros = not bool(positive.all())
    listed = buckets.tolist()
    start = 0
    for histogram, total, stop in zip(histograms, sums, stops, strict=True):
        if stop > start:
            if histogram.scale != MAX_SCALE or len(histogram.counts) + stop - start > MAX_BUCKETS:
                for value_ms in ordered[start:stop].tolist():  # it may have to be made coarser on the way
                    histogram.add(value_ms)
            else:
                own = listed[start:stop]
                if has_zeros:
                    is_positive = positive[start:stop]
                    histogram.zero_count += int(np.count_nonzero(~is_positive))
                    own = buckets[start:stop][is_positive].tolist()
                _count_in(histogram.counts, own)
                histogram.sum = total
            start = stop


def stable_order(keys: NDArray[np.int64], n_keys: int) -> NDArray[np.int64]:
    """Return the indexes that sort keys in ``[0, n_keys)``, equal ones in their order; 16 bits are sorted by radix."""
    return np.argsort(keys.astype(np.uint16) if n_keys <= _N_SHORT else keys, kind="stable")


def _sums(histograms: Sequence[Histogram], which: NDArray[np.int64], values_ms: NDArray[np.float64]) -> list[float]:
    """Return each histogram's sum with its values added one after the other, as float addition is not associative."""
    so_far = np.array([histogram.sum for histogram in histograms], np.float64)
    at = np.concatenate((np.arange(len(histograms)), which))
    return cast(list[float], np.bincount(at, weights=np.concatenate((so_far, values_ms))).tolist())


def _buckets(values_ms: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the bucket of each positive value at the finest scale; of others anything."""
    mantissa, exponent = np.frexp(np.where(positive, values_ms, 1.0))
    steps = (np.log2(mantissa) + 1.0) * (1 << MAX_SCALE)
    above = np.ceil(steps)
    buckets = ((exponent.astype(np.int64) - 1) << MAX_SCALE) + above.astype(np.int64) - 1
    near = np.flatnonzero((np.abs(steps - np.rint(steps)) < _NEAR) & positive)
    if len(near):
        values, back = np.unique(values_ms[near], return_inverse=True)
        exact = [bucket_index(value_ms, MAX_SCALE) for value_ms in values.tolist()]
        buckets[near] = np.array(exact, np.int64)[back]
    return buckets
