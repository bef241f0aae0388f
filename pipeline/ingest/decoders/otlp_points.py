"""What a data point that counts or times requests becomes: a summary of its interval (delta), or a raw point (cumulative)."""

from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
    SummaryDataPoint,
)

from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.histogram import Histogram, from_exponential_in
from pipeline.contracts.points import Point, SeriesMeaning
from pipeline.contracts.readings import Origin, PointsReading, RejectReason, SummaryReading
from pipeline.contracts.semantic import NamedSignal, RequestMetric, SaturationMetric
from pipeline.contracts.window_times import BASE_SIZE_MS, LONGEST_INTERVAL_MS
from pipeline.ingest.decoders.buckets import bounds_in_ms, check_explicit, check_exponential, check_sum, check_total
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.otlp_parts import NO_RECORDED_VALUE, attributes_of, number_of, time_ms
from pipeline.ingest.decoders.trace_ids import otlp_exemplars
from pipeline.ingest.semantics import Attributes, Semantics, first_text, joined
from pipeline.ingest.validation import refused

R = TypeVar("R", RequestMetric, SaturationMetric, NamedSignal)
QUANTILE_NAMES = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99"}


class Measured(NamedTuple, Generic[R]):
    """All that the points of one metric of one sender have in common."""

    semantics: Semantics
    topic: str
    published_ms: int
    about: Attributes
    metric: str
    rule: R
    unit_ms: float
    is_cumulative: bool


class Asked(NamedTuple):
    """Whom a point's requests were asked of, with which outcome, and in which series."""

    origin: Origin
    failed: bool
    time_ms: int
    attributes: Attributes


def read_histogram(harvest: Harvest, measured: Measured[RequestMetric], point: HistogramDataPoint) -> None:
    """Take an explicit histogram's point in.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    asked = _asked(harvest, measured, point)
    if asked is None:
        return
    total = point.sum if point.HasField("sum") else None
    bounds = bounds_in_ms(tuple(point.explicit_bounds), measured.unit_ms)
    counts = tuple(point.bucket_counts)
    take_explicit(
        harvest,
        measured,
        asked,
        count=point.count,
        total=total,
        bounds=bounds,
        counts=counts,
        start_ns=point.start_time_unix_nano,
        exemplars=_exemplars(measured, asked, point),
    )


def take_explicit(
    harvest: Harvest,
    measured: Measured[RequestMetric],
    asked: Asked,
    *,
    count: int,
    total: float | None,
    bounds: tuple[float, ...],
    counts: tuple[int, ...],
    start_ns: int,
    exemplars: tuple[Exemplar, ...] = (),
) -> None:
    """Check an explicit histogram, and take it in.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    check_total(count, is_cumulative=measured.is_cumulative)
    check_explicit(counts, len(bounds), count)
    if total is not None:
        check_sum(total, count, measured.unit_ms)
    covers_ms = 0 if measured.is_cumulative else interval_ms(start_ns, asked.time_ms)
    meaning = explicit_meaning(asked, bounds, measured, has_buckets=bool(counts))
    point = Point(asked.time_ms, start_ns // 1_000_000, count, total, counts)
    harvest.readings.append(_points_reading(measured, asked, meaning, point, covers_ms=covers_ms, exemplars=exemplars))


def explicit_meaning(
    asked: Asked, bounds: tuple[float, ...], measured: Measured[RequestMetric], *, has_buckets: bool
) -> SeriesMeaning:
    """Return what an explicit histogram's series adds to."""
    return SeriesMeaning(
        role="latency" if has_buckets else "requests",
        operation=asked.origin.operation,
        failed=asked.failed,
        bounds=bounds,
        unit_ms=measured.unit_ms,
        is_delta=not measured.is_cumulative,
    )


def read_exponential(harvest: Harvest, measured: Measured[RequestMetric], point: ExponentialHistogramDataPoint) -> None:
    """Take an exponential histogram's point in.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    asked = _asked(harvest, measured, point)
    if asked is None:
        return
    if any(point.negative.bucket_counts):
        raise refused(RejectReason.OUT_OF_RANGE, "negative.bucketCounts", "must be 0: durations are not negative", "counts")
    unit_ms, count, scale, offset = measured.unit_ms, point.count, point.scale, point.positive.offset
    counts, total = tuple(point.positive.bucket_counts), point.sum if point.HasField("sum") else None
    check_total(count, is_cumulative=measured.is_cumulative)
    check_exponential(counts, scale=scale, offset=offset, zero_count=point.zero_count, count=count, unit_ms=unit_ms)
    if total is not None:
        check_sum(total, count, unit_ms)
    start_ns, exemplars = point.start_time_unix_nano, _exemplars(measured, asked, point)
    if measured.is_cumulative:
        meaning = SeriesMeaning(role="latency", operation=asked.origin.operation, failed=asked.failed, unit_ms=unit_ms)
        raw = Point(
            time_ms=asked.time_ms,
            start_ms=start_ns // 1_000_000,
            value=count,
            sum=total,
            counts=counts,
            scale=scale,
            offset=offset,
            zero_count=point.zero_count,
        )
        harvest.readings.append(_points_reading(measured, asked, meaning, raw, exemplars=exemplars))
        return
    latency = (
        from_exponential_in(unit_ms, scale=scale, offset=offset, counts=counts, zero_count=point.zero_count, total_sum=total)
        if count
        else None
    )
    harvest.readings.append(_summary(asked, start_ns, count, latency, exemplars))


def read_counter(harvest: Harvest, measured: Measured[RequestMetric], point: NumberDataPoint) -> None:
    """Take a point of a counter of requests in.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    asked = _asked(harvest, measured, point)
    if asked is None:
        return
    value = number_of(point)
    check_total(value, is_cumulative=measured.is_cumulative)
    if measured.is_cumulative:
        meaning = SeriesMeaning(role="requests", operation=asked.origin.operation, failed=asked.failed)
        raw = Point(time_ms=asked.time_ms, start_ms=point.start_time_unix_nano // 1_000_000, value=value)
        harvest.readings.append(_points_reading(measured, asked, meaning, raw))
    else:
        harvest.readings.append(_summary(asked, point.start_time_unix_nano, round(value), None))


def read_summary(harvest: Harvest, measured: Measured[RequestMetric], point: SummaryDataPoint) -> None:
    """Take a summary in: it counts from its start on, and brings its quantiles ready-made.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    asked = _asked(harvest, measured, point)
    if asked is None:
        return
    check_total(point.count, is_cumulative=True)
    check_sum(point.sum, point.count, measured.unit_ms)
    raw = Point(time_ms=asked.time_ms, start_ms=point.start_time_unix_nano // 1_000_000, value=point.count, sum=point.sum)
    counted = SeriesMeaning(role="requests", operation=asked.origin.operation, failed=asked.failed, unit_ms=measured.unit_ms)
    readings = [_points_reading(measured, asked, counted, raw)]
    for quantile in point.quantile_values:
        name = QUANTILE_NAMES.get(quantile.quantile)
        if name is None or quantile.value != quantile.value:
            continue
        check_sum(quantile.value, 1, measured.unit_ms)
        meaning = SeriesMeaning(role="quantile", operation=asked.origin.operation, quantile=name)
        raw = Point(time_ms=asked.time_ms, value=quantile.value * measured.unit_ms)
        readings.append(_points_reading(measured, asked, meaning, raw))
    harvest.readings.extend(readings)


def series_name(metric: str, *parts: object) -> str:
    """Return the name of a series: 16 hex digits that depend on all that tells it from others."""
    return blake2b(repr((metric, parts)).encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _asked(
    harvest: Harvest,
    measured: Measured[RequestMetric],
    point: HistogramDataPoint | ExponentialHistogramDataPoint | NumberDataPoint | SummaryDataPoint,
) -> Asked | None:
    """Return whom a point is about; ``None`` when it counts for nobody (stale, or of a service that it does not name)."""
    semantics, rule = measured.semantics, measured.rule
    if point.flags & NO_RECORDED_VALUE:
        harvest.n_ignored += 1
        return None
    attributes = attributes_of(semantics.config, point.attributes, "attributes")
    service = first_text(attributes, rule.service) or first_text(measured.about, rule.service) if rule.service else ""
    if rule.service and not service:
        harvest.n_ignored += 1
        return None
    return Asked(
        semantics.origin(measured.topic, measured.about, operation=joined(attributes, rule.operation), service=service),
        semantics.has_failed(attributes),
        time_ms(semantics.config, point.time_unix_nano, "timeUnixNano", measured.published_ms),
        attributes,
    )


def _exemplars(
    measured: Measured[RequestMetric], asked: Asked, point: HistogramDataPoint | ExponentialHistogramDataPoint
) -> tuple[Exemplar, ...]:
    if not point.exemplars:
        return ()
    config, unit_ms = measured.semantics.config, measured.unit_ms
    return otlp_exemplars(config, point.exemplars, unit_ms=unit_ms, failed=asked.failed, time_ms=asked.time_ms)


def _summary(
    asked: Asked, start_ns: int, count: int, latency: Histogram | None, exemplars: tuple[Exemplar, ...] = ()
) -> SummaryReading:
    return SummaryReading(
        origin=asked.origin,
        time_ms=asked.time_ms,
        interval_ms=interval_ms(start_ns, asked.time_ms),
        requests=count,
        errors=count if asked.failed else 0,
        latency=latency,
        outcome="failed" if asked.failed else "ok",
        exemplars=exemplars,
    )


def interval_ms(start_ns: int, end_ms: int) -> int:
    """Return the length of a delta's interval; a base window's where its start is not told.

    Raises
    ------
    FieldRefused
        If it ends before it starts, or is longer than any window.

    """
    if not start_ns:
        return BASE_SIZE_MS
    length_ms = end_ms - start_ns // 1_000_000
    if length_ms < 0:
        raise refused(RejectReason.INCONSISTENT, "startTimeUnixNano", "must not be after timeUnixNano", start_ns)
    if length_ms > LONGEST_INTERVAL_MS:
        rule = f"must be at most {LONGEST_INTERVAL_MS} ms before timeUnixNano"
        raise refused(RejectReason.OUT_OF_RANGE, "startTimeUnixNano", rule, start_ns)
    return max(length_ms, 1)


def _points_reading(
    measured: Measured[RequestMetric],
    asked: Asked,
    meaning: SeriesMeaning,
    point: Point,
    *,
    covers_ms: int = 0,
    exemplars: tuple[Exemplar, ...] = (),
) -> PointsReading:
    name = request_series(measured, asked.attributes, meaning)
    points = [(name, meaning, point)]
    return PointsReading(origin=asked.origin, time_ms=asked.time_ms, points=points, interval_ms=covers_ms, exemplars=exemplars)


def request_series(measured: Measured[RequestMetric], attributes: Attributes, meaning: SeriesMeaning) -> str:
    """Return the name of a series of requests; deltas of the same meaning are one series, whoever sends them."""
    if meaning.is_delta:
        return series_name("delta", meaning.role, meaning.operation, meaning.failed, meaning.bounds, meaning.unit_ms)
    about = sorted(measured.about.items())
    return series_name(measured.metric, about, sorted(attributes.items()), meaning.role, meaning.bounds, meaning.quantile)
