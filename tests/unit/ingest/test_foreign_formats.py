"""What each foreign format becomes, by value."""

import json
from dataclasses import replace
from importlib import metadata

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from benchmarks.fuzz_samples import NOW_MS, NOW_NS, samples
from pipeline.contracts.config import IngestConfig, TopicOrigin
from pipeline.contracts.readings import Decoded, GaugeReading, LogReading, PointsReading, UsageReading
from pipeline.contracts.records import InRecord
from pipeline.errors import ConfigError
from pipeline.ingest.decoders import DECODERS, decode
from pipeline.ingest.decoders.detect import format_of
from pipeline.ingest.decoders.syslog import syslog_fields
from pipeline.settings import load_settings
from tests.formats_world import key_values

TOPIC = "telemetry.logs"
BASE = load_settings(env={}).ingest


def read(decoder: str, value: bytes, *, headers: tuple[tuple[str, bytes], ...] = (), **changes: object) -> Decoded:
    config = replace(BASE, decoders={TOPIC: decoder}, **changes)
    return decode(config, TOPIC, InRecord(0, NOW_MS, None, value, headers))


def log(value: bytes, decoder: str = "lines", **more: object) -> LogReading:
    decoded = read(decoder, value, **more)
    assert decoded.rejections == []
    (reading,) = decoded.readings
    assert isinstance(reading, LogReading)
    return reading


def metric(**fields: object) -> ExportMetricsServiceRequest:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(key_values({"service.name": "shop"}))
    sender.scope_metrics.add().metrics.add(**fields)
    return message


def gauge(name: str, value: float, **attributes: str) -> bytes:
    message = metric(name=name)
    point = message.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points.add(as_double=value, time_unix_nano=NOW_NS)
    point.attributes.extend(key_values(attributes))
    return message.SerializeToString()


# Lines


def test_an_nginx_line_is_a_request_with_seconds() -> None:
    line = b'10.0.0.9 - bob [05/Jan/2026:01:00:09 +0100] "POST /orders/17/items?x=1 HTTP/2.0" 502 0 "-" "curl/8 (\\"q\\")" 1.250'

    reading = log(line, origins={TOPIC: TopicOrigin(service="web", environment="prod")})

    assert (reading.origin.service, reading.origin.environment, reading.origin.operation) == (
        "web",
        "prod",
        "POST /orders/{id}/items",
    )
    assert (reading.is_request, reading.is_error, reading.duration_ms) == (True, True, 1250.0)
    assert reading.time_ms == NOW_MS - 1_000


def test_an_apache_line_is_a_request_with_microseconds() -> None:
    line = b'10.0.0.9 - - [05/Jan/2026:00:00:09 +0000] "GET / HTTP/1.1" 200 17 "-" "curl" 2500'

    assert log(line, headers=(("service", b"web"),)).duration_ms == 2.5


@pytest.mark.parametrize(
    ("line", "severity", "service"),
    [
        (b"<11>Jan  5 00:00:09 web1 shop[7]: it broke", "error", "shop"),
        (b'<165>1 2026-01-05T00:00:09.003Z web1 shop 7 ID1 [a@1 b="c"] text', "info", "shop"),
        (b"2026-01-05T00:00:09.003+00:00 web1 shop[7]: level=warn msg=x", "warn", "shop"),
        (b'level=ERROR service=shop msg="it \\"broke\\""', "error", "shop"),
        (b'{"level":"fatal","app":"shop","ts":1767571209.5}', "fatal", "shop"),
    ],
)
def test_severity_and_service_of_lines(line: bytes, severity: str, service: str) -> None:
    reading = log(line)

    assert (reading.severity, reading.origin.service, reading.is_request) == (severity, service, False)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ('[a@1 b="c"][d@1 e="f\\"g"] text', "text"),
        ("[a@1][b@1] text", "text"),
        ('[a@1 b="c] text', '[a@1 b="c] text'),
        ('[a@1 b="c"][ d="e"] text', '[a@1 b="c"][ d="e"] text'),
        ('[a@1 b="c"]text', '[a@1 b="c"]text'),
    ],
)
def test_only_whole_structured_data_is_taken_off_a_syslog_message(rest: str, message: str) -> None:
    fields = syslog_fields(f"<165>1 2026-01-05T00:00:09.003Z web1 shop 7 ID1 {rest}", NOW_MS)

    assert fields is not None
    assert fields["message"] == message


def test_a_syslog_line_in_the_last_days_of_a_year_is_of_that_year() -> None:
    assert log(b"<11>Dec 31 23:59:59 web1 shop[7]: x").time_ms == 1_767_225_599_000


def test_lines_of_one_message_are_counted_one_by_one_and_a_bad_one_is_refused_alone() -> None:
    decoded = read("lines", b"level=info service=a\nnobody's line\nlevel=warn service=b\n")

    assert [reading.origin.service for reading in decoded.readings] == ["a", "b"]
    assert [(rejection.index, rejection.reason) for rejection in decoded.rejections] == [(1, "missing_field")]


def test_a_fluent_bit_record_has_the_fields_of_its_own_text() -> None:
    record = {
        "@timestamp": NOW_MS / 1000 - 1,
        "log": "level=error status=503 duration_ms=12.5",
        "kubernetes": {"labels": {"app": "shop"}},
    }

    reading = log(json.dumps(record).encode(), "json_logs")

    assert (reading.origin.service, reading.severity, reading.duration_ms, reading.is_error) == ("shop", "error", 12.5, True)
    assert reading.time_ms == NOW_MS - 1_000


def test_an_rsyslog_template_and_a_syslog_ng_one() -> None:
    rsyslog = {"timereported": "2026-01-05T00:00:09Z", "hostname": "web1", "syslogseverity-text": "err", "programname": "shop"}
    syslog_ng = {"PROGRAM": "shop", "PRIORITY": "err", "MESSAGE": "x", "HOST": "web1", "DATE": "2026-01-05T00:00:09+00:00"}

    for record in (rsyslog, syslog_ng):
        reading = log(json.dumps(record).encode(), "json_logs")
        assert (reading.origin.service, reading.severity, reading.origin.instance) == ("shop", "error", "web1")


# Levels


def test_cpu_utilization_is_what_is_not_idle() -> None:
    (reading,) = read("otlp_metrics", gauge("system.cpu.utilization", 0.75, **{"cpu.mode": "idle"})).readings

    assert isinstance(reading, GaugeReading)
    assert (reading.resource, reading.utilization) == ("cpu", 0.25)
    assert read("otlp_metrics", gauge("system.cpu.utilization", 0.1, **{"cpu.mode": "user"})).n_ignored == 1


def test_a_file_system_says_where_it_is_mounted() -> None:
    (reading,) = read("otlp_metrics", gauge("system.filesystem.utilization", 0.5, mountpoint="/data")).readings

    assert isinstance(reading, GaugeReading)
    assert reading.resource == "filesystem /data"


def test_usage_and_limit_are_readings_of_one_resource() -> None:
    readings = [
        *read("otlp_metrics", gauge("container.memory.working_set", 256.0)).readings,
        *read("otlp_metrics", gauge("k8s.container.memory_limit", 1024.0)).readings,
    ]

    assert [(r.resource, r.used, r.limit) for r in readings if isinstance(r, UsageReading)] == [
        ("memory", 256, 0),
        ("memory", 0, 1024),
    ]


@pytest.mark.parametrize(("value", "reason"), [(1.6, "out_of_range"), (-0.1, "out_of_range"), (float("inf"), "not_finite")])
def test_a_utilization_that_is_none_is_refused(value: float, reason: str) -> None:
    (rejection,) = read("otlp_metrics", gauge("process.cpu.utilization", value)).rejections

    assert (rejection.reason, rejection.index) == (reason, 0)


def test_nan_and_points_without_a_value_are_ignored() -> None:
    assert read("otlp_metrics", gauge("process.cpu.utilization", float("nan"))).n_ignored == 1
    message = metric(name="process.cpu.utilization")
    message.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points.add(flags=1, time_unix_nano=NOW_NS)
    assert read("otlp_metrics", message.SerializeToString()).n_ignored == 1


def test_node_exporters_cpu_seconds_travel_raw() -> None:
    sample = {
        "timestamp": "2026-01-05T00:00:09Z",
        "value": "12.5",
        "name": "node_cpu_seconds_total",
        "labels": {"job": "n", "mode": "user"},
    }

    (reading,) = read("prometheus", json.dumps(sample).encode()).readings

    assert isinstance(reading, PointsReading)
    assert [(meaning.role, meaning.resource, point.value) for _, meaning, point in reading.points] == [("part", "cpu", 12.5)]


def test_collectd_in_both_formats() -> None:
    as_json, as_command = samples()["collectd"]

    for value in (as_json, as_command.split(b"\n", maxsplit=1)[0]):
        reading = read("collectd", value).readings[0]
        assert isinstance(reading, GaugeReading)
        assert (reading.origin.service, reading.resource, reading.utilization) == ("h1", "cpu", 0.875)
    assert read("collectd", as_json).n_ignored == 1  # its second value is null


# Metrics


def test_a_metric_that_nobody_knows_is_counted_by_name() -> None:
    decoded = read("otlp_metrics", gauge("queue.length", 3.0))

    assert (decoded.n_ignored, decoded.unmapped, decoded.readings) == (1, {"queue.length": 1}, [])


def test_of_an_old_and_a_new_name_the_new_one_counts() -> None:
    message = ExportMetricsServiceRequest.FromString(samples()["otlp_metrics"][0])
    metrics = message.resource_metrics[0].scope_metrics[0].metrics
    old = metrics.add(name="http.server.duration", unit="ms")
    old.histogram.CopyFrom(metrics[0].histogram)

    decoded = read("otlp_metrics", message.SerializeToString())

    assert decoded.unmapped == {"http.server.duration": 2}  # this one, and an exponential one


@pytest.mark.parametrize(
    ("attributes", "failed"),
    [
        ({"http.response.status_code": 500}, True),
        ({"http.response.status_code": 404}, False),
        ({"error.type": "timeout"}, True),
        ({"rpc.grpc.status_code": 14}, True),
        ({"rpc.grpc.status_code": 5}, False),
    ],
)
def test_what_a_failed_request_is(attributes: dict[str, str | int], failed: bool) -> None:
    message = metric(name="http.server.request.duration", unit="s")
    data = message.resource_metrics[0].scope_metrics[0].metrics[0].histogram
    data.aggregation_temporality = 1
    point = data.data_points.add(time_unix_nano=NOW_NS, count=2, sum=0.5, bucket_counts=[1, 1], explicit_bounds=[0.1])
    point.attributes.extend(key_values(attributes))

    (reading,) = read("otlp_metrics", message.SerializeToString()).readings

    assert isinstance(reading, PointsReading)
    assert [meaning.failed for _, meaning, _ in reading.points] == [failed]


def test_one_bad_point_in_json_does_not_take_the_others_with_it() -> None:
    content = json.loads(samples()["otlp_metrics"][1])
    points = content["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"]
    points.append({**points[0], "count": "many"})

    decoded = read("otlp_metrics", json.dumps(content).encode())

    assert [(rejection.index, rejection.field, "many" in rejection.detail) for rejection in decoded.rejections] == [
        (1, "count", True)
    ]
    assert len(decoded.readings) == 1


def test_an_infinite_number_in_json_is_refused_and_does_not_escape() -> None:
    value = samples()["otlp_spans"][1].replace(b'"kind": 2', b'"kind": 1e999')

    assert [rejection.reason for rejection in read("otlp_spans", value).rejections] == ["wrong_type"]


def test_a_message_of_too_many_points_is_refused_whole() -> None:
    (rejection,) = read("otlp_metrics", samples()["otlp_metrics"][0], max_records_per_message=3).rejections

    assert (rejection.reason, rejection.index) == ("too_many_records", None)


def test_attributes_are_bounded() -> None:
    decoded = read("otlp_metrics", gauge("process.cpu.utilization", 0.5, **{f"a{i}": "x" for i in range(5)}), max_attributes=4)

    assert [rejection.reason for rejection in decoded.rejections] == ["too_many_attributes"]


# Which decoder


@pytest.mark.parametrize("decoder", [name for name in samples() if name not in {"changes", "feedback"}])
def test_the_format_is_found_out_from_the_bytes(decoder: str) -> None:
    expected = {"collectd_counters": {"collectd"}, "lines": {"lines", "json_logs"}}.get(decoder, {decoder})

    assert {format_of(value) for value in samples()[decoder]} <= expected


def test_a_decoder_of_another_package_is_loaded_and_named_in_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint(name="carbon", value="tests.unit.ingest.carbon_decoder:decode", group="tocsin.decoders")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])
    monkeypatch.delitem(DECODERS, "carbon", raising=False)

    settings = load_settings(overrides={"ingest.decoders": {"telemetry.logs": "carbon"}}, env={})  # type: ignore[dict-item]

    assert settings.ingest.plugins == {"carbon": "unknown: tests.unit.ingest.carbon_decoder:decode"}
    assert settings.ingest.hash != replace(settings.ingest, plugins={}).hash
    assert decode(settings.ingest, "telemetry.logs", InRecord(0, NOW_MS, None, b"ok")).n_ignored == 1
    (rejection,) = decode(settings.ingest, "telemetry.logs", InRecord(0, NOW_MS, None, b"bad")).rejections
    assert (rejection.reason, "planted" in rejection.detail) == ("decoder_failed", True)
    DECODERS.pop("carbon")


def test_a_decoder_that_cannot_be_loaded_is_a_problem_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint(name="carbon", value="no.such.module:decode", group="tocsin.decoders")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])

    with pytest.raises(ConfigError, match="carbon of package unknown cannot be loaded"):
        load_settings(overrides={"ingest.decoders": {"telemetry.logs": "carbon"}}, env={})  # type: ignore[dict-item]


def test_a_change_of_the_mapping_is_another_configuration() -> None:
    semantic = replace(BASE.semantic, requests=())

    assert replace(BASE, semantic=semantic).hash != BASE.hash
    assert IngestConfig(semantic=BASE.semantic).hash == IngestConfig(semantic=BASE.semantic).hash


@pytest.mark.parametrize("decoder", sorted(samples().keys() - {"changes", "auto", "lines", "collectd", "collectd_counters"}))
def test_a_reading_too_far_behind_its_record_is_refused_in_every_format(decoder: str) -> None:
    config = replace(BASE, decoders={TOPIC: decoder}, max_past_ms=86_400_000)

    for value in samples()[decoder]:
        decoded = decode(config, TOPIC, InRecord(0, NOW_MS + 2 * 86_400_000, None, value, ()))

        assert decoded.readings == []
        assert {rejection.reason for rejection in decoded.rejections} == {"past_time"}
