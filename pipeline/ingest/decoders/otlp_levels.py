"""What a data point that says how full something is becomes: a utilization, a usage, or a raw point of a counter of usage."""

from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from pipeline.contracts.readings import Reading
from pipeline.contracts.semantic import SaturationMetric
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.levels import About, counted, level_of, resource_name, rule_for
from pipeline.ingest.decoders.otlp_parts import attributes_of, time_ms
from pipeline.ingest.decoders.otlp_points import NO_RECORDED_VALUE, Measured, series_name
from pipeline.ingest.semantics import Attributes


def read_level(harvest: Harvest, measured: Measured[SaturationMetric], point: NumberDataPoint) -> None:
    """Take a gauge's point, or one of a sum that goes up and down, in; of a growing sum, as a raw point.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    semantics = measured.semantics
    value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    if point.flags & NO_RECORDED_VALUE or value != value:  # noqa: PLR0124 - NaN: nothing was measured
        harvest.n_ignored += 1
        return
    reading = _reading(measured, point, attributes_of(semantics.config, point.attributes, "attributes"), value)
    if reading is None:
        harvest.n_ignored += 1
    else:
        harvest.readings.append(reading)


def _reading(measured: Measured[SaturationMetric], point: NumberDataPoint, attributes: Attributes, value: float) -> Reading | None:
    semantics = measured.semantics
    found = rule_for(semantics.saturation_rules(measured.metric), attributes)
    if found is None:
        return None
    at_ms = time_ms(semantics.config, point.time_unix_nano, "timeUnixNano", measured.published_ms)
    origin = semantics.origin(measured.topic, measured.about)
    about = About(*found, origin, at_ms, resource_name(semantics.config, found[0], attributes))
    if not measured.is_cumulative:
        return level_of(semantics.config, about, value)
    sender = sorted(measured.about.items())
    series = series_name(measured.metric, sender, sorted(attributes.items()), about.resource)
    together = series_name(measured.metric, sender, about.resource)
    start_ms = point.start_time_unix_nano // 1_000_000
    return counted(semantics.config, about, (series, together), max(value, 0), start_ms=start_ms)
