"""How much a cumulative series grew from one point to the next: resets, restarts, gaps and doublets included."""

from collections.abc import Iterable, Sequence

import msgspec

from pipeline.contracts.points import Point
from pipeline.contracts.window_times import LONGEST_INTERVAL_MS


def in_order(points: Iterable[Point]) -> list[Point]:
    """Return points by time, one for each moment: of several the one of the latest start that counts most."""
    by_time: dict[int, Point] = {}
    for point in points:
        known = by_time.get(point.time_ms)
        if known is None or (known.start_ms, known.value) < (point.start_ms, point.value):
            by_time[point.time_ms] = point
    return [by_time[time_ms] for time_ms in sorted(by_time)]


def increase(earlier: Point | None, later: Point) -> Point | None:
    """Return what a series counted between two of its points, as a point that counts just that, since then; ``None``: not known.

    A series that began anew (a later start, or less counted than before) has counted since its start all that it shows. So has
    one without an earlier point. Either is believed only when the start is known and not longer ago than the longest
    interval of a report: else years would fall into one window. An earlier point that is older than that is none.

    Examples
    --------
    >>> increase(Point(time_ms=10_000, value=5), Point(time_ms=20_000, value=12)).value
    7
    >>> increase(Point(time_ms=10_000, value=5), Point(time_ms=20_000, value=2)).value
    2
    >>> increase(None, Point(time_ms=20_000, value=12)) is None
    True

    """
    if earlier is not None and later.time_ms - earlier.time_ms > LONGEST_INTERVAL_MS:
        earlier = None
    if earlier is not None and later.start_ms <= earlier.start_ms:
        grown = _difference(earlier, later)
        if grown is not None:
            return grown
    since_ms = later.start_ms or (0 if earlier is None else earlier.time_ms)
    if not since_ms or later.time_ms - since_ms > LONGEST_INTERVAL_MS:
        return None
    return later if later.start_ms else msgspec.structs.replace(later, start_ms=since_ms)


def aligned(points: Sequence[Point]) -> list[Point]:
    """Return exponential histograms at their lowest common scale and offset, with counts of equal length."""
    used = [point for point in points if point.counts]
    if not used:
        return list(points)
    scale = min(point.scale for point in used)
    coarse = [_coarser(point, scale) if point.counts else point for point in points]
    used = [point for point in coarse if point.counts]
    offset = min(point.offset for point in used)
    end = max(point.offset + len(point.counts) for point in used)
    return [_spread(point, scale, offset, end) for point in coarse]


def _difference(earlier: Point, later: Point) -> Point | None:
    """Return later less earlier; ``None`` when anything is less than before."""
    if later.value < earlier.value or later.zero_count < earlier.zero_count:
        return None
    if (earlier.scale, earlier.offset, len(earlier.counts)) != (later.scale, later.offset, len(later.counts)):
        earlier, later = aligned([earlier, later])
    counts = [after - before for before, after in zip(earlier.counts, later.counts, strict=True)]
    if counts and min(counts) < 0:
        return None
    total = None if later.sum is None or earlier.sum is None else max(0.0, later.sum - earlier.sum)
    return msgspec.structs.replace(
        later,
        start_ms=earlier.time_ms,
        value=later.value - earlier.value,
        sum=total,
        counts=counts,
        zero_count=later.zero_count - earlier.zero_count,
    )


def _coarser(point: Point, scale: int) -> Point:
    shift = point.scale - scale
    if not shift:
        return point
    offset = point.offset >> shift
    counts = [0] * (((point.offset + len(point.counts) - 1) >> shift) - offset + 1)
    for i, n in enumerate(point.counts):
        counts[((point.offset + i) >> shift) - offset] += n
    return msgspec.structs.replace(point, scale=scale, offset=offset, counts=counts)


def _spread(point: Point, scale: int, offset: int, end: int) -> Point:
    if not point.counts:
        return msgspec.structs.replace(point, scale=scale, offset=offset, counts=[0] * (end - offset))
    before, after = point.offset - offset, end - point.offset - len(point.counts)
    return msgspec.structs.replace(point, offset=offset, counts=[0] * before + list(point.counts) + [0] * after)
