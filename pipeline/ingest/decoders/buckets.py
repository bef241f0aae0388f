"""Which histograms of durations are sound, whoever sends them: counts that add up, bounds that ascend, believable values."""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

from pipeline.contracts.readings import RejectReason
from pipeline.ingest.decoders.latency import HIGHEST_LOG2, LOWEST_LOG2, MAX_BUCKET_COUNTS, MAX_DURATION_MS
from pipeline.ingest.validation import MAX_COUNT, refused

MIN_SCALE, MAX_SCALE = -10, 20
"""OpenTelemetry's range of an exponential histogram's scale."""
MAX_TOTAL = 2**63
"""Of a cumulative series: it may count for years."""


@lru_cache(maxsize=512)
def bounds_in_ms(bounds: tuple[float, ...], unit_ms: float) -> tuple[float, ...]:
    """Return upper bounds in ms.

    Raises
    ------
    FieldRefused
        If they are too many, do not ascend, or are no durations.

    """
    if len(bounds) > MAX_BUCKET_COUNTS:
        raise refused(RejectReason.OUT_OF_RANGE, "explicitBounds", f"must be at most {MAX_BUCKET_COUNTS}", len(bounds))
    scaled = tuple(bound * unit_ms for bound in bounds)
    for i, bound in enumerate(scaled):
        if not 0 <= bound <= MAX_DURATION_MS:  # NaN is neither
            raise refused(RejectReason.OUT_OF_RANGE, f"explicitBounds[{i}]", "must be a duration from 0 to 116 days", bounds[i])
        if i and bound <= scaled[i - 1]:
            raise refused(RejectReason.INCONSISTENT, f"explicitBounds[{i}]", "must be above the one before it", bounds[i])
    return scaled


def check_explicit(counts: Sequence[int], n_bounds: int, count: int) -> None:
    """Check the counts of an explicit histogram; none at all are allowed, when there are no bounds either.

    Raises
    ------
    FieldRefused
        If they are not one more than the bounds, or do not add up to ``count``.

    """
    if not counts and not n_bounds:
        return
    if len(counts) != n_bounds + 1:
        rule = f"must be one more than the {n_bounds} explicitBounds"
        raise refused(RejectReason.INCONSISTENT, "bucketCounts", rule, len(counts))
    _check_sum(sum(counts), count)


def check_exponential(counts: Sequence[int], *, scale: int, offset: int, zero_count: int, count: int, unit_ms: float) -> None:
    """Check an exponential histogram's scale, buckets and counts.

    Raises
    ------
    FieldRefused
        If the scale is none, a used bucket lies where no duration is, or the counts do not add up to ``count``.

    """
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise refused(RejectReason.OUT_OF_RANGE, "scale", f"must be from {MIN_SCALE} to {MAX_SCALE}", scale)
    if len(counts) > MAX_BUCKET_COUNTS:
        raise refused(RejectReason.OUT_OF_RANGE, "positive.bucketCounts", f"must be at most {MAX_BUCKET_COUNTS}", len(counts))
    _check_sum(sum(counts) + zero_count, count)
    used = list(itertools.compress(itertools.count(), counts))
    width, shift = 2.0**-scale, math.log2(unit_ms)
    for i in (used[0], used[-1]) if used else ():
        low, high = (offset + i) * width + shift, (offset + i + 1) * width + shift
        if high <= LOWEST_LOG2 or low >= HIGHEST_LOG2:
            rule = f"must be 0 beyond 2^{LOWEST_LOG2} to 2^{HIGHEST_LOG2} ms, its bucket begins at 2^{low:g} ms"
            raise refused(RejectReason.OUT_OF_RANGE, f"positive.bucketCounts[{i}]", rule, counts[i])


def check_total(count: float, *, is_cumulative: bool) -> None:
    """Check how many a point counts.

    Raises
    ------
    FieldRefused
        If it is negative, or more than can be.

    """
    highest = MAX_TOTAL if is_cumulative else MAX_COUNT
    if not 0 <= count <= highest:
        raise refused(RejectReason.OUT_OF_RANGE, "count", f"must be from 0 to {highest}", count)


def check_sum(total: float, count: float, unit_ms: float) -> None:
    """Check the sum of durations.

    Raises
    ------
    FieldRefused
        If it is not finite, negative, or more than ``count`` durations can come to.

    """
    if not math.isfinite(total):
        raise refused(RejectReason.NOT_FINITE, "sum", "must be a number", total)
    if not 0 <= total * unit_ms <= MAX_DURATION_MS * max(count, 1):
        raise refused(RejectReason.OUT_OF_RANGE, "sum", "must be a sum of durations of up to 116 days each", total)


def _check_sum(total: int, count: int) -> None:
    if total != count:
        raise refused(RejectReason.INCONSISTENT, "bucketCounts", f"must add up to count, {count}", total)
