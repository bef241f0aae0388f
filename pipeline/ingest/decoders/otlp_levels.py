"""What a data point that says how full something is becomes: a utilization, a usage, or a raw point of a counter of usage."""

from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from pipeline.contracts.points import Point, SeriesMeaning
from pipeline.contracts.readings import PointsReading
from pipeline.contracts.semantic import SaturationMetric
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.levels import level_of, resource_name, usage_role
from pipeline.ingest.decoders.otlp_parts import attributes_of, time_ms
from pipeline.ingest.decoders.otlp_points import NO_RECORDED_VALUE, Measured, series_name


def read_level(harvest: Harvest, measured: Measured[SaturationMetric], point: NumberDataPoint) -> None:
    """Take a gauge's point, or one of a sum that goes up and down, in; of a growing sum, as a raw point.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    rule, semantics = measured.rule, measured.semantics
    value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    if point.flags & NO_RECORDED_VALUE or value != value:  # noqa: PLR0124 - NaN: nothing was measured
        harvest.n_ignored += 1
        return
    attributes = attributes_of(semantics.config, point.attributes, "attributes")
    role = usage_role(rule, attributes)
    if role is None or (measured.is_cumulative and rule.form != "parts"):
        harvest.n_ignored += 1
        return
    at_ms = time_ms(semantics.config, point.time_unix_nano, "timeUnixNano", measured.published_ms)
    origin = semantics.origin(measured.topic, measured.about)
    resource = resource_name(semantics.config, rule, attributes)
    if measured.is_cumulative:
        start_ms = point.start_time_unix_nano // 1_000_000
        identity = series_name(measured.metric, sorted(measured.about.items()), sorted(attributes.items()), resource)
        meaning = SeriesMeaning(role=role, resource=resource)
        raw = Point(time_ms=at_ms, start_ms=start_ms, value=max(value, 0) * rule.factor)
        harvest.readings.append(PointsReading(origin=origin, time_ms=at_ms, points=[(identity, meaning, raw)]))
        return
    harvest.readings.append(level_of(semantics.config, rule, role, origin=origin, at_ms=at_ms, resource=resource, value=value))
