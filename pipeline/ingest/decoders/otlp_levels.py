"""What a data point that says how full something is becomes: a utilization, a usage, or a raw point of a counter of usage."""

from collections.abc import Callable
from typing import NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Reading
from pipeline.contracts.semantic import SaturationMetric
from pipeline.contracts.window_times import LONGEST_INTERVAL_MS
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.levels import About, counted, level_of, resource_name, rule_for
from pipeline.ingest.decoders.otlp_parts import attributes_of, time_ms
from pipeline.ingest.decoders.otlp_points import NO_RECORDED_VALUE, Measured, series_name


def read_level(harvest: Harvest, measured: Measured[SaturationMetric], point: NumberDataPoint) -> None:
    """Take a gauge's point, or one of a sum that goes up and down, in; of a growing sum, as a raw point.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    _take(harvest, measured, point, _counter if measured.is_cumulative else _level)


def read_delta(harvest: Harvest, measured: Measured[SaturationMetric], point: NumberDataPoint) -> None:
    """Take in what a growing sum grew in an interval.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    _take(harvest, measured, point, _delta)


class _Found(NamedTuple):
    """A point's value, what it is about, and the names of its series and of those that are used together with it."""

    config: IngestConfig
    about: About
    names: tuple[str, str]
    start_ms: int
    value: float


def _take(
    harvest: Harvest,
    measured: Measured[SaturationMetric],
    point: NumberDataPoint,
    reading_of: Callable[[_Found], Reading | None],
) -> None:
    value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    found = None
    if not point.flags & NO_RECORDED_VALUE and value == value:  # noqa: PLR0124 - NaN: nothing was measured
        found = _found(measured, point, value)
    reading = None if found is None else reading_of(found)
    if reading is None:
        harvest.n_ignored += 1
    else:
        harvest.readings.append(reading)


def _found(measured: Measured[SaturationMetric], point: NumberDataPoint, value: float) -> _Found | None:
    semantics = measured.semantics
    config = semantics.config
    attributes = attributes_of(config, point.attributes, "attributes")
    found = rule_for(semantics.saturation_rules(measured.metric), attributes)
    if found is None:
        return None
    at_ms = time_ms(config, point.time_unix_nano, "timeUnixNano", measured.published_ms)
    origin = semantics.origin(measured.topic, measured.about)
    about = About(*found, origin, at_ms, resource_name(config, found[0], attributes))
    sender = sorted(measured.about.items())
    series = series_name(measured.metric, sender, sorted(attributes.items()), about.resource)
    together = series_name(measured.metric, sender, about.resource)
    return _Found(config, about, (series, together), point.start_time_unix_nano // 1_000_000, value)


def _level(found: _Found) -> Reading | None:
    return level_of(found.config, found.about, found.value)


def _counter(found: _Found) -> Reading | None:
    return counted(found.config, found.about, found.names, max(found.value, 0), start_ms=found.start_ms)


def _delta(found: _Found) -> Reading | None:
    """Return what was used in an interval; ``None``: it has none, or one that no report has."""
    interval_ms = found.about.at_ms - found.start_ms
    if not 0 < interval_ms <= LONGEST_INTERVAL_MS:
        return None
    return counted(found.config, found.about, found.names, max(found.value, 0), start_ms=found.start_ms, interval_ms=interval_ms)
