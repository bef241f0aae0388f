"""OTLP histograms of the usual layout, many at once; whatever is not of it is read the slow way, which is the truth.

SDKs and Collectors write a point's fields in the order of their numbers, so points of the same length have the same layout:
they are laid into one matrix, and checked and read by columns. Attributes repeat themselves: their bytes name what they meant
when protobuf parsed them first. A point that any check is not sure of goes to the slow way alone.
"""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint

from pipeline.contracts.points import Point, SeriesMeaning
from pipeline.contracts.readings import Origin, PointsReading
from pipeline.contracts.semantic import RequestMetric
from pipeline.contracts.window_times import BASE_SIZE_MS, LONGEST_INTERVAL_MS, SIZES_MS
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.buckets import bounds_in_ms
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.latency import MAX_DURATION_MS
from pipeline.ingest.decoders.otlp_parts import attributes_of
from pipeline.ingest.decoders.otlp_points import Asked, Measured, explicit_meaning, read_histogram, request_series
from pipeline.ingest.semantics import KnownSets, first_text, joined
from pipeline.ingest.validation import MAX_COUNT

MIN_POINTS = 8
"""Fewer points of one layout are quicker one by one."""
_HEAD = (0x11, 0x19, 0x21, 0x29, 0x32)
"""Tags of start, time, count, sum and bucket counts: 9 bytes each but the last."""
_COUNTS_AT, _LAST = 38, 18
"""Where the counts begin; how long minimum and maximum are."""
_MAX_EXACT = 2**53


class Known(NamedTuple):
    """What an attribute set means."""

    origin: Origin
    series: str
    meaning: SeriesMeaning


class Waiting(NamedTuple):
    """A point's bytes, its place in the message, and what it has in common with others of its metric."""

    place: int
    value: bytes
    measured: Measured[RequestMetric]
    known: dict[bytes, Known | None]
    sets: KnownSets


def read_points(harvest: Harvest, waiting: list[Waiting]) -> None:
    """Take histogram points in; the order does not matter."""
    by_layout: defaultdict[tuple[int, bool, float], list[Waiting]] = defaultdict(list)
    for one in waiting:
        by_layout[len(one.value), one.measured.is_cumulative, one.measured.unit_ms].append(one)
    for (length, is_cumulative, unit_ms), group in by_layout.items():
        matrix = _matrix(group, length) if len(group) >= MIN_POINTS else None
        left = group if matrix is None else _read(harvest, group, matrix, is_cumulative=is_cumulative, unit_ms=unit_ms)
        for one in left:
            _read_slowly(harvest, one)


def _read_slowly(harvest: Harvest, one: Waiting) -> None:
    harvest.index = one.place
    point = HistogramDataPoint()
    point.ParseFromString(one.value)
    try:
        read_histogram(harvest, one.measured, point)
    except FieldRefused as refusal:
        harvest.refuse(refusal)


def _matrix(group: list[Waiting], length: int) -> NDArray[np.uint8] | None:
    first = group[0].value
    if length < _COUNTS_AT or first[37] % 8 or first[37] >= 0x80 or not first[37]:
        return None
    return np.frombuffer(b"".join([one.value for one in group]), np.uint8).reshape(len(group), length)


def _read(harvest: Harvest, group: list[Waiting], rows: NDArray[np.uint8], *, is_cumulative: bool, unit_ms: float) -> list[Waiting]:
    """Take those in that are of the usual layout; return the others."""
    n_counts = int(rows[0, 37]) // 8
    bounds_at = _COUNTS_AT + 8 * n_counts
    end = bounds_at + 2 + 8 * (n_counts - 1)
    if end > rows.shape[1]:
        return group
    marks = [0, 9, 18, 27, 36, 37, bounds_at, bounds_at + 1]
    usual = np.array([*_HEAD, 8 * n_counts, 0x3A, 8 * (n_counts - 1)], np.uint8)
    sure = (rows[:, marks] == usual).all(axis=1)
    sure &= (rows[:, bounds_at + 2 : end] == rows[0, bounds_at + 2 : end]).all(axis=1)
    has_last = rows.shape[1] - _LAST >= end and bool((rows[:, -18] == 0x59).all() and (rows[:, -9] == 0x61).all())
    columns = _columns(rows, bounds_at)
    sure &= _believable(columns, group[0].measured, is_cumulative=is_cumulative, unit_ms=unit_ms)
    try:
        bounds = bounds_in_ms(tuple(np.frombuffer(group[0].value, "<f8", n_counts - 1, bounds_at + 2).tolist()), unit_ms)
    except FieldRefused:
        return group
    tail = slice(end, rows.shape[1] - _LAST if has_last else rows.shape[1])
    knowns: list[Known | None] = []
    for one, is_sure in zip(group, sure.tolist(), strict=True):
        key = bounds_key(one.value, bounds_at + 2, tail) if is_sure else b""
        known = one.known.get(key) if is_sure else None
        if known is None and is_sure and key not in one.known:
            known = one.known[key] = _meaning(one, one.value[tail], bounds)
            one.sets.n += 1
        knowns.append(known)
    take = _take_cumulative if is_cumulative else _take_deltas
    take(harvest, columns, knowns)
    return [one for one, known in zip(group, knowns, strict=True) if known is None]


def bounds_key(value: bytes, bounds_from: int, tail: slice) -> bytes:
    """Return the bytes that tell which series a point is of: its bounds and its attributes, which follow each other."""
    return value[bounds_from : tail.stop]


class _Columns(NamedTuple):
    starts: NDArray[np.uint64]
    times: NDArray[np.uint64]
    counts: NDArray[np.uint64]
    sums: NDArray[np.float64]
    buckets: NDArray[np.uint64]

    @property
    def times_ms(self) -> NDArray[np.int64]:
        return (self.times // np.uint64(1_000_000)).astype(np.int64)

    @property
    def starts_ms(self) -> NDArray[np.int64]:
        return (self.starts // np.uint64(1_000_000)).astype(np.int64)


def _columns(rows: NDArray[np.uint8], bounds_at: int) -> _Columns:
    def column(at: int, kind: str) -> Any:
        return np.ascontiguousarray(rows[:, at : at + 8]).view(kind)[:, 0]

    buckets = np.ascontiguousarray(rows[:, _COUNTS_AT:bounds_at]).view("<u8")
    return _Columns(column(1, "<u8"), column(10, "<u8"), column(19, "<u8"), column(28, "<f8"), buckets)


def _believable(columns: _Columns, measured: Measured[RequestMetric], *, is_cumulative: bool, unit_ms: float) -> NDArray[np.bool_]:
    """Return which points keep all rules of the slow way; it says what is wrong with the others."""
    config = measured.semantics.config
    times_ms, counts = columns.times_ms, columns.counts
    highest = _MAX_EXACT if is_cumulative else MAX_COUNT
    sure: NDArray[np.bool_] = (
        (counts <= highest) & (columns.buckets.max(axis=1) <= highest) & (columns.buckets.sum(axis=1) == counts)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        sure &= (columns.sums >= 0) & (columns.sums * unit_ms <= MAX_DURATION_MS * np.maximum(counts, 1))
    sure &= (times_ms >= config.earliest_time_ms) & (times_ms <= measured.published_ms + config.max_future_ms)
    if not is_cumulative:
        length_ms = times_ms - columns.starts_ms
        sure &= (columns.starts == 0) | ((length_ms >= 0) & (length_ms <= LONGEST_INTERVAL_MS))
    return sure


def _meaning(one: Waiting, attribute_bytes: bytes, bounds: tuple[float, ...]) -> Known | None:
    """Return what attributes mean; ``None``: the slow way must say it."""
    point = HistogramDataPoint()
    measured = one.measured
    semantics, rule = measured.semantics, measured.rule
    try:
        point.ParseFromString(attribute_bytes)
        if any(field.name != "attributes" for field, _ in point.ListFields()):
            return None
        attributes = attributes_of(semantics.config, point.attributes, "attributes")
        service = first_text(attributes, rule.service) or first_text(measured.about, rule.service) if rule.service else ""
        if rule.service and not service:
            return None
        origin = semantics.origin(measured.topic, measured.about, operation=joined(attributes, rule.operation), service=service)
    except (DecodeError, FieldRefused):
        return None
    asked = Asked(origin, semantics.has_failed(attributes), 0, attributes)
    meaning = explicit_meaning(asked, bounds, measured, has_buckets=True)
    return Known(origin, request_series(measured, attributes, meaning), meaning)


Place = tuple[str, str, str, int, int]
"""(environment, service, version, window's number, window size in ms)."""


def _take_cumulative(harvest: Harvest, columns: _Columns, knowns: list[Known | None]) -> None:
    points: dict[Place, list[tuple[str, SeriesMeaning, Point]]] = {}
    firsts: dict[Place, tuple[Origin, int]] = {}
    times_ms = columns.times_ms.tolist()
    rows = zip(
        knowns,
        times_ms,
        columns.starts_ms.tolist(),
        columns.counts.tolist(),
        columns.sums.tolist(),
        columns.buckets.tolist(),
        strict=True,
    )
    for known, time_ms, start_ms, count, total, buckets in rows:
        if known is None:
            continue
        origin = known.origin
        place = (origin.environment, origin.service, origin.version, (time_ms - 1) // BASE_SIZE_MS, BASE_SIZE_MS)
        if place not in points:
            points[place], firsts[place] = [], (origin, time_ms)
        points[place].append((known.series, known.meaning, Point(time_ms, start_ms, count, total, buckets)))
    for place, own in points.items():
        origin, time_ms = firsts[place]
        harvest.readings.append(PointsReading(origin=origin, time_ms=time_ms, points=own, n=len(own)))
        harvest.n_merged += len(own) - 1


def _take_deltas(harvest: Harvest, columns: _Columns, knowns: list[Known | None]) -> None:
    """Add points of the same meaning and window up before they are kept."""
    times_ms = columns.times_ms
    sizes_ms = _sizes(times_ms, columns)
    codes: list[int] = []
    numbers: dict[tuple[Place, str], int] = {}
    firsts: list[tuple[Known, Place]] = []
    windows = ((times_ms - 1) // sizes_ms).tolist()
    for known, window, size_ms in zip(knowns, windows, sizes_ms.tolist(), strict=True):
        if known is None:
            codes.append(0)
            continue
        origin = known.origin
        key = ((origin.environment, origin.service, origin.version, window, size_ms), known.series)
        code = numbers.get(key)
        if code is None:
            code = numbers[key] = len(numbers) + 1
            firsts.append((known, key[0]))
        codes.append(code)
    n = len(numbers) + 1
    where = np.array(codes)
    buckets = np.zeros((n, columns.buckets.shape[1]), np.int64)
    np.add.at(buckets, where, columns.buckets.astype(np.int64))
    sums = np.bincount(where, weights=columns.sums, minlength=n)
    n_points = np.bincount(where, minlength=n).tolist()
    newest = np.zeros(n, np.int64)
    np.maximum.at(newest, where, times_ms)
    oldest = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(oldest, where, columns.starts_ms)
    _put_deltas(harvest, firsts, buckets, sums.tolist(), n_points, newest.tolist(), oldest.tolist())


def _put_deltas(  # noqa: PLR0917 - columns of one table
    harvest: Harvest,
    firsts: list[tuple[Known, Place]],
    buckets: NDArray[np.int64],
    sums: list[float],
    n_points: list[int],
    newest: list[int],
    oldest: list[int],
) -> None:
    readings: dict[Place, tuple[Origin, int, list[tuple[str, SeriesMeaning, Point]], int]] = {}
    totals, counts = buckets.sum(axis=1).tolist(), buckets.tolist()
    for code, (known, place) in enumerate(firsts, 1):
        point = Point(newest[code], oldest[code], totals[code], sums[code], counts[code])
        origin, time_ms, points, n = readings.get(place) or (known.origin, newest[code], [], 0)
        points.append((known.series, known.meaning, point))
        readings[place] = origin, time_ms, points, n + n_points[code]
    for place, (origin, time_ms, points, n) in readings.items():
        harvest.readings.append(PointsReading(origin=origin, time_ms=time_ms, points=points, interval_ms=place[4], n=n))
        harvest.n_merged += n - 1


def _sizes(times_ms: NDArray[np.int64], columns: _Columns) -> NDArray[np.int64]:
    """Return the window size that fits each point's interval, as ``size_for_interval`` does."""
    lengths_ms = np.where(columns.starts == 0, BASE_SIZE_MS, np.maximum(times_ms - columns.starts_ms, 1))
    return np.select(
        [size * 10 >= lengths_ms * 9 for size in SIZES_MS], [np.int64(size) for size in SIZES_MS], np.int64(BASE_SIZE_MS)
    )
