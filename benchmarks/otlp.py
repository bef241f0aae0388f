"""OTLP protobuf through the ingest step (decode, map, reduce, flush), against `ParseFromString` alone on the same bytes.

500 histogram points of 15 buckets and 4 attributes a message, delta and cumulative; 500 log records; 500 spans. Both ways take
turns, and the median counts; measured is the process's own CPU time, because both are one thread's work. The last line is one
JSON object; ``points_per_s`` and ``limit_ratio`` are those of the temporality with the lower ratio.
"""

import argparse
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from benchmarks.field_order import from_last_to_first
from pipeline.adapters.collector import settle_collector
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.records import InRecord
from pipeline.ingest.source import Owner, SourceParams, SourceReader
from pipeline.settings import load_settings

N_POINTS = 500
N_MESSAGES = 20
TURNS = 5
T0_MS = 1_767_571_210_000
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TOPIC = "telemetry.metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Messages of one kind."""

    name: str
    decoder: str
    kind: type[Message]
    values: list[bytes]
    n_each: int


def key_values(**values: str | int) -> list[KeyValue]:
    """Return attributes; two underscores stand for a dot."""
    return [
        KeyValue(
            key=key.replace("__", "."), value=AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)
        )
        for key, value in values.items()
    ]


def metrics(rng: random.Random, number: int, *, cumulative: bool) -> bytes:
    """Return 500 points of five services, each of 20 routes and 5 statuses, as SDKs send them."""
    message = ExportMetricsServiceRequest()
    at_ns = (T0_MS + number * 1_000) * 10**6
    for service in range(5):
        sender = message.resource_metrics.add()
        sender.resource.attributes.extend(
            key_values(service__name=f"s{service}", service__version="1.2", service__instance__id=f"i{number % 4}")
        )
        metric = sender.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
        metric.histogram.aggregation_temporality = 2 if cumulative else 1
        for i in range(N_POINTS // 5):
            counts = [rng.randrange(20) for _ in range(15)]
            point = metric.histogram.data_points.add(
                start_time_unix_nano=at_ns - 10**10,
                time_unix_nano=at_ns,
                count=sum(counts),
                sum=sum(counts) * 0.11,
                min=0.001,
                max=9.5,
            )
            point.bucket_counts.extend(counts)
            point.explicit_bounds.extend(BOUNDS)
            point.attributes.extend(
                key_values(
                    http__request__method="GET",
                    http__route=f"/api/v1/route/{i // 5}",
                    http__response__status_code=(200, 201, 404, 500, 503)[i % 5],
                    url__scheme="https",
                )
            )
    return message.SerializeToString()


def logs(rng: random.Random, number: int) -> bytes:
    """Return 500 log records of five services, one in ten with a status."""
    message = ExportLogsServiceRequest()
    for service in range(5):
        sender = message.resource_logs.add()
        sender.resource.attributes.extend(key_values(service__name=f"s{service}", service__version="1.2"))
        scope = sender.scope_logs.add()
        for i in range(N_POINTS // 5):
            line = scope.log_records.add(
                time_unix_nano=(T0_MS + number * 1_000 + i) * 10**6, severity_number=rng.choice((9, 9, 13, 17))
            )
            line.body.string_value = f"order {rng.randrange(10**6)} took {rng.randrange(500)} ms"
            line.attributes.extend(key_values(thread="main", code__function="handle"))
    return message.SerializeToString()


def spans(rng: random.Random, number: int) -> bytes:
    """Return 500 server spans of five services."""
    message = ExportTraceServiceRequest()
    for service in range(5):
        sender = message.resource_spans.add()
        sender.resource.attributes.extend(key_values(service__name=f"s{service}", service__version="1.2"))
        scope = sender.scope_spans.add()
        for i in range(N_POINTS // 5):
            end_ns = (T0_MS + number * 1_000 + i) * 10**6
            span = scope.spans.add(
                kind=2, name="GET /x", trace_id=rng.randbytes(16), span_id=rng.randbytes(8), end_time_unix_nano=end_ns
            )
            span.start_time_unix_nano = end_ns - rng.randrange(10**6, 10**9)
            span.attributes.extend(
                key_values(
                    http__request__method="GET", http__route=f"/api/{i // 5}", http__response__status_code=200, url__scheme="https"
                )
            )
    return message.SerializeToString()


def through_ingest(load: Load, config: IngestConfig) -> float:
    """Return the seconds that the ingest step takes for all messages, the flush at the end included."""
    reader = SourceReader(config=config, params=SourceParams(), source=f"{TOPIC}/0", epoch=0, position=0, watermark_ms=None)
    records = [InRecord(i, T0_MS + i * 1_000, None, value) for i, value in enumerate(load.values)]
    now_ms = T0_MS + len(records) * 1_000
    owner = Owner(now_ms=now_ms, generation=1, is_caught_up=False, heard_ms=now_ms, partitions={TOPIC: 1}, n_targets=8)
    began = time.process_time()
    outcome = reader.read(records, owner)
    outputs = reader.tick(owner)
    took = time.process_time() - began
    n = outcome.counts.n_readings
    if n != load.n_each * len(records) or not (outputs or outcome.outputs):
        raise RuntimeError(f"{load.name}: {load.n_each * len(records)} readings went in, {n} were counted")
    return took


def parsed_alone(load: Load) -> float:
    """Return the seconds that protobuf alone takes to parse the same bytes."""
    began = time.process_time()
    for value in load.values:
        load.kind().ParseFromString(value)
    return time.process_time() - began


def rates(load: Load, config: IngestConfig, seconds: float) -> tuple[float, float]:
    """Return items a second of the ingest step and of parsing alone: medians of turns that take about ``seconds`` in all."""
    ours, limit = [], []
    n, until = load.n_each * len(load.values), time.perf_counter() + seconds
    while len(ours) < TURNS or time.perf_counter() < until:
        ours.append(n / through_ingest(load, config))
        limit.append(n / parsed_alone(load))
    return statistics.median(ours), statistics.median(limit)


def main() -> int:
    """Run from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    seconds = arguments.parse_args().seconds
    settle_collector()  # as every worker does
    rng = random.Random(1)
    loads = [
        Load(name="points, delta", decoder="otlp_metrics", kind=ExportMetricsServiceRequest, n_each=N_POINTS,
             values=[metrics(rng, i, cumulative=False) for i in range(N_MESSAGES)]),
        Load(name="points, cumulative", decoder="otlp_metrics", kind=ExportMetricsServiceRequest, n_each=N_POINTS,
             values=[metrics(rng, i, cumulative=True) for i in range(N_MESSAGES)]),
        Load(name="log records", decoder="otlp_logs", kind=ExportLogsServiceRequest, n_each=N_POINTS,
             values=[logs(rng, i) for i in range(N_MESSAGES)]),
        Load(name="spans", decoder="otlp_spans", kind=ExportTraceServiceRequest, n_each=N_POINTS,
             values=[spans(rng, i) for i in range(N_MESSAGES)]),
    ]  # fmt: skip
    loads += [
        Load(name=f"{load.name}, as the Collector", decoder=load.decoder, kind=load.kind, n_each=load.n_each,
             values=[from_last_to_first(load.kind.FromString(value)) for value in load.values])
        for load in loads[:2]
    ]  # fmt: skip
    base = load_settings(env={}).ingest
    found: dict[str, tuple[float, float]] = {}
    print(f"{'what':<36} {'ingest step /s':>16} {'parsing alone /s':>18} {'ratio':>7}")
    for load in loads:
        print(f"measuring {load.name} ...", file=sys.stderr)
        config = replace(base, decoders={TOPIC: load.decoder})
        rate, limit = rates(load, config, seconds)
        found[load.name] = rate, limit
        print(f"{load.name:<36} {rate:>16,.0f} {limit:>18,.0f} {rate / limit:>7.3f}")
    rate, limit = min((pair for name, pair in found.items() if name.startswith("points")), key=lambda pair: pair[0] / pair[1])
    told = {
        "bench": "otlp",
        "points_per_s": round(rate),
        "limit_ratio": round(rate / limit, 3),
        "logs_per_s": round(found["log records"][0]),
        "spans_per_s": round(found["spans"][0]),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
