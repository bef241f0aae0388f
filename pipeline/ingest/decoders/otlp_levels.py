"""What a data point that says how full something is becomes: a utilization, a usage, or a raw point of a counter of usage."""

from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from pipeline.contracts.readings import Reading
from pipeline.contracts.semantic import SaturationMetric
from pipeline.contracts.window_times import LONGEST_INTERVAL_MS
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.levels import About, counted, level_of, resource_name, rule_for
from pipeline.ingest.decoders.otlp_parts import attributes_of, recorded, time_ms
from pipeline.ingest.decoders.otlp_points import Measured, series_name


def read_level(harvest: Harvest, measured: Measured[SaturationMetric], point: NumberDataPoint) -> None:
    """Take a gauge's point, or one of a sum that goes up and down, in; of a growing sum, as a raw point.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    _take(harvest, measured, point, is_delta=False)


def read_delta(harvest: Harvest, measured: Measured[SaturationMetric], point: NumberDataPoint) -> None:
    """Take in what a growing sum grew in an interval.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    _take(harvest, measured, point, is_delta=True)


def _take(harvest: Harvest, measured: Measured[SaturationMetric], point: NumberDataPoint, *, is_delta: bool) -> None:
    value = recorded(point)
    reading = None if value is None else _reading(measured, point, value, is_delta=is_delta)
    if reading is None:
        harvest.n_ignored += 1
    else:
        harvest.readings.append(reading)


def _reading(measured: Measured[SaturationMetric], point: NumberDataPoint, value: float, *, is_delta: bool) -> Reading | None:
    """Return a value's reading; ``None``: it does not count, or is a delta of no interval, or of one that no report has."""
    semantics = measured.semantics
    config = semantics.config
    attributes = attributes_of(config, point.attributes, "attributes")
    found = rule_for(semantics.saturation_rules(measured.metric), attributes)
    if found is None:
        return None
    at_ms = time_ms(config, point.time_unix_nano, "timeUnixNano", measured.published_ms)
    origin = semantics.origin(measured.topic, measured.about)
    about = About(*found, origin, at_ms, resource_name(config, found[0], attributes))
    if not is_delta and not measured.is_cumulative:
        return level_of(config, about, value)
    start_ms = point.start_time_unix_nano // 1_000_000
    interval_ms = at_ms - start_ms if is_delta else 0
    if is_delta and not 0 < interval_ms <= LONGEST_INTERVAL_MS:
        return None
    sender = sorted(measured.about.items())
    series = series_name(measured.metric, sender, sorted(attributes.items()), about.resource)
    names = series, series_name(measured.metric, sender, about.resource)
    return counted(config, about, names, value, start_ms=start_ms, interval_ms=interval_ms)
