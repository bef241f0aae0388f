"""An OTLP message is bounded in all that is walked over, also where there is no record in it."""

import json
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.fuzz_memory import traced_peak
from benchmarks.fuzz_samples import HUGE, LARGEST, samples
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.ingest.decoders.otlp_limits import too_many_objects
from tests.formats_world import SETTINGS, T0

MOST = 5
TOPIC = "telemetry.metrics"
KINDS = {
    "otlp_metrics": (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
    "otlp_logs": (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
    "otlp_spans": (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
}
JSON_NAMES = {"otlp_metrics": ("Metrics", "metrics"), "otlp_logs": ("Logs", "logRecords"), "otlp_spans": ("Spans", "spans")}


def config_for(decoder: str, most: int = MOST) -> IngestConfig:
    return replace(SETTINGS.ingest, decoders={TOPIC: decoder}, max_records_per_message=most)


def decoded(decoder: str, value: bytes, most: int = MOST) -> Decoded:
    return decode(config_for(decoder, most), TOPIC, InRecord(0, T0, None, value))


def message(decoder: str, n_senders: int, n_scopes: int, n_items: int) -> bytes:
    """Return a message of empty parts: so many senders, so many scopes in the last, so many items in its last."""
    kind, senders, scopes, items = KINDS[decoder]
    made = kind()
    for _ in range(n_senders):
        sender = getattr(made, senders).add()
        sender.resource.SetInParent()
    for _ in range(n_scopes):
        scope = getattr(sender, scopes).add()
    for _ in range(n_items):
        getattr(scope, items).add()
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("decoder", KINDS)
@pytest.mark.parametrize("sizes", [(MOST + 1, 1, 1), (1, MOST + 1, 1), (1, 1, MOST + 1)], ids=["resources", "scopes", "items"])
def test_more_empty_parts_than_a_message_may_hold_are_refused_whole(decoder: str, sizes: tuple[int, int, int]) -> None:
    found = decoded(decoder, message(decoder, *sizes))

    assert [rejection.reason for rejection in found.rejections] == [RejectReason.TOO_MANY_RECORDS]
    assert f"at most {MOST} " in found.rejections[0].detail
    assert found.rejections[0].detail.endswith(f"holds {MOST + 1}")


@pytest.mark.parametrize("decoder", KINDS)
def test_as_many_parts_as_a_message_may_hold_are_read(decoder: str) -> None:
    found = decoded(decoder, message(decoder, MOST, MOST, MOST))

    assert RejectReason.TOO_MANY_RECORDS not in {rejection.reason for rejection in found.rejections}


@pytest.mark.parametrize("decoder", KINDS)
def test_json_of_more_objects_than_a_message_may_hold_is_refused_whole(decoder: str) -> None:
    name, _ = JSON_NAMES[decoder]
    value = json.dumps({f"resource{name}": [{"resource": {"attributes": [{}] * (10 * MOST)}}]}).encode()

    found = decoded(decoder, value)

    assert [rejection.reason for rejection in found.rejections] == [RejectReason.TOO_MANY_RECORDS]
    assert found.rejections[0].detail == f"a message must hold at most {10 * MOST} objects and arrays, holds {10 * MOST + 5}"


@pytest.mark.parametrize("unit", [{}, [], "", "x", "1", {"attributes": [""]}], ids=repr)
@pytest.mark.parametrize("decoder", KINDS)
def test_what_protobufs_reader_takes_for_an_object_counts_as_one(decoder: str, unit: object) -> None:
    name, items = JSON_NAMES[decoder]
    value = json.dumps({f"resource{name}": [{f"scope{name}": [{items: [{"exemplars": [unit] * (10 * MOST)}]}]}]}).encode()

    assert [rejection.reason for rejection in decoded(decoder, value).rejections] == [RejectReason.TOO_MANY_RECORDS]


@pytest.mark.parametrize("decoder", KINDS)
def test_a_megabyte_of_what_senders_send_is_far_below_the_limit(decoder: str) -> None:
    [sample] = [message for message in samples()[decoder] if message.startswith(b"{")]
    [[envelope, senders]] = json.loads(sample).items()
    content = {envelope: senders * (LARGEST // len(sample))}

    assert too_many_objects(config_for(decoder, most=6_000), json.dumps(content).encode(), content) is None  # of 10_000


@pytest.mark.parametrize("name", ["bucketCounts", "bucket_counts"])
def test_numbers_that_are_texts_in_json_are_no_objects(name: str) -> None:
    point = {"timeUnixNano": str(T0 * 10**6), "count": 100, "sum": 1.0, name: ["1"] * 100, "explicitBounds": list(range(99))}
    metric = {"name": "m", "histogram": {"aggregationTemporality": 1, "dataPoints": [point]}}
    sender = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    value = json.dumps({"resourceMetrics": [{"resource": sender, "scopeMetrics": [{"metrics": [metric]}]}]}).encode()

    assert RejectReason.TOO_MANY_RECORDS not in {rejection.reason for rejection in decoded("otlp_metrics", value).rejections}


def test_braces_in_a_text_are_no_objects() -> None:
    line = {"timeUnixNano": str(T0 * 10**6), "severityText": "ERROR", "body": {"stringValue": "{" * 100}}
    sender = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    value = json.dumps({"resourceLogs": [{"resource": sender, "scopeLogs": [{"logRecords": [line]}]}]}).encode()

    found = decoded("otlp_logs", value)

    assert (len(found.readings), found.rejections) == (1, [])


@pytest.mark.parametrize("decoder", ["otlp_logs", "otlp_spans"])
def test_a_bad_item_among_too_many_refuses_the_whole_message_and_is_not_looked_for(decoder: str) -> None:
    name, items = JSON_NAMES[decoder]
    value = json.dumps({f"resource{name}": [{f"scope{name}": [{items: [0] * (MOST + 1)}]}]}).encode()

    found = decoded(decoder, value)
    few = decoded(decoder, json.dumps({f"resource{name}": [{f"scope{name}": [{items: [0] * MOST}]}]}).encode())

    assert [(rejection.reason, rejection.index) for rejection in found.rejections] == [(RejectReason.INVALID_JSON, None)]
    assert [rejection.index for rejection in few.rejections] == [*range(MOST)]


@pytest.mark.parametrize("decoder", KINDS)
def test_a_message_of_nothing_but_parts_takes_little_memory(decoder: str) -> None:
    """Half a million empty resources: 152 MB of Python's where each is looked at."""
    value = HUGE[0]

    n_bytes = traced_peak(lambda: decoded(decoder, value, most=10_000))

    assert len(value) == LARGEST
    assert n_bytes < 8 * LARGEST
