"""The order of protobuf's fields is free: SDKs write them ascending, the OpenTelemetry Collector descending."""

import random
from collections import Counter

import msgspec
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.field_order import from_last_to_first
from benchmarks.fuzz_samples import NOW_MS, samples
from benchmarks.otlp import T0_MS, metrics
from pipeline.contracts.readings import PointsReading
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.ingest.decoders.detect import format_of
from tests.senders.arrived import config_for

KINDS = {
    "otlp_metrics": ExportMetricsServiceRequest,
    "otlp_logs": ExportLogsServiceRequest,
    "otlp_spans": ExportTraceServiceRequest,
}
TOPIC = "telemetry.metrics"


def said(decoder: str, value: bytes, at_ms: int) -> list[bytes]:
    """Return the readings of a message, in an order that does not depend on that of its fields."""
    found = decode(config_for(decoder), TOPIC, InRecord(0, at_ms, None, value))
    assert found.rejections == []
    return sorted(msgspec.json.encode([type(reading).__name__, reading]) for reading in found.readings)


@pytest.mark.parametrize("decoder", KINDS)
def test_the_order_of_fields_is_free(decoder: str) -> None:
    ascending = samples()[decoder][0]
    descending = from_last_to_first(KINDS[decoder].FromString(ascending))

    assert ascending != descending
    assert KINDS[decoder].FromString(descending) == KINDS[decoder].FromString(ascending)
    assert format_of(descending) == format_of(ascending) == decoder
    assert said(decoder, descending, NOW_MS) == said(decoder, ascending, NOW_MS) != []


@pytest.mark.parametrize("cumulative", [False, True])
def test_many_points_of_one_layout_mean_the_same_in_either_order(cumulative: bool) -> None:
    ascending = metrics(random.Random(6), 0, cumulative=cumulative)
    descending = from_last_to_first(ExportMetricsServiceRequest.FromString(ascending))

    first, second = (counted(value) for value in (ascending, descending))

    assert first == second
    assert sum(first.values()) > 0


def counted(value: bytes) -> Counter[str]:
    """Return what the series of a message count, whether the quick way put them together or not."""
    found: Counter[str] = Counter()
    for reading in decode(config_for("otlp_metrics"), TOPIC, InRecord(0, T0_MS, None, value)).readings:
        assert isinstance(reading, PointsReading)
        for series, _, point in reading.points:
            found[series] += point.value
    return found
