"""OTLP histograms of the usual layout, many at once; whatever is not of it is read the slow way, which is the truth.

SDKs and Collectors write a point's fields in the order of their numbers, so points of the same length have the same layout:
they are laid into one matrix, and checked and read by columns. Attributes repeat themselves: their bytes name what they meant
when protobuf parsed them first. A point that any check is not sure of goes to the slow way alone.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
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
    """What an attribute set means; ``about`` is whom partials tell apart: environment, service, version."""

    origin: Origin
    series: str
    meaning: SeriesMeaning
    about: tuple[str, str, str]


class Shared(NamedTuple):
    """What the points of one metric of one sender have in common; what their attribute sets mean, as far as they were met."""

    measured: Measured[RequestMetric]
    known: dict[bytes, Known | None]
    sets: KnownSets


class Layout:
    """Points of the same length, in three columns: bytes, what each has in common with others, its place in the message."""

    __slots__ = ("places", "shared", "values")

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.shared: list[Shared] = []
        self.places: list[int] = []


Waiting = dict[tuple[int, bool, float], Layout]
"""Points by length, temporality and unit."""


def put_aside(waiting: Waiting, shared: Shared, points: Iterable[bytes], place: int) -> None:
    """Let points wait for others of their layout; the first one's place in the message is ``place``."""
    is_cumulative, unit_ms = shared.measured.is_cumulative, shared.measured.unit_ms
    layouts: dict[int, Layout] = {}
    for value in points:
        length = len(value)
        layout = layouts.get(length)
        if layout is None:
            layout = layouts[length] = waiting.setdefault((length, is_cumulative, unit_ms), Layout())
        layout.values.append(value)
        layout.shared.append(shared)
        layout.places.append(place)
        place += 1


def read_points(harvest: Harvest, waiting: Waiting) -> None:
    """Take histogram points in; the order does not matter."""
    for (length, is_cumulative, unit_ms), layout in waiting.items():
        matrix = _matrix(layout.values, length) if len(layout.values) >= MIN_POINTS else None
        if matrix is None:
            left: Iterable[int] = range(len(layout.values))
        else:
            left = _read(harvest, layout, matrix, is_cumulative=is_cumulative, unit_ms=unit_ms)
        for i in left:
            harvest.index = layout.places[i]
            _read_slowly(harvest, layout.shared[i].measured, layout.values[i])


def _read_slowly(harvest: Harvest, measured: Measured[RequestMetric], value: bytes) -> None:
    point = HistogramDataPoint()
    point.ParseFromString(value)
    try:
        read_histogram(harvest, measured, point)
    except FieldRefused as refusal:
        harvest.refuse(refusal)


def _matrix(values: list[bytes], length: int) -> NDArray[np.uint8] | None:
    first = values[0]
    if length < _COUNTS_AT or first[37] % 8 or first[37] >= 0x80 or not first[37]:
        return None
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), length)


def _read(harvest: Harvest, layout: Layout, rows: NDArray[np.uint8], *, is_cumulative: bool, unit_ms: float) -> Iterable[int]:
    """Take those in that are of the usual layout; return which are not."""
    everything = range(len(rows))
    n_counts = int(rows[0, 37]) // 8
    bounds_at = _COUNTS_AT + 8 * n_counts
    end = bounds_at + 2 + 8 * (n_counts - 1)
    if end > rows.shape[1]:
        return everything
    sure = _is_usual(rows, n_counts, bounds_at, end)
    has_last = rows.shape[1] - _LAST >= end and bool((rows[:, -18] == 0x59).all() and (rows[:, -9] == 0x61).all())
    stop = rows.shape[1] - _LAST if has_last else rows.shape[1]
    columns = _columns(rows, bounds_at)
    sure &= _believable(columns, layout.shared[0].measured, is_cumulative=is_cumulative, unit_ms=unit_ms)
    try:
        bounds = bounds_in_ms(tuple(np.frombuffer(layout.values[0], "<f8", n_counts - 1, bounds_at + 2).tolist()), unit_ms)
    except FieldRefused:
        return everything
    key = slice(bounds_at + 2, stop)  # bounds and attributes stand beside each other, and tell which series it is
    knowns: list[Known | None] = [shared.known.get(value[key]) for shared, value in zip(layout.shared, layout.values, strict=True)]
    if None in knowns or not sure.all():
        for i, is_sure in enumerate(sure.tolist()):
            if not is_sure:
                knowns[i] = None
            elif knowns[i] is None:
                knowns[i] = _learnt(layout.shared[i], layout.values[i], key, end, bounds)
    take = _take_cumulative if is_cumulative else _take_deltas
    take(harvest, columns, knowns)
    return [i for i, known in enumerate(knowns) if known is None] if None in knowns else ()


def _is_usual(rows: NDArray[np.uint8], n_counts: int, bounds_at: int, end: int) -> NDArray[np.bool_]:
    """Return which points have each tag where it usually is, and the bounds of the first."""
    marks = [0, 9, 18, 27, 36, 37, bounds_at, bounds_at + 1]
    usual = np.array([*_HEAD, 8 * n_counts, 0x3A, 8 * (n_counts - 1)], np.uint8)
    same: NDArray[np.bool_] = (rows[:, marks] == usual).all(axis=1)
    same &= (rows[:, bounds_at + 2 : end] == rows[0, bounds_at + 2 : end]).all(axis=1)
    return same


def _learnt(shared: Shared, value: bytes, key: slice, attributes_at: int, bounds: tuple[float, ...]) -> Known | None:
    name = value[key]
    if name not in shared.known:
        shared.known[name] = _meaning(shared.measured, value[attributes_at : key.stop], bounds)
        shared.sets.n += 1
    return shared.known[name]


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


def _meaning(measured: Measured[RequestMetric], attribute_bytes: bytes, bounds: tuple[float, ...]) -> Known | None:
    """Return what attributes mean; ``None``: the slow way must say it."""
    point = HistogramDataPoint()
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
    about = (origin.environment, origin.service, origin.version)
    return Known(origin, request_series(measured, attributes, meaning), meaning, about)


Place = tuple[tuple[str, str, str], int, int]
"""((environment, service, version), window's number, window size in ms)."""


def _take_cumulative(harvest: Harvest, columns: _Columns, knowns: list[Known | None]) -> None:
    readings: dict[tuple[tuple[str, str, str], int], PointsReading] = {}
    times_ms = columns.times_ms
    rows = zip(
        knowns,
        ((times_ms - 1) // BASE_SIZE_MS).tolist(),
        map(
            Point,
            times_ms.tolist(),
            columns.starts_ms.tolist(),
            columns.counts.tolist(),
            columns.sums.tolist(),
            columns.buckets.tolist(),
        ),
        strict=True,
    )
    for known, window, point in rows:
        if known is None:
            continue
        origin, series, meaning, about = known
        reading = readings.get((about, window))
        if reading is None:
            reading = readings[about, window] = PointsReading(origin=origin, time_ms=point.time_ms, points=[])
        reading.points.append((series, meaning, point))
    for reading in readings.values():
        harvest.readings.append(msgspec.structs.replace(reading, n=len(reading.points)))
        harvest.n_merged += len(reading.points) - 1


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
        key = ((known.about, window, size_ms), known.series)
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
        harvest.readings.append(PointsReading(origin=origin, time_ms=time_ms, points=points, interval_ms=place[2], n=n))
        harvest.n_merged += n - 1


def _sizes(times_ms: NDArray[np.int64], columns: _Columns) -> NDArray[np.int64]:
    """Return the window size that fits each point's interval, as ``size_for_interval`` does."""
    lengths_ms = np.where(columns.starts == 0, BASE_SIZE_MS, np.maximum(times_ms - columns.starts_ms, 1))
    return np.select(
        [size * 10 >= lengths_ms * 9 for size in SIZES_MS], [np.int64(size) for size in SIZES_MS], np.int64(BASE_SIZE_MS)
    )
