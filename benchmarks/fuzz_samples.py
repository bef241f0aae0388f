"""Messages that each decoder reads, and hostile ones: what the fuzzer begins with."""

import gzip
import json

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from benchmarks.field_order import from_last_to_first

NOW_MS = 1_767_571_210_000
NOW_NS = NOW_MS * 10**6
TIME = "2026-01-05T00:00:09Z"

HOSTILE: tuple[bytes, ...] = (
    b"",
    b"\n" * 100,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'[{"labels":' + b'{"x":' * 200 + b"1" + b"}" * 200 + b"}]",
    b"\x0a\xff\xff\xff\xff\x0f" + b"\x00" * 64,
    b"\x0a\x04\x12\x02\x12\x00" * 2_000,
    gzip.compress(b"\x00" * 1_000_000),
    b'"' * 5_000,
    b"a=" * 30_000,
    b'PUTVAL "' + b"a-" * 400 + b'" interval=10 N:1',
    b"<" + b"1" * 400 + b">",
    b"<13>1 - - - - - " + b'[a b="' * 2_000,
    b'1.1.1.1 - - [05/Jan/2026:00:00:10 +0000] "' + b"\\" * 15_000,
    b"9" * 5_000,
    b'{"time":1e999,"value":NaN}',
    "\ud7ff\u202e\ufeff".encode(),
    b"\xff\xfe" * 500,
    b"<14>Jan  5 00:00:09 h " + b"a[" * 5_000,
    b"Jan  5 00:00:09 " + b"h " * 5_000,
    b'{"DATE":"Jan  5 ' + b"00:" * 5_000 + b'"}',
)

LARGEST = 1_048_576
"""Bytes of a message, by default (`ingest.max_message_bytes`)."""


def _filled(unit: bytes, *, head: bytes = b"", tail: bytes = b"", between: bytes = b"") -> bytes:
    n = (LARGEST - len(head) - len(tail) + len(between)) // (len(unit) + len(between))
    return head + between.join([unit] * n) + tail


def _within(tag: int, content: bytes) -> bytes:
    """Return a field of protobuf with content in it."""
    length, n = bytearray([tag]), len(content)
    while n >= 0x80:
        length.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(length) + bytes([n]) + content


_ITEMS = _filled(b"\x12\x00", tail=b"\x12\x00" * 10)[:-20]
_POINT = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"%d",' % NOW_NS
HUGE: tuple[bytes, ...] = (
    _filled(b"\x0a\x00"),
    _filled(b"\x0a\x02\x12\x00"),
    _filled(b"\x0a\x04\x12\x02\x12\x00"),
    _within(0x0A, _ITEMS),
    _within(0x0A, _within(0x12, _ITEMS)),
    _within(0x0A, _within(0x0A, _filled(b"\x0a\x00")[:-20])),
    _filled(b"{}", head=b"[", tail=b"]", between=b","),
    _filled(b"0", head=b"[", tail=b"]", between=b","),
    *(
        _filled(b"{}", head=b'{"resource%s":[{"scope%s":[{"%s":[' % (kind, kind, items), tail=b"]}]}]}", between=b",")
        for kind, items in ((b"Metrics", b"metrics"), (b"Logs", b"logRecords"), (b"Spans", b"spans"))
    ),
    *(_filled(unit, head=b'{"resourceSpans":[', tail=b"]}", between=b",") for unit in (b"{}", b"[]", b'""')),
    *(
        _filled(unit, head=_POINT + b'"exemplars":[', tail=b"]}]}}]}]}]}", between=b",")
        for unit in (b"{}", b"[]", b'""', b'"1"', b'{"attributes":[""]}')
    ),
    _filled(b'"1"', head=_POINT.replace(b"gauge", b"histogram") + b'"bucketCounts":[', tail=b"]}]}}]}]}]}", between=b","),
    _filled(b"a", head=_POINT + b'"exemplars":["', tail=b'"]}]}}]}]}]}'),
    _filled(b"0", head=b'{"resourceSpans":[{"scopeSpans":[{"spans":[', tail=b"]}]}]}", between=b","),
    b'{"resourceSpans":[{"resource":{"attributes":[' + b",".join([b"{}"] * 99_990) + b"]}}]}",
    b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + b",".join([b"{}"] * 9_999 + [b"0"]) + b"]}]}]}",
    _filled(b'{"a":'),
    b"{" + b",".join(b'"%d":0' % i for i in range(100_000)) + b"}",
    _filled(b"a=1 "),
    _filled(b"\n"),
    _filled(b"x\n"),
    _filled(b"\\u0000", head=b'{"log":"', tail=b'"}'),
    _filled(b"PUTVAL a/b/c N:1\n"),
)
"""As large as a message may be, and full of as many parts as fit."""


def samples() -> dict[str, list[bytes]]:
    """Return sound messages by decoder."""
    metrics, spans, logs = _metrics(), _spans(), _logs()
    native = [
        {"kind": "request", "service": "a", "time": NOW_MS, "duration_ms": 5, "status": 200},
        {
            "kind": "summary",
            "service": "a",
            "time": NOW_MS,
            "interval_s": 10,
            "requests": 3,
            "latency_ms": {"bounds": [1], "counts": [1, 2]},
        },
        {"kind": "gauge", "service": "a", "time": NOW_MS, "resource": "cpu", "utilization": 0.5},
        {"kind": "log", "service": "a", "time": NOW_MS, "severity": "error", "body": "x"},
    ]
    change = {"kind": "change", "service": "a", "time": NOW_MS, "type": "deployment", "note": "n"}
    labels = {"service": "a", "route": "/x", "code": "500"}
    prometheus = [
        {"timestamp": TIME, "value": "3", "name": "http_request_duration_seconds_bucket", "labels": {**labels, "le": "+Inf"}},
        {"timestamp": TIME, "value": "NaN", "name": "http_request_duration_seconds", "labels": {**labels, "quantile": "0.99"}},
        {"timestamp": TIME, "value": "12.5", "name": "node_cpu_seconds_total", "labels": {"job": "n", "mode": "idle", "cpu": "0"}},
    ]
    said = {"service": "shop", "time": NOW_MS, "verdict": "false_positive", "condition": "latency", "by": "jo", "note": "a sale"}
    value_list = {
        "values": [12.5, None], "dstypes": ["gauge", "gauge"], "dsnames": ["value", "b"], "time": NOW_MS / 1000, "interval": 10.0,
        "host": "h1", "plugin": "cpu", "plugin_instance": "0", "type": "percent", "type_instance": "idle",
    }  # fmt: skip
    octets = {
        "values": [1250, 99], "dstypes": ["derive", "derive"], "dsnames": ["rx", "tx"], "time": NOW_MS / 1000, "interval": 10.0,
        "host": "h1", "plugin": "interface", "plugin_instance": "eth0", "type": "if_octets", "type_instance": "",
    }  # fmt: skip
    fluent = {
        "@timestamp": NOW_MS / 1000,
        "log": 'level=error msg="it broke"',
        "kubernetes": {"container_name": "shop", "labels": {"app": "shop"}},
    }
    lines = [
        b'10.0.0.9 - - [05/Jan/2026:00:00:09 +0000] "GET /cart/17?x=1 HTTP/1.1" 503 17 "-" "curl/8" 0.250',
        b"<11>Jan  5 00:00:09 web1 shop[7]: level=warn duration_ms=5",
        b"<14>2026-01-05T00:00:09.755Z web1 shop[4711] order 0 is paid\nJan  5 00:00:09 web1 shop[4711] order 1 is paid\n",
        b'<165>1 2026-01-05T00:00:09.003Z host app 12 ID47 [ex@1 service="a" status="500"] text',
        b'time=2026-01-05T00:00:09Z level=info service=a duration_ms=12.5 status=200 msg="a \\"b\\" c"',
        b'{"level":"error","service":"a","ts":1767571209.5,"msg":"x"}\n{"service":"b"}\nplain text\n',
    ]
    return {
        "native": [json.dumps(record).encode() for record in native] + [json.dumps(native).encode()],
        "changes": [json.dumps(change).encode()],
        "feedback": [json.dumps(said).encode()],
        "otlp_metrics": [metrics.SerializeToString(), *(_json(_few(metrics))), from_last_to_first(metrics)],
        "otlp_spans": [spans.SerializeToString(), *(_json(spans)), from_last_to_first(spans)],
        "otlp_logs": [logs.SerializeToString(), *(_json(logs)), from_last_to_first(logs)],
        "prometheus": [json.dumps(record).encode() for record in prometheus] + [json.dumps(prometheus).encode()],
        "collectd": [
            json.dumps([value_list]).encode(),
            b'PUTVAL "h1/cpu-0/percent-idle" interval=10.000 1767571209.123:12.5\nPUTVAL h1/memory/memory-used N:U:5\n',
        ],
        "collectd_counters": [
            json.dumps([value_list]).encode(),
            json.dumps([octets]).encode(),
            b"PUTVAL h1/interface-eth0/if_octets interval=10.000 1767571209.123:1250:99\nPUTVAL h1/cpu-0/cpu-user N:17\n",
        ],
        "json_logs": [
            json.dumps({"PROGRAM": "shop", "PRIORITY": "warning", "MESSAGE": "m", "HOST": "w", "DATE": "Jan  5 00:00:09"}).encode(),
            json.dumps(fluent).encode(),
            json.dumps([fluent, fluent]).encode(),
        ],
        "lines": lines,
    }


def _few(message: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest:
    """Return the first and the third metric alone: protobuf's own reader of JSON is slow."""
    few = ExportMetricsServiceRequest()
    few.CopyFrom(message)
    metrics = few.resource_metrics[0].scope_metrics[0].metrics
    del metrics[3:]
    del metrics[1]
    return few


def _json(message: object) -> list[bytes]:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - slow to import, and only here

    return [json.dumps(MessageToDict(message, use_integers_for_enums=True)).encode()]  # type: ignore[arg-type]


def _attributes(**values: str | int) -> list[KeyValue]:
    return [
        KeyValue(
            key=key.replace("__", "."), value=AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)
        )
        for key, value in values.items()
    ]


def _metrics() -> ExportMetricsServiceRequest:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(_attributes(service__name="shop", service__version="1"))
    scope = sender.scope_metrics.add()
    for temporality in (1, 2):
        metric = scope.metrics.add(name="http.server.request.duration", unit="s")
        metric.histogram.aggregation_temporality = temporality
        point = metric.histogram.data_points.add(start_time_unix_nano=NOW_NS - 10**10, time_unix_nano=NOW_NS, count=6, sum=0.5)
        point.bucket_counts.extend([1, 2, 3])
        point.explicit_bounds.extend([0.005, 0.1])
        point.attributes.extend(_attributes(http__route="/x", http__response__status_code=500))
    metric = scope.metrics.add(name="http.server.duration", unit="ms")
    metric.exponential_histogram.aggregation_temporality = 1
    exponential = metric.exponential_histogram.data_points.add(time_unix_nano=NOW_NS, count=3, sum=9.0, scale=2)
    exponential.positive.offset = -4
    exponential.positive.bucket_counts.extend([1, 0, 2])
    level = scope.metrics.add(name="system.memory.utilization").gauge.data_points.add(time_unix_nano=NOW_NS, as_double=0.5)
    level.attributes.extend(_attributes(state="used"))
    counter = scope.metrics.add(name="system.cpu.time")
    counter.sum.aggregation_temporality, counter.sum.is_monotonic = 2, True
    counter.sum.data_points.add(time_unix_nano=NOW_NS, as_double=5.5).attributes.extend(_attributes(state="idle"))
    summary = scope.metrics.add(name="rpc.server.duration").summary.data_points.add(time_unix_nano=NOW_NS, count=3, sum=1.0)
    summary.quantile_values.add(quantile=0.99, value=0.5)
    return message


def _spans() -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    sender = message.resource_spans.add()
    sender.resource.attributes.extend(_attributes(service__name="shop"))
    scope = sender.scope_spans.add()
    span = scope.spans.add(
        kind=2, name="GET /x", start_time_unix_nano=NOW_NS - 10**7, end_time_unix_nano=NOW_NS, trace_id=b"t" * 16, span_id=b"s" * 8
    )
    span.attributes.extend(_attributes(http__route="/x", http__response__status_code=503))
    return message


def _logs() -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    sender = message.resource_logs.add()
    sender.resource.attributes.extend(_attributes(service__name="shop"))
    line = sender.scope_logs.add().log_records.add(time_unix_nano=NOW_NS, severity_number=17)
    line.body.string_value = "it broke"
    line.attributes.extend(_attributes(status=500))
    return message
