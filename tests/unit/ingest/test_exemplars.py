"""Trace ids of every format become exemplars; what is no trace id refuses nothing."""

import json
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.fuzz_samples import NOW_MS, NOW_NS
from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.partials import Partial
from pipeline.contracts.records import InRecord, InRecords
from pipeline.ingest.decoders import decode, decode_run
from pipeline.ingest.decoders.otlp_metrics import decode_slowly
from pipeline.ingest.decoders.request_columns import SeriesIndex
from pipeline.ingest.reduce_columns import ChunkFold
from pipeline.settings import load_settings
from tests.formats_world import as_json, key_values

TOPIC = "telemetry.metrics"
BASE = load_settings(env={}).ingest
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACE_BYTES = bytes.fromhex(TRACE)


def folded(decoder: str, *values: bytes, **changes: object) -> list[Partial]:
    config = replace(BASE, decoders={TOPIC: decoder}, **changes)
    records = InRecords.of([InRecord(i, NOW_MS, None, value) for i, value in enumerate(values)])
    index = SeriesIndex(config.max_text_length)
    run = decode_run(config, TOPIC, records, index)
    assert run.refused == []
    fold = ChunkFold(config, index)
    fold.add(run.requests, run.others)
    return list(fold.partials.values())


def native(**fields: object) -> bytes:
    return json.dumps({"kind": "request", "service": "shop", "time": NOW_MS, "duration_ms": 5, "status": 200} | fields).encode()


def spans(n: int = 1) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    sender = message.resource_spans.add()
    sender.resource.attributes.extend(key_values({"service.name": "shop"}))
    scope = sender.scope_spans.add()
    for i in range(n):
        scope.spans.add(
            kind=2, trace_id=bytes([i + 1] * 16), start_time_unix_nano=NOW_NS - (i + 1) * 10**6, end_time_unix_nano=NOW_NS
        )
    return message


def histogram(*, cumulative: bool, n: int = 1) -> ExportMetricsServiceRequest:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(key_values({"service.name": "shop"}))
    metric = sender.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
    metric.histogram.aggregation_temporality = 2 if cumulative else 1
    for i in range(n):
        point = metric.histogram.data_points.add(
            start_time_unix_nano=NOW_NS - 10**10,
            time_unix_nano=NOW_NS,
            count=3,
            sum=1.5,
            bucket_counts=[1, 2],
            explicit_bounds=[0.25],
        )
        point.attributes.extend(key_values({"http.route": "/a", "http.response.status_code": 500 if i % 2 else 200}))
        point.exemplars.add(trace_id=TRACE_BYTES, span_id=b"12345678", as_double=0.5 + i, time_unix_nano=NOW_NS - 10**9)
    return message


def test_a_native_request_with_a_trace_id_is_an_exemplar_and_one_without_is_read_as_a_column() -> None:
    (partial,) = folded("native", native(), native(trace_id=TRACE, duration_ms=7), native(status=500, trace_id="ab"))

    assert partial.exemplars == [
        Exemplar(trace_id=TRACE, time_ms=NOW_MS, value_ms=7.0),
        Exemplar(trace_id="ab", time_ms=NOW_MS, value_ms=5.0, failed=True),
    ]
    assert partial.readings == 3


@pytest.mark.parametrize("trace_id", [7, None, "", "<script>", "0" * 32, "a" * 65, {"a": 1}])
def test_what_is_no_trace_id_refuses_nothing(trace_id: object) -> None:
    (partial,) = folded("native", native(trace_id=trace_id))

    assert (partial.readings, partial.exemplars) == (1, [])


def test_none_is_kept_where_the_configuration_says_so() -> None:
    (partial,) = folded("native", native(trace_id=TRACE), max_exemplars=0)

    assert (partial.readings, partial.exemplars) == (1, [])


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_the_slowest_spans_are_exemplars(form: str) -> None:
    message = spans(10).SerializeToString()
    value = message if form == "protobuf" else as_json([(NOW_MS, message)], ExportTraceServiceRequest)[0][1]

    (partial,) = folded("otlp_spans", value)

    assert [exemplar.trace_id[:2] for exemplar in partial.exemplars] == ["0a", "09", "08"]
    assert [exemplar.value_ms for exemplar in partial.exemplars] == [10.0, 9.0, 8.0]


@pytest.mark.parametrize("cumulative", [True, False])
def test_a_histograms_exemplars_are_kept_and_both_ways_read_them_alike(cumulative: bool) -> None:
    value = histogram(cumulative=cumulative, n=20).SerializeToString()

    (partial,) = folded("otlp_metrics", value)

    at_ms = NOW_MS - 1_000
    assert partial.exemplars[:2] == [
        Exemplar(trace_id=TRACE, time_ms=at_ms, value_ms=19_500.0, failed=True),
        Exemplar(trace_id=TRACE, time_ms=at_ms, value_ms=18_500.0),
    ]
    config = replace(BASE, decoders={TOPIC: "otlp_metrics"})
    record = InRecord(0, NOW_MS, None, value)
    assert decode(config, TOPIC, record).readings == decode_slowly(config, TOPIC, record).readings


def test_failed_log_records_are_exemplars_and_others_are_not() -> None:
    message = ExportLogsServiceRequest()
    sender = message.resource_logs.add()
    sender.resource.attributes.extend(key_values({"service.name": "shop"}))
    scope = sender.scope_logs.add()
    for severity in (9, 17):
        scope.log_records.add(time_unix_nano=NOW_NS, severity_number=severity, trace_id=bytes([severity] * 16))

    (partial,) = folded("otlp_logs", message.SerializeToString())

    assert partial.exemplars == [Exemplar(trace_id="11" * 16, time_ms=NOW_MS, failed=True)]


def test_a_json_line_with_a_trace_id_is_an_exemplar() -> None:
    line = json.dumps({"service": "shop", "level": "error", "message": "x", "trace_id": TRACE}).encode()

    (partial,) = folded("json_logs", line)

    assert [exemplar.trace_id for exemplar in partial.exemplars] == [TRACE]
