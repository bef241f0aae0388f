"""OTLP histograms of the usual layout, many at once; whatever is not of it is read the slow way, which is the truth.

SDKs write a point's fields in the order of their numbers, the Collector (0.155) in the reverse order of their declaration, which
is turned round here. So points of the same length have the same layout: they are laid into one matrix, and checked and read by
columns. Attributes repeat themselves: their bytes name what they meant when protobuf parsed them first. A point that any check is
not sure of goes to the slow way alone.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, cast

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
_MAXIMUM, _BOUNDS = 0x61, 0x3A
"""Tags that the Collector begins a point with."""
_EXEMPLARS = b"\x42"
"""Tag of the field that stands between bounds and attributes where a point has exemplars."""
_MAX_EXACT = 2**53
_NS_PER_MS = np.uint64(1_000_000)


class Known(NamedTuple):
    """What an attribute set means; ``about`` is whom partials tell apart: environment, service, version.

    ``code`` stands for ``about`` and the series together.
    """

    origin: Origin
    series: str
    meaning: SeriesMeaning
    about: tuple[str, str, str]
    code: int


class Shared(NamedTuple):
    """What the points of one metric of one sender have in common; what their attribute sets mean, as far as they were met."""

    measured: Measured[RequestMetric]
    known: dict[bytes, Known | None]
    sets: KnownSets


class Layout:
    """Points of the same length: their bytes, their places in the message, and in ``runs`` whose they are, and up to which."""

    __slots__ = ("places", "runs", "values")

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.places: list[int] = []
        self.runs: list[tuple[Shared, int]] = []

    def shared(self, at: int) -> Shared:
        """Return what the point at a place of this layout has in common with others."""
        return next(shared for shared, end in self.runs if at < end)


Waiting = dict[tuple[int, bool, float], Layout]
"""Points by length, temporality and unit."""


def put_aside(waiting: Waiting, shared: Shared, points: Iterable[bytes], place: int) -> None:
    """Let points wait for others of their layout; the first one's place in the message is ``place``."""
    is_cumulative, unit_ms = shared.measured.is_cumulative, shared.measured.unit_ms
    by_length: dict[int, Layout] = {}
    for at, value in enumerate(points, place):
        layout = by_length.get(len(value))
        if layout is None:
            layout = by_length[len(value)] = waiting.setdefault((len(value), is_cumulative, unit_ms), Layout())
        layout.values.append(value)
        layout.places.append(at)
    for layout in by_length.values():
        layout.runs.append((shared, len(layout.values)))


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
            _read_slowly(harvest, layout.shared(i).measured, layout.values[i])


def _read_slowly(harvest: Harvest, measured: Measured[RequestMetric], value: bytes) -> None:
    point = HistogramDataPoint()
    point.ParseFromString(value)
    try:
        read_histogram(harvest, measured, point)
    except FieldRefused as refusal:
        harvest.refuse(refusal)


def _matrix(values: list[bytes], length: int) -> NDArray[np.uint8] | None:
    rows = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), length)
    if length and values[0][0] in (_MAXIMUM, _BOUNDS):
        turned = _turned(rows)
        if turned is None:
            return None
        rows = turned
    if length < _COUNTS_AT or rows[0, 37] % 8 or rows[0, 37] >= 0x80 or not rows[0, 37]:
        return None
    return rows


def _turned(rows: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return points that the Collector wrote in the usual order; ``None``: the first is not of its layout.

    It writes maximum, minimum, bounds, counts, sum, count, time, start, attributes. Whether all are of that layout shows
    afterwards, by the tags: what moved here stands where it should then, or not.
    """
    length = rows.shape[1]
    bounds_at = _LAST if rows[0, 0] == _MAXIMUM else 0
    if length < bounds_at + 2 or rows[0, bounds_at + 1] >= 0x80 or rows[0, bounds_at + 1] % 8:
        return None
    counts_at = bounds_at + 2 + int(rows[0, bounds_at + 1])
    numbers_at = counts_at + 2 + counts_at - bounds_at - 2 + 8  # one count more than bounds
    attributes_at = numbers_at + 36
    if attributes_at > length:
        return None
    return rows.take(_order(length, bounds_at, counts_at, numbers_at, attributes_at), axis=1)


@lru_cache(maxsize=256)
def _order(length: int, bounds_at: int, counts_at: int, numbers_at: int, attributes_at: int) -> NDArray[np.int64]:
    """Return where each byte of the usual order stands in the Collector's."""
    at = np.arange(length)
    numbers = [at[begin : begin + 9] for begin in range(numbers_at + 27, numbers_at - 1, -9)]
    last = [at[9:18], at[:9]] if bounds_at else []
    return np.concatenate([*numbers, at[counts_at:numbers_at], at[bounds_at:counts_at], at[attributes_at:], *last])


def _read(harvest: Harvest, layout: Layout, rows: NDArray[np.uint8], *, is_cumulative: bool, unit_ms: float) -> Iterable[int]:
    """Take those in that are of the usual layout; return which are not."""
    everything = range(len(rows))
    n_counts = int(rows[0, 37]) // 8
    bounds_at = _COUNTS_AT + 8 * n_counts
    end = bounds_at + 2 + 8 * (n_counts - 1)
    if end > rows.shape[1]:
        return everything
    has_last = rows.shape[1] - _LAST >= end and bool((rows[:, -18] == 0x59).all() and (rows[:, -9] == 0x61).all())
    stop = rows.shape[1] - _LAST if has_last else rows.shape[1]
    columns = _columns(rows, n_counts)
    sure = _is_usual(rows, n_counts, bounds_at)
    sure &= _believable(columns, layout.runs[0][0].measured, is_cumulative=is_cumulative, unit_ms=unit_ms)
    key = slice(bounds_at + 2, stop)  # bounds and attributes stand beside each other, and tell which series it is
    knowns = _known(layout.runs, rows[:, key])
    if None in knowns or not sure.all():
        for i, is_sure in enumerate(sure.tolist()):
            if not is_sure:
                knowns[i] = None
            elif knowns[i] is None:
                knowns[i] = _learnt(layout.shared(i), rows[i].tobytes(), key, end)
    take = _take_cumulative if is_cumulative else _take_deltas
    take(harvest, columns, knowns)
    return [i for i, known in enumerate(knowns) if known is None] if None in knowns else ()


def _known(runs: Iterable[tuple[Shared, int]], keys: NDArray[np.uint8]) -> list[Known | None]:
    """Return what each point's key means, as far as it was met."""
    names = cast("list[bytes]", keys.copy().view(np.dtype((np.void, keys.shape[1]))).ravel().tolist())
    knowns: list[Known | None] = []
    begin = 0
    for shared, end in runs:
        knowns += map(shared.known.get, names[begin:end])
        begin = end
    return knowns


def _is_usual(rows: NDArray[np.uint8], n_counts: int, bounds_at: int) -> NDArray[np.bool_]:
    """Return which points have each tag, and each length, where it usually is."""
    usual = np.array([*_HEAD, 8 * n_counts, 0x3A, 8 * (n_counts - 1)], np.uint8)
    same: NDArray[np.bool_] = (rows[:, [0, 9, 18, 27, 36, 37, bounds_at, bounds_at + 1]] == usual).all(axis=1)
    return same


def _learnt(shared: Shared, value: bytes, key: slice, attributes_at: int) -> Known | None:
    if value[attributes_at : attributes_at + 1] == _EXEMPLARS:
        return None  # each is another: read the slow way, and not remembered
    name = value[key]
    if name not in shared.known:
        given = tuple(np.frombuffer(value[key.start : attributes_at], "<f8").tolist())
        try:
            bounds = bounds_in_ms(given, shared.measured.unit_ms)
        except FieldRefused:
            return None
        shared.known[name] = _meaning(shared.measured, value[attributes_at : key.stop], bounds)
        shared.sets.n += 1
    return shared.known[name]


class _Columns(NamedTuple):
    """Times in ms; sums in their own unit; a row of bucket counts each."""

    has_start: NDArray[np.bool_]
    starts_ms: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    buckets: NDArray[np.uint64]


@lru_cache(maxsize=256)
def _layout(length: int, n_counts: int) -> np.dtype[np.void]:
    names = ["start", "time", "count", "sum", "buckets"]
    formats = ["<u8", "<u8", "<u8", "<f8", f"({n_counts},)<u8"]
    return np.dtype({"names": names, "formats": formats, "offsets": [1, 10, 19, 28, _COUNTS_AT], "itemsize": length})


def _columns(rows: NDArray[np.uint8], n_counts: int) -> _Columns:
    points = rows.reshape(-1).view(_layout(rows.shape[1], n_counts))
    starts = points["start"].copy()
    return _Columns(
        starts != 0,
        (starts // _NS_PER_MS).view(np.int64),
        (points["time"].copy() // _NS_PER_MS).view(np.int64),
        points["count"].copy(),
        points["sum"].copy(),
        points["buckets"].copy(),
    )


def _believable(columns: _Columns, measured: Measured[RequestMetric], *, is_cumulative: bool, unit_ms: float) -> NDArray[np.bool_]:
    """Return which points keep all rules of the slow way; it says what is wrong with the others."""
    config = measured.semantics.config
    times_ms, counts = columns.times_ms, columns.counts
    highest = _MAX_EXACT if is_cumulative else MAX_COUNT
    sure: NDArray[np.bool_] = (counts <= highest) & (columns.buckets.sum(axis=1) == counts)
    if columns.buckets.max() > highest:  # their sum may be none, then
        sure &= columns.buckets.max(axis=1) <= highest
    with np.errstate(invalid="ignore", over="ignore"):
        sure &= (columns.sums >= 0) & (columns.sums * unit_ms <= MAX_DURATION_MS * np.maximum(counts, 1))
    earliest_ms = max(config.earliest_time_ms, measured.published_ms - config.max_past_ms)
    sure &= (times_ms >= earliest_ms) & (times_ms <= measured.published_ms + config.max_future_ms)
    if not is_cumulative:
        length_ms = times_ms - columns.starts_ms
        sure &= ~columns.has_start | ((length_ms >= 0) & (length_ms <= LONGEST_INTERVAL_MS))
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
    series = request_series(measured, attributes, meaning)
    return Known(origin, series, meaning, about, measured.semantics.known_sets.code((about, series)))


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
    last_about: tuple[str, str, str] | None = None
    last_window = 0
    points: list[tuple[str, SeriesMeaning, Point]] = []
    for known, window, point in rows:
        if known is None:
            continue
        origin, series, meaning, about, _ = known
        if window != last_window or about != last_about:  # points of one sender stand beside each other
            last_about, last_window = about, window
            reading = readings.get((about, window))
            if reading is None:
                reading = readings[about, window] = PointsReading(origin=origin, time_ms=point.time_ms, points=[])
            points = reading.points
        points.append((series, meaning, point))
    for reading in readings.values():
        harvest.readings.append(msgspec.structs.replace(reading, n=len(reading.points)))
        harvest.n_merged += len(reading.points) - 1


def _take_deltas(harvest: Harvest, columns: _Columns, knowns: list[Known | None]) -> None:
    """Add points of the same meaning and window up before they are kept."""
    codes = np.array([-1 if known is None else known.code for known in knowns])
    rows = np.flatnonzero(codes >= 0)
    if not len(rows):
        return
    codes = codes[rows]
    times_ms, sizes_ms = columns.times_ms[rows], _sizes(columns)[rows]
    windows = (times_ms - 1) // sizes_ms
    is_one_window = bool((windows == windows[0]).all() and (sizes_ms == sizes_ms[0]).all())
    order = np.argsort(codes, kind="stable") if is_one_window else np.lexsort((codes, windows, sizes_ms))
    keys = np.stack([codes[order], windows[order], sizes_ms[order]])
    begins = np.flatnonzero(np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(axis=0)]))
    rows = rows[order]
    buckets = np.add.reduceat(columns.buckets[rows], begins, axis=0)
    points = map(
        Point,
        np.maximum.reduceat(columns.times_ms[rows], begins).tolist(),
        np.minimum.reduceat(columns.starts_ms[rows], begins).tolist(),
        buckets.sum(axis=1).tolist(),
        np.add.reduceat(columns.sums[rows], begins).tolist(),
        buckets.tolist(),
    )
    n_points = np.diff(begins, append=len(rows)).tolist()
    places = zip(rows[begins].tolist(), keys[1, begins].tolist(), keys[2, begins].tolist(), points, n_points, strict=True)
    readings: dict[Place, PointsReading] = {}
    n_in: dict[Place, int] = {}
    for row, window, size_ms, point, n in places:
        known = knowns[row]
        if known is None:
            continue
        place = (known.about, window, size_ms)
        reading = readings.get(place)
        if reading is None:
            reading = PointsReading(origin=known.origin, time_ms=point.time_ms, points=[], interval_ms=size_ms)
            readings[place], n_in[place] = reading, 0
        reading.points.append((known.series, known.meaning, point))
        n_in[place] += n
    for place, reading in readings.items():
        harvest.readings.append(msgspec.structs.replace(reading, n=n_in[place]))
        harvest.n_merged += n_in[place] - 1


def _sizes(columns: _Columns) -> NDArray[np.int64]:
    """Return the window size that fits each point's interval, as ``size_for_interval`` does."""
    lengths_ms = np.where(columns.has_start, np.maximum(columns.times_ms - columns.starts_ms, 1), BASE_SIZE_MS)
    if lengths_ms.max() * 9 <= BASE_SIZE_MS * 10:
        return np.full(len(lengths_ms), BASE_SIZE_MS)
    return np.select(
        [size * 10 >= lengths_ms * 9 for size in SIZES_MS], [np.int64(size) for size in SIZES_MS], np.int64(BASE_SIZE_MS)
    )
