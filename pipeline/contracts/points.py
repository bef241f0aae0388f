"""Cumulative series: counters that grow until their sender restarts. Raw points travel; their growth is reckoned later."""

from collections.abc import Mapping, Sequence
from operator import add
from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
Role = Literal["latency", "requests", "bucket", "sum", "quantile", "used", "limit", "part", "amount"]
"""What a series counts: latencies (with their number); requests; of a Prometheus histogram one bucket or the sum of its
values; a quantile, ready-made, which is no counter; units of a resource that are used, that there are, or that are both;
or a named signal's amount."""


class Point(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A series at one moment.

    Attributes
    ----------
    time_ms
        When it was read.
    start_ms
        Since when it counts; 0: unknown.
    value
        How many (of a counter: how much).
    sum
        Of the values counted, in the series' unit; ``None``: not told.
    counts
        Of a histogram: one per bucket, from the first bound, or from bucket ``offset``.
    scale, offset, zero_count
        Of an exponential histogram.

    """

    time_ms: int
    start_ms: int = 0
    value: float = 0
    sum: float | None = None
    counts: Sequence[int] = ()
    scale: int = 0
    offset: int = 0
    zero_count: int = 0


class SeriesMeaning(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a series adds to.

    Attributes
    ----------
    role
        See ``Role``.
    operation
        Of requests.
    failed
        Whether its requests are failed ones.
    bounds
        Of an explicit histogram: upper bounds, ms, ascending; empty: exponential.
    unit_ms
        Milliseconds of one unit of its values.
    group
        Of a Prometheus histogram: which one this is a part of. Of what is used: series that are used by the same one together.
    bound_ms
        Of a bucket: its upper bound in ms, ``None``: none.
    quantile
        Of a quantile: its name, such as ``p99``.
    resource
        What is used; or the signal's name.
    limit
        Of what is used: how much of it there is a second; 0: not known here.
    is_delta
        Each point counts what came since the one before it: points add up, in any order.

    """

    role: Role
    operation: str = ""
    failed: bool = False
    bounds: tuple[float, ...] = ()
    unit_ms: float = 1.0
    group: str = ""
    bound_ms: float | None = None
    quantile: str = ""
    resource: str = ""
    limit: float = 0.0
    is_delta: bool = False


class Series(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Points of one series, in the order in which they came; of deltas their sum, which is one point."""

    meaning: SeriesMeaning
    points: list[Point] = []


def summed(first: Point, second: Point) -> Point:
    """Return the sum of two deltas of the same buckets."""
    total = None if first.sum is None or second.sum is None else first.sum + second.sum
    counts = list(map(add, first.counts, second.counts)) if first.counts and second.counts else first.counts or second.counts
    return Point(
        max(first.time_ms, second.time_ms), min(first.start_ms, second.start_ms), first.value + second.value, total, counts
    )


def merge_series(parts: Sequence[Mapping[str, Series]]) -> dict[str, Series]:
    """Return the points of all parts by series; inputs stay as they are."""
    merged: dict[str, Series] = {}
    for part in parts:
        for name, series in part.items():
            known = merged.get(name)
            if known is None:
                merged[name] = Series(meaning=series.meaning, points=list(series.points))
            else:
                known.points.extend(series.points)
    return merged
