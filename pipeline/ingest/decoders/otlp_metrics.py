"""OTLP metrics: each data point becomes a reading by the semantic mapping, is refused, or is counted as unmapped."""

from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric, ResourceMetrics

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.contracts.semantic import MS_PER_UNIT, NamedSignal, RequestMetric, SaturationMetric
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.harvest import Harvest, refused_message
from pipeline.ingest.decoders.otlp_amounts import read_amount, read_named_level
from pipeline.ingest.decoders.otlp_levels import read_delta, read_level
from pipeline.ingest.decoders.otlp_limits import too_many_parts
from pipeline.ingest.decoders.otlp_parts import attributes_of, message_of
from pipeline.ingest.decoders.otlp_points import Measured, R, read_counter, read_exponential, read_histogram, read_summary
from pipeline.ingest.decoders.otlp_quick import Shared, Waiting, put_aside, read_points
from pipeline.ingest.decoders.otlp_skeleton import MetricPart, SenderPart, split
from pipeline.ingest.semantics import Attributes, Semantics, semantics_of

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


class _Sender(NamedTuple):
    semantics: Semantics
    topic: str
    published_ms: int
    about: Attributes
    metrics: set[str]


def decode_otlp_metrics(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what an ``ExportMetricsServiceRequest`` holds, in protobuf or JSON."""
    value = record.value or b""
    if value[:1] == b"\n":
        quickly = _read_quickly(config, topic, record.timestamp_ms, value)
        if quickly is not None:
            return quickly
    return decode_slowly(config, topic, record)


def decode_slowly(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return the same, point by point: the truth that the quick way is held against."""
    found = message_of(config, ExportMetricsServiceRequest, record.value or b"")
    if isinstance(found, Decoded):
        return found
    message, rejections = found
    too_many = too_many_parts(
        config, ((len(part.metrics) for part in sender.scope_metrics) for sender in message.resource_metrics), "metrics"
    )
    if too_many is not None:
        return too_many
    n_points = sum(
        _n_points(metric) for sender in message.resource_metrics for part in sender.scope_metrics for metric in part.metrics
    )
    if n_points > config.max_records_per_message:
        detail = f"a message must hold at most {config.max_records_per_message} points, holds {n_points}"
        return refused_message(RejectReason.TOO_MANY_RECORDS, detail)
    harvest, semantics = Harvest(), semantics_of(config)
    harvest.rejections.extend(rejections)
    for sender in message.resource_metrics:
        _gather_sender(harvest, semantics, topic, record.timestamp_ms, sender)
    return harvest.decoded()


def _read_quickly(config: IngestConfig, topic: str, published_ms: int, value: bytes) -> Decoded | None:
    """Return what a message in protobuf holds, its histograms many at once; ``None``: only the slow way can say it."""
    try:
        parts = split(value, config.max_records_per_message)
    except DecodeError:
        return None
    if parts is None or sum(metric.n_points for sender in parts for metric in sender.metrics) > config.max_records_per_message:
        return None
    harvest, semantics = Harvest(), semantics_of(config)
    waiting: Waiting = {}
    for part in parts:
        try:
            about = attributes_of(config, part.resource.attributes, "resource.attributes")
        except FieldRefused as refusal:
            harvest.refuse_rest(refusal, sum(metric.n_points for metric in part.metrics))
            continue
        sender = _Sender(semantics, topic, published_ms, about, {metric.name for metric in part.metrics})
        try:
            for metric in part.metrics:
                if metric.whole is not None or not _put_aside(harvest, waiting, sender, part, metric):
                    _gather_whole(harvest, sender, metric.whole or Metric.FromString(metric.value))
        except DecodeError:
            return None
    try:
        read_points(harvest, waiting)
    except DecodeError:
        return None
    harvest.rejections.sort(key=lambda rejection: rejection.index or 0)
    return harvest.decoded()


def _put_aside(harvest: Harvest, waiting: Waiting, sender: _Sender, part: SenderPart, metric: MetricPart) -> bool:
    """Let the points of a histogram wait for the others of the message; return whether they are known to count."""
    semantics, temporality = sender.semantics, metric.temporality
    rule = semantics.request_rule(metric.name) if semantics.counts_metrics else None
    if rule is None or rule.form != "duration" or rule.yields_to in sender.metrics or temporality not in (DELTA, CUMULATIVE):
        return False
    is_cumulative = temporality == CUMULATIVE
    measured = Measured(
        semantics=semantics,
        topic=sender.topic,
        published_ms=sender.published_ms,
        about=sender.about,
        metric=metric.name,
        rule=rule,
        unit_ms=MS_PER_UNIT.get(metric.unit) or MS_PER_UNIT[rule.unit],
        is_cumulative=is_cumulative,
    )
    known = semantics.known_sets.of((sender.topic, part.resource_bytes, metric.name, metric.unit, is_cumulative))
    put_aside(waiting, Shared(measured, known, semantics.known_sets), metric.points, harvest.index + 1)
    harvest.index += metric.n_points
    return True


def _gather_sender(harvest: Harvest, semantics: Semantics, topic: str, published_ms: int, sender: ResourceMetrics) -> None:
    metrics = [metric for part in sender.scope_metrics for metric in part.metrics]
    try:
        about = attributes_of(semantics.config, sender.resource.attributes, "resource.attributes")
    except FieldRefused as refusal:
        harvest.refuse_rest(refusal, sum(map(_n_points, metrics)))
        return
    common = _Sender(semantics, topic, published_ms, about, {metric.name for metric in metrics})
    for metric in metrics:
        _gather_whole(harvest, common, metric)


def _gather_whole(harvest: Harvest, sender: _Sender, metric: Metric) -> None:
    if not _gather_metric(harvest, sender, metric):
        harvest.ignore(_n_points(metric), metric.name)


def _gather_metric(harvest: Harvest, sender: _Sender, metric: Metric) -> bool:
    """Take the points of a metric in; return whether they mean anything here."""
    kind = metric.WhichOneof("data")
    data = None if kind is None else getattr(metric, kind)
    temporality = getattr(data, "aggregation_temporality", CUMULATIVE)
    if data is None or kind is None or temporality not in (DELTA, CUMULATIVE):
        return False
    semantics = sender.semantics
    rule = semantics.request_rule(metric.name) if semantics.counts_metrics else None
    if rule is not None:
        reader = _REQUEST_READERS.get((rule.form, kind))
        if reader is None or rule.yields_to in sender.metrics or (kind == "sum" and not data.is_monotonic):
            return False
        unit_ms = MS_PER_UNIT.get(metric.unit) or MS_PER_UNIT[rule.unit]
        _gather(harvest, reader, _measured(sender, metric, rule, unit_ms, is_cumulative=temporality == CUMULATIVE), data)
        return True
    named = semantics.named_signal(metric.name)
    if named is not None and _gather_named(harvest, sender, metric, named):
        return True
    levels = semantics.saturation_rules(metric.name)
    return bool(levels) and _gather_levels(harvest, sender, metric, levels[0])


def _gather_named(harvest: Harvest, sender: _Sender, metric: Metric, rule: NamedSignal) -> bool:
    """Take the points of a named signal in; return whether they are of its form: growth of a counter, values of a gauge."""
    kind = metric.WhichOneof("data")
    is_cumulative = kind == "gauge" or metric.sum.aggregation_temporality == CUMULATIVE
    if kind == "sum" and metric.sum.is_monotonic and rule.form == "counter":
        _gather(harvest, read_amount, _measured(sender, metric, rule, 1.0, is_cumulative=is_cumulative), metric.sum)
        return True
    if rule.form == "gauge" and (kind == "gauge" or (kind == "sum" and is_cumulative and not metric.sum.is_monotonic)):
        _gather(harvest, read_named_level, _measured(sender, metric, rule, 1.0, is_cumulative=is_cumulative), getattr(metric, kind))
        return True
    return False


def _gather_levels(harvest: Harvest, sender: _Sender, metric: Metric, rule: SaturationMetric) -> bool:
    """Take the points of a gauge or a sum in; return whether they mean anything: differences of what goes up and down do not."""
    kind = metric.WhichOneof("data")
    if kind not in {"gauge", "sum"}:
        return False
    data = getattr(metric, kind)
    is_counter = kind == "sum" and data.is_monotonic
    is_delta = kind == "sum" and data.aggregation_temporality == DELTA
    if is_delta and not is_counter:
        return False
    read = read_delta if is_delta else read_level
    _gather(harvest, read, _measured(sender, metric, rule, 1.0, is_cumulative=is_counter and not is_delta), data)
    return True


def _measured(sender: _Sender, metric: Metric, rule: R, unit_ms: float, *, is_cumulative: bool) -> Measured[R]:
    return Measured(
        semantics=sender.semantics,
        topic=sender.topic,
        published_ms=sender.published_ms,
        about=sender.about,
        metric=metric.name,
        rule=rule,
        unit_ms=unit_ms,
        is_cumulative=is_cumulative,
    )


def _gather(harvest: Harvest, read: Callable[[Harvest, Measured[R], Any], None], measured: Measured[R], data: Any) -> None:
    for point in data.data_points:
        harvest.index += 1
        try:
            read(harvest, measured, point)
        except FieldRefused as refusal:
            harvest.refuse(refusal)


_REQUEST_READERS: dict[tuple[str, str], Callable[[Harvest, Measured[RequestMetric], Any], None]] = {
    ("duration", "histogram"): read_histogram,
    ("duration", "exponential_histogram"): read_exponential,
    ("duration", "summary"): read_summary,
    ("count", "sum"): read_counter,
}


def _n_points(metric: Metric) -> int:
    kind = metric.WhichOneof("data")
    return 0 if kind is None else len(getattr(metric, kind).data_points)
