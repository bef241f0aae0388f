"""The same traffic in every form in which collectors report it, and the windows that the pure stages make of each."""

import json
import math
import random
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from pipeline.analyse.windows import restore
from pipeline.contracts.directory import Directory
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.records import InRecord
from pipeline.contracts.signals import Signals
from pipeline.ingest.source import Owner, SourceReader
from pipeline.settings import Settings, load_settings

T0 = 1_767_571_200_000  # a multiple of 300 s
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
ROUTES = ("/cart", "/pay")
TOPIC = "telemetry.metrics"
SETTINGS = load_settings(env={})


@dataclass(frozen=True)
class Asked:
    """One request: its end, how long it took, how it ended."""

    end_ms: int
    duration_ms: float
    route: str
    status: int


def traffic(seed: int, n_windows: int = 6, per_window: int = 120) -> list[Asked]:
    rng = random.Random(seed)
    asked = []
    for window in range(n_windows):
        for _ in range(per_window):
            end = T0 + window * 10_000 + rng.randrange(1, 10_000)
            slow = 1 + window % 3
            asked.append(
                Asked(end, round(rng.lognormvariate(4.2, 0.7) * slow, 3), rng.choice(ROUTES), rng.choice([200] * 9 + [503]))
            )
    return sorted(asked, key=lambda one: one.end_ms)


Message = tuple[int, bytes]
"""(Kafka timestamp in ms, value)."""


def raw(asked: Iterable[Asked]) -> list[Message]:
    return [
        (
            one.end_ms,
            json.dumps(
                {
                    "kind": "request",
                    "service": "shop",
                    "environment": "prod",
                    "operation": f"GET {one.route}",
                    "time": one.end_ms,
                    "duration_ms": one.duration_ms,
                    "status": one.status,
                }
            ).encode(),
        )
        for one in asked
    ]


def key_values(values: dict[str, str | int]) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value))
        for key, value in values.items()
    ]


def resource(instance: str = "i1") -> dict[str, str | int]:
    return {"service.name": "shop", "deployment.environment.name": "prod", "service.instance.id": instance}


def otlp_message(instance: str = "i1") -> tuple[ExportMetricsServiceRequest, object]:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(key_values(resource(instance)))
    metric = sender.scope_metrics.add().metrics.add()
    metric.name, metric.unit = "http.server.request.duration", "s"
    return message, metric


def by_series(asked: Iterable[Asked]) -> dict[tuple[str, int], list[Asked]]:
    found = defaultdict(list)
    for one in asked:
        found[one.route, one.status].append(one)
    return dict(sorted(found.items()))


def export_times(asked: list[Asked]) -> list[int]:
    return list(range(T0 + 10_000, asked[-1].end_ms + 10_000, 10_000))


def otlp_explicit(
    asked: list[Asked], *, cumulative: bool, restarts: Iterable[int] = (), instance: str = "i1", extra_ms: int = 0
) -> list[Message]:
    """Export at each window's end; ``restarts`` are exports right after which the sender begins anew."""
    messages, since, restarts = [], T0, set(restarts)
    for at in export_times(asked):
        message, metric = otlp_message(instance)
        metric.histogram.aggregation_temporality = 2 if cumulative else 1
        begin = since if cumulative else at - 10_000
        for (route, status), own in by_series(one for one in asked if begin <= one.end_ms < at).items():
            point = metric.histogram.data_points.add()
            point.start_time_unix_nano, point.time_unix_nano = begin * 10**6, at * 10**6
            point.attributes.extend(
                key_values(
                    {"http.request.method": "GET", "http.route": route, "http.response.status_code": status, "url.scheme": "https"}
                )
            )
            point.explicit_bounds.extend(BOUNDS_S)
            counts = [0] * (len(BOUNDS_S) + 1)
            for one in own:
                counts[sum(one.duration_ms / 1000 > bound for bound in BOUNDS_S)] += 1
            point.bucket_counts.extend(counts)
            point.count, point.sum = len(own), sum(one.duration_ms / 1000 for one in own)
            point.min, point.max = min(one.duration_ms for one in own) / 1000, max(one.duration_ms for one in own) / 1000
        if at in restarts:
            since = at
        messages.append((at + extra_ms, message.SerializeToString()))
    return messages


def otlp_exponential(asked: list[Asked], *, cumulative: bool, scale: int = 6) -> list[Message]:
    messages = []
    for i, at in enumerate(export_times(asked)):
        message, metric = otlp_message()
        data = metric.exponential_histogram
        data.aggregation_temporality = 2 if cumulative else 1
        begin = T0 if cumulative else at - 10_000
        own_scale = scale - i if cumulative else scale  # an SDK lowers the scale as values spread
        for (route, status), own in by_series(one for one in asked if begin <= one.end_ms < at).items():
            point = data.data_points.add()
            point.start_time_unix_nano, point.time_unix_nano = begin * 10**6, at * 10**6
            point.attributes.extend(
                key_values({"http.request.method": "GET", "http.route": route, "http.response.status_code": status})
            )
            exact = Histogram()
            exact.scale = own_scale
            for one in own:
                exact.add(one.duration_ms / 1000)
            low = min(exact.counts)
            point.scale, point.positive.offset = own_scale, low
            point.positive.bucket_counts.extend(exact.counts.get(low + j, 0) for j in range(max(exact.counts) - low + 1))
            point.count, point.sum = len(own), sum(one.duration_ms / 1000 for one in own)
        messages.append((at, message.SerializeToString()))
    return messages


def settings_for(decoder: str, **changes: object) -> Settings:
    ingest = replace(SETTINGS.ingest, decoders={TOPIC: decoder}, **changes)
    return replace(SETTINGS, ingest=ingest)


def signals_of(messages: list[Message], settings: Settings) -> dict[tuple[str, int], Signals]:
    """Return the last revision of each window, by service and start, as one source and one target make them."""
    return signals_of_records([InRecord(i, at, None, value) for i, (at, value) in enumerate(messages)], settings)


def signals_of_records(records: list[InRecord], settings: Settings, topic: str = TOPIC) -> dict[tuple[str, int], Signals]:
    """Return the same of the records of one partition of a topic; none may be refused."""
    reader = SourceReader(
        config=settings.ingest, params=settings.source, source=f"{topic}/0", epoch=0, position=0, watermark_ms=None
    )
    stage = restore(settings.windows, Directory(), 0, {})
    offset, found = 0, {}
    now = records[0].timestamp_ms
    letters = []

    def owner(*, caught_up: bool, heard: int) -> Owner:
        return Owner(now_ms=now, generation=1, is_caught_up=caught_up, heard_ms=heard, partitions={topic: 1}, n_targets=1)

    def pass_on(outputs: Iterable[object]) -> None:
        nonlocal offset
        for output in outputs:
            if output.topic == "dead-letters":
                letters.append(output)
                continue
            for said in stage.step(InRecord(offset, now, None, output.value), now):
                if said.topic != "signals":
                    continue
                record = msgspec.json.decode(said.value)
                if record["kind"] == "signals" and not record.get("rollup"):
                    signals = msgspec.json.decode(said.value, type=Signals)
                    found[signals.service, signals.window_start_ms] = signals
            offset += 1

    for record in records:
        now = max(now, record.timestamp_ms)
        outcome = reader.read([record], owner(caught_up=False, heard=now))
        pass_on(outcome.outputs)
        if outcome.chunk_end is not None:
            reader.begin_chunk(settings.ingest)
            pass_on(reader.read([record], owner(caught_up=False, heard=now)).outputs)
    heard, now = now, now + 30_000
    pass_on(reader.tick(owner(caught_up=True, heard=heard)))
    assert not letters, letters[0].headers
    return found


def spans(asked: list[Asked]) -> list[Message]:
    messages = []
    for at in export_times(asked):
        message = ExportTraceServiceRequest()
        sender = message.resource_spans.add()
        sender.resource.attributes.extend(key_values(resource()))
        scope = sender.scope_spans.add()
        for i, one in enumerate(one for one in asked if at - 10_000 <= one.end_ms < at):
            span = scope.spans.add(kind=2, name=f"GET {one.route}", trace_id=i.to_bytes(16, "big"), span_id=i.to_bytes(8, "big"))
            span.end_time_unix_nano = one.end_ms * 10**6
            span.start_time_unix_nano = span.end_time_unix_nano - round(one.duration_ms * 10**6)
            span.attributes.extend(
                key_values({"http.request.method": "GET", "http.route": one.route, "http.response.status_code": one.status})
            )
            scope.spans.add(kind=3, name="SELECT", start_time_unix_nano=1, end_time_unix_nano=2)  # a client's: not counted
        messages.append((at, message.SerializeToString()))
    return messages


def otlp_logs(asked: list[Asked]) -> list[Message]:
    messages = []
    for at in export_times(asked):
        message = ExportLogsServiceRequest()
        sender = message.resource_logs.add()
        sender.resource.attributes.extend(key_values(resource()))
        scope = sender.scope_logs.add()
        for one in (one for one in asked if at - 10_000 <= one.end_ms < at):
            line = scope.log_records.add(time_unix_nano=one.end_ms * 10**6, severity_number=9)
            line.attributes.extend(key_values({"http.route": f"GET {one.route}", "status": one.status}))
            line.attributes.append(KeyValue(key="duration_ms", value=AnyValue(double_value=one.duration_ms)))
        messages.append((at, message.SerializeToString()))
    return messages


def access_lines(asked: Iterable[Asked]) -> list[Message]:
    lines = []
    for one in asked:
        when = f"{datetime.fromtimestamp(one.end_ms // 1000, UTC):%d/%b/%Y:%H:%M:%S} +0000"
        line = f'10.0.0.9 - - [{when}] "GET {one.route}?x=1 HTTP/1.1" {one.status} 17 "-" "curl/8" {one.duration_ms / 1000:.6f}'
        lines.append((one.end_ms, line.encode()))
    return lines


def prometheus(asked: list[Asked]) -> list[Message]:
    """One sample a message, scraped at each window's end, after a scrape of zeros: without it the first growth is unknown."""
    messages = []
    for at in [T0, *export_times(asked)]:
        for route in ROUTES:
            for status in (200, 503):
                own = [one for one in asked if one.end_ms < at and (one.route, one.status) == (route, status)]
                labels = {
                    "service": "shop",
                    "environment": "prod",
                    "instance": "i1",
                    "method": "GET",
                    "route": route,
                    "code": str(status),
                }
                name = "http_request_duration_seconds"
                for bound in (*BOUNDS_S, math.inf):
                    n = sum(one.duration_ms / 1000 <= bound for one in own)
                    messages.append(
                        sample(at, f"{name}_bucket", {**labels, "le": "+Inf" if bound == math.inf else str(bound)}, str(n))
                    )
                total = sum(one.duration_ms / 1000 for one in own)
                messages.append(sample(at, f"{name}_sum", labels, f"{total!r}"))
                messages.append(sample(at, f"{name}_count", labels, str(len(own))))
    return messages


def sample(at: int, name: str, labels: dict[str, str], value: str) -> Message:
    when = f"{datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"
    record = {"timestamp": when, "value": value, "name": name, "labels": {"__name__": name, **labels}}
    return at, json.dumps(record).encode()


def as_json(messages: list[Message], kind: type) -> list[Message]:
    """OTLP in JSON, as a Collector writes it: ids in hexadecimal, 64-bit integers as texts."""
    found = []
    for at, value in messages:
        content = json_format.MessageToDict(kind.FromString(value))
        for sender in content.get("resourceSpans", []):
            for scope in sender["scopeSpans"]:
                for span in scope["spans"]:
                    for key in ("traceId", "spanId"):
                        if key in span:
                            span[key] = b64decode(span[key]).hex()
        found.append((at, json.dumps(_numbered(content)).encode()))
    return found


def _numbered(node: object) -> object:
    """Enums as numbers: the format forbids their names."""
    names = {
        "AGGREGATION_TEMPORALITY_DELTA": 1,
        "AGGREGATION_TEMPORALITY_CUMULATIVE": 2,
        "SPAN_KIND_SERVER": 2,
        "SPAN_KIND_CLIENT": 3,
        "SEVERITY_NUMBER_INFO": 9,
    }
    if isinstance(node, dict):
        return {key: _numbered(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_numbered(child) for child in node]
    return names.get(node, node) if isinstance(node, str) else node
