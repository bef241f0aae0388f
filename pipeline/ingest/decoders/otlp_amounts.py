"""What a point of a named signal becomes: of a counter a raw point, or a delta; of a gauge a level."""

from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from pipeline.contracts.points import Point
from pipeline.contracts.semantic import NamedSignal
from pipeline.ingest.decoders.buckets import check_total
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.levels import named_amount, named_level
from pipeline.ingest.decoders.otlp_parts import attributes_of, recorded, time_ms
from pipeline.ingest.decoders.otlp_points import Measured, interval_ms, series_name
from pipeline.ingest.semantics import Attributes, is_named


def read_amount(harvest: Harvest, measured: Measured[NamedSignal], point: NumberDataPoint) -> None:
    """Take a point of a counter in.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    found = _found(harvest, measured, point)
    if found is None:
        return
    value, attributes = found
    semantics, name, start_ns = measured.semantics, measured.rule.name, point.start_time_unix_nano
    check_total(value, is_cumulative=measured.is_cumulative)
    at_ms = time_ms(semantics.config, point.time_unix_nano, "timeUnixNano", measured.published_ms)
    if measured.is_cumulative:
        series = series_name(measured.metric, sorted(measured.about.items()), sorted(attributes.items()), "amount", name)
    else:
        series = series_name("delta", "amount", name)
    origin = semantics.origin(measured.topic, measured.about)
    covers_ms = 0 if measured.is_cumulative else interval_ms(start_ns, at_ms)
    raw = Point(time_ms=at_ms, start_ms=start_ns // 1_000_000, value=value)
    harvest.readings.append(named_amount(measured.rule, origin, series, raw, covers_ms))


def read_named_level(harvest: Harvest, measured: Measured[NamedSignal], point: NumberDataPoint) -> None:
    """Take in a point of a gauge, or of a sum that goes up and down.

    Raises
    ------
    FieldRefused
        If a field breaks its rule.

    """
    found = _found(harvest, measured, point)
    if found is None:
        return
    semantics = measured.semantics
    at_ms = time_ms(semantics.config, point.time_unix_nano, "timeUnixNano", measured.published_ms)
    harvest.readings.append(named_level(measured.rule, semantics.origin(measured.topic, measured.about), at_ms, found[0]))


def _found(harvest: Harvest, measured: Measured[NamedSignal], point: NumberDataPoint) -> tuple[float, Attributes] | None:
    """Return a point's value and attributes; ``None``: nothing was measured, or it is not of the signal's states."""
    attributes = attributes_of(measured.semantics.config, point.attributes, "attributes")
    value = recorded(point)
    if value is None or not is_named(measured.rule, attributes):
        harvest.n_ignored += 1
        return None
    return value, attributes
