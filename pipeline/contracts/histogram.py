"""Latency distributions that merge exactly in any order: exponential histograms, as OpenTelemetry defines them."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, islice
from math import ceil
from typing import Annotated

import msgspec

MAX_SCALE = 5
"""Base 2^(1/32): a quantile is off by at most (base - 1) / (base + 1) = 1.083 %."""
MIN_SCALE = -10
MAX_BUCKETS = 1024
"""At scale 5 that is a span of 32 octaves; 100 microseconds to 100 seconds needs 20."""

MAX_MIDDLES = 16_384
"""Buckets of a scale whose middles are remembered."""

Count = Annotated[int, msgspec.Meta(ge=0)]


class Histogram(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Counts of values (ms) in exponentially growing buckets.

    Bucket ``i`` covers ``(base^i, base^(i+1)]`` with ``base = 2^(2^-scale)``. Mutable, because ingest adds to it
    once a request; :func:`merged` returns a new one.

    Attributes
    ----------
    scale
        Resolution, in ``[-10, 5]``; merging takes the lower of two.
    zero_count
        Values of exactly 0 ms.
    sum
        Sum of all values, ms.
    counts
        Count by bucket index; never 0; at most 1,024 buckets.
    input_error
        Largest relative error of what was put in (buckets coarser than ours), dimensionless; 1: not bounded.

    Notes
    -----
    Memory O(buckets used); ``add`` O(1) but for a rescale; samples until ready: 1.

    References
    ----------
    .. [1] OpenTelemetry, *Metrics Data Model*, "ExponentialHistogram".

    """

    scale: Annotated[int, msgspec.Meta(ge=MIN_SCALE, le=MAX_SCALE)] = MAX_SCALE
    zero_count: Count = 0
    sum: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    counts: dict[int, Count] = {}
    input_error: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    @property
    def count(self) -> int:
        """How many values it holds."""
        return self.zero_count + sum(self.counts.values())

    @property
    def base(self) -> float:
        """Growth of one bucket, dimensionless, above 1; infinite at the lowest scale, where a float cannot hold it."""
        return _base(self.scale)

    @property
    def relative_error(self) -> float:
        """Bound of a quantile's relative error, dimensionless: the buckets' own, or what came in coarser."""
        return max(_BUCKET_ERRORS[self.scale], self.input_error)

    @property
    def mean(self) -> float | None:
        """Mean value in ms; ``None`` when empty."""
        count = self.count
        return self.sum / count if count else None

    def add(self, value_ms: float, n: int = 1) -> None:
        """Put in ``n`` values of ``value_ms`` (finite, at least 0)."""
        self.sum += value_ms * n
        if value_ms <= 0:
            self.zero_count += n
            return
        index = bucket_index(value_ms, self.scale)
        counts = self.counts
        if index in counts:
            counts[index] += n
        else:
            counts[index] = n
            if len(counts) > MAX_BUCKETS:
                self.scale, self.counts = _fitted(self.scale, counts)

    def absorb(self, other: "Histogram") -> None:
        """Put in all values of another histogram, which stays as it is: :func:`merged`, in place."""
        own, scale = other.counts, self.scale
        if other.scale > scale:
            own = _rescaled(own, other.scale - scale)
        elif other.scale < scale:
            self.counts = _rescaled(self.counts, scale - other.scale)
            self.scale = other.scale
        counts = self.counts
        seen = counts.get
        for index, n in own.items():
            counts[index] = seen(index, 0) + n
        if len(counts) > MAX_BUCKETS:
            self.scale, self.counts = _fitted(self.scale, counts)
        self.zero_count += other.zero_count
        self.sum += other.sum
        self.input_error = max(self.input_error, other.input_error)

    def copied(self) -> "Histogram":
        """Return one that holds the same, and shares nothing."""
        return Histogram(
            scale=self.scale, zero_count=self.zero_count, sum=self.sum, counts=self.counts.copy(), input_error=self.input_error
        )

    def quantiles(self, shares: Sequence[float]) -> list[float | None]:
        """Return the values (ms) below which the given shares of the values lie; ``None`` when empty.

        Parameters
        ----------
        shares
            Ascending, each in ``[0, 1]``.

        Returns
        -------
        list
            One per share: the value of rank ``ceil(share x count)`` (numpy's ``inverted_cdf``), within
            ``relative_error``.

        """
        return self.counted_quantiles(shares)[1]

    def counted_quantiles(self, shares: Sequence[float]) -> tuple[int, list[float | None]]:
        """Return how many values it holds, and :meth:`quantiles` of ascending shares, in one pass."""
        counts = self.counts
        indexes = sorted(counts)
        up_to = list(accumulate(map(counts.__getitem__, indexes), initial=self.zero_count))
        total = up_to[-1]
        if not total:
            return 0, [None] * len(shares)
        middles = _MIDDLES[self.scale]
        found: list[float | None] = []
        at = 0
        for rank in _ranks(total, tuple(shares)):
            at = bisect_left(up_to, rank, at)
            found.append(middles[indexes[at - 1]] if at else 0.0)
        return total, found

    def quantile(self, share: float) -> float | None:
        """Return one quantile; see :meth:`quantiles`."""
        return self.quantiles([share])[0]

    def count_above(self, value_ms: float) -> int:
        """Return how many values lie above ``value_ms``, to the resolution of one bucket."""
        if value_ms <= 0:
            return sum(self.counts.values())
        limit = bucket_index(value_ms, self.scale)
        return sum(n for index, n in self.counts.items() if index > limit)


def bucket_index(value_ms: float, scale: int) -> int:
    """Return the bucket of a positive value: ``base^i < value <= base^(i+1)``.

    Examples
    --------
    >>> bucket_index(1.0, 0), bucket_index(1.5, 0), bucket_index(2.0, 0), bucket_index(2.1, 0)
    (-1, 0, 0, 1)

    """
    mantissa, exponent = math.frexp(value_ms)  # value = mantissa * 2^exponent, mantissa in [0.5, 1)
    if mantissa == 0.5:  # a power of two is the inclusive upper bound of its bucket
        exponent -= 1
        return (exponent << scale) - 1 if scale >= 0 else ((exponent - 1) >> -scale)
    if scale <= 0:
        return (exponent - 1) >> -scale
    return ((exponent - 1) << scale) + math.ceil((math.log2(mantissa) + 1) * (1 << scale)) - 1


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return one histogram that holds the values of all; the order does not matter. A single one is returned itself.

    Examples
    --------
    >>> a, b = Histogram(), Histogram()
    >>> a.add(10.0); b.add(1000.0)
    >>> merged([a, b]).count
    2

    """
    parts = list(histograms)
    if not parts:
        return Histogram()
    first = parts[0]
    if len(parts) == 1:
        return first
    scale, zero_count, input_error = first.scale, 0, 0.0
    for part in parts:
        zero_count += part.zero_count
        scale = min(scale, part.scale)
        input_error = max(input_error, part.input_error)
    counts = first.counts.copy() if first.scale == scale else _rescaled(first.counts, first.scale - scale)
    seen = counts.get
    for part in islice(parts, 1, None):
        own = part.counts if part.scale == scale else _rescaled(part.counts, part.scale - scale)
        for index, n in own.items():
            counts[index] = seen(index, 0) + n
    if len(counts) > MAX_BUCKETS:
        scale, counts = _fitted(scale, counts)
    return Histogram(
        scale=scale,
        zero_count=zero_count,
        sum=math.fsum([part.sum for part in parts]),
        counts=counts,
        input_error=input_error,
    )


def from_exponential(*, scale: int, offset: int, counts: Sequence[int], zero_count: int, total_sum: float | None) -> Histogram:
    """Return the histogram of an OpenTelemetry exponential histogram in ms, no finer than ours is.

    ``total_sum`` ``None``: estimated from the buckets' middles.
    """
    shift = max(0, scale - MAX_SCALE)
    own = _rescaled({offset + i: n for i, n in enumerate(counts) if n}, shift)
    own_scale, own = _fitted(scale - shift, own)
    if total_sum is None:
        total_sum = math.fsum(n * _middle(index, own_scale) for index, n in own.items())
    return Histogram(scale=own_scale, zero_count=zero_count, sum=total_sum, counts=own)


def from_explicit(*, bounds: Sequence[float], counts: Sequence[int], total_sum: float | None) -> Histogram:
    """Return the histogram of explicit bounds (ms, ascending), one count more than bounds.

    A bucket's values are put at its harmonic middle, which halves the relative error; the open last bucket at its
    lower bound. ``input_error`` states the widest bucket that was used; it is 1 (not bounded) when the first bucket,
    which reaches down to 0, or the open last one was. ``total_sum`` ``None``: estimated from these middles.
    """
    histogram = Histogram()
    error = 0.0
    for i, n in enumerate(counts):
        if not n:
            continue
        upper = bounds[i] if i < len(bounds) else math.inf
        lower = max(0.0, bounds[i - 1]) if i else 0.0
        if upper <= 0:
            histogram.zero_count += n
            continue
        if math.isinf(upper):
            middle, error = lower or (total_sum or 0.0) / n, 1.0
        elif lower <= 0:
            middle, error = upper / 2, 1.0
        else:
            middle = 2 * lower * upper / (lower + upper)
            error = max(error, (upper - lower) / (upper + lower))
        histogram.add(middle, n)
    if total_sum is not None:
        histogram.sum = total_sum
    own_error = _bucket_error(histogram.scale)
    histogram.input_error = min(1.0, error + own_error + error * own_error) if error else 0.0
    return histogram


def _base(scale: int) -> float:
    exponent = math.ldexp(1.0, -scale)
    return math.pow(2.0, exponent) if exponent < 1024 else math.inf


def _bucket_error(scale: int) -> float:
    """Return (base - 1) / (base + 1), also for a base that no float can hold."""
    shrink = 1 / _base(scale)
    return (1 - shrink) / (1 + shrink)


_BUCKET_ERRORS = {scale: _bucket_error(scale) for scale in range(MIN_SCALE, MAX_SCALE + 1)}


class _Middles(dict[int, float]):
    """Middles of one scale's buckets, by index. At most ``MAX_MIDDLES`` are remembered."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self._scale = scale

    def __missing__(self, index: int) -> float:
        middle = _harmonic_middle(index, self._scale)
        if len(self) >= MAX_MIDDLES:  # one sender's odd buckets must not keep the others' out for ever
            self.clear()
        self[index] = middle
        return middle


_MIDDLES = {scale: _Middles(scale) for scale in range(MIN_SCALE, MAX_SCALE + 1)}


def _middle(index: int, scale: int) -> float:
    known = _MIDDLES.get(scale)
    return _harmonic_middle(index, scale) if known is None else known[index]  # a sender's scale may be finer than ours are


def _harmonic_middle(index: int, scale: int) -> float:
    """Return the value with the same relative distance to both bounds of a bucket, their harmonic mean.

    Bounds beyond what a float can hold are taken for the nearest that it can.
    """
    exponent = min(max(index * math.ldexp(1.0, -scale), -1074.0), 1022.0)
    return math.pow(2.0, exponent) * (2 / (1 + 1 / _base(scale)))


@lru_cache(maxsize=4_096)
def _ranks(total: int, shares: tuple[float, ...]) -> tuple[int, ...]:
    """Return the rank, from 1, of each share's value among ``total``."""
    return tuple(max(1, ceil(share * total - 1e-9)) for share in shares)


def _rescaled(counts: Mapping[int, int], shift: int) -> dict[int, int]:
    """Return counts at a resolution that is lower by ``shift`` scales."""
    if not shift:
        return dict(counts)
    coarse: dict[int, int] = {}
    for index, n in counts.items():
        at = index >> shift
        coarse[at] = coarse.get(at, 0) + n
    return coarse


def _fitted(scale: int, counts: dict[int, int]) -> tuple[int, dict[int, int]]:
    """Return scale and counts with at most MAX_BUCKETS buckets, halving the resolution as often as it takes."""
    while len(counts) > MAX_BUCKETS and scale > MIN_SCALE:
        scale -= 1
        counts = _rescaled(counts, 1)
    return scale, counts


def from_exponential_in(
    unit_ms: float, *, scale: int, offset: int, counts: Sequence[int], zero_count: int, total_sum: float | None
) -> Histogram:
    """Return the histogram, in ms, of an OpenTelemetry exponential histogram in another unit.

    A factor that is no power of the base moves values across the bounds of buckets, so each bucket's values are put at
    their middle, and ``input_error`` states both errors together. ``total_sum`` is in the other unit.
    """
    if unit_ms == 1.0:
        return from_exponential(scale=scale, offset=offset, counts=counts, zero_count=zero_count, total_sum=total_sum)
    histogram = Histogram(zero_count=zero_count)
    for i, n in enumerate(counts):
        if n:
            histogram.add(_middle(offset + i, scale) * unit_ms, n)
    if total_sum is not None:
        histogram.sum = total_sum * unit_ms
    error, own = _bucket_error(scale), _bucket_error(histogram.scale)
    histogram.input_error = min(1.0, error + own + error * own) if histogram.counts else 0.0
    return histogram
