"""A service that reports through OpenTelemetry's SDK for Python, and the Collector that passes it on to Kafka."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.brokers.ports import free_ports
from tests.senders.programs import collector, started
from tests.senders.shippers import listens
from tests.senders.traffic import Asked

NEVER_MS = 3_600_000.0
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""What instrumentation advises, by the conventions; the SDK's own bounds are made for milliseconds."""

FORMS: dict[str, dict[str, bool]] = {
    "explicit-cumulative": {},
    "explicit-delta": {"is_delta": True},
    "exponential-cumulative": {"is_exponential": True},
    "exponential-delta": {"is_exponential": True, "is_delta": True},
}
"""In which forms a service may report durations, by a name of it."""


@dataclass(frozen=True)
class Route:
    """One exporter of the Collector: its topics by kind of telemetry (``metrics``, ``logs``, ``traces``), and how it writes."""

    topics: Mapping[str, str]
    encoding: str = "otlp_proto"
    compression: str = "none"
    changed: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def collecting(broker: LocalBroker, folder: Path, routes: Mapping[str, Route]) -> Iterator[str]:
    """Give the address of a Collector that sends all it gets on every route; stopped at the end."""
    (port,) = free_ports(1)
    kinds = sorted({kind for route in routes.values() for kind in route.topics})
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {"batch": {"timeout": "200ms"}},
        "exporters": {f"kafka/{name}": _exporter(broker, route) for name, route in routes.items()},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                kind: {
                    "receivers": ["otlp"],
                    "processors": ["batch"],
                    "exporters": [f"kafka/{name}" for name, route in routes.items() if kind in route.topics],
                }
                for kind in kinds
            },
        },
    }
    (folder / "collector.yaml").write_text(yaml.safe_dump(config))
    with started([collector(), "--config", "collector.yaml"], folder, is_up=lambda: listens(port)):
        yield f"http://127.0.0.1:{port}"


def _exporter(broker: LocalBroker, route: Route) -> dict[str, Any]:
    topics = {kind: {"topic": topic, "encoding": route.encoding} for kind, topic in route.topics.items()}
    producer = {"compression": route.compression, "allow_auto_topic_creation": False}
    return {"brokers": [broker.bootstrap], **topics, "producer": producer, **route.changed}


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy on the way to this machine
    return session


def _resource(service: str) -> Resource:
    return Resource.create({"service.name": service, "service.version": "1.4.2", "deployment.environment.name": "prod"})


@contextlib.contextmanager
def metering(address: str, service: str, *, is_delta: bool = False, is_exponential: bool = False) -> Iterator[MeterProvider]:
    """Give a meter provider that exports when it is told to; shut down at the end, which exports once more."""
    temporality = AggregationTemporality.DELTA if is_delta else AggregationTemporality.CUMULATIVE
    exporter = OTLPMetricExporter(
        endpoint=f"{address}/v1/metrics", session=_session(), preferred_temporality={Histogram: temporality, Counter: temporality}
    )
    views = [View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())] if is_exponential else []
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER_MS)
    provider = MeterProvider([reader], resource=_resource(service), views=views)
    try:
        yield provider
    finally:
        provider.shutdown()


def report_requests(provider: MeterProvider, *batches: list[Asked]) -> None:
    """Record requests as OpenTelemetry's conventions say, and export after each batch."""
    meter = provider.get_meter("shop")
    duration = meter.create_histogram("http.server.request.duration", unit="s", explicit_bucket_boundaries_advisory=BOUNDS_S)
    orders = meter.create_counter("shop.orders", unit="{order}")
    for batch in batches:
        for one in batch:
            about = {"http.request.method": "GET", "http.route": one.route, "http.response.status_code": one.status}
            duration.record(one.duration_s, about if one.status < 500 else {**about, "error.type": str(one.status)})
        orders.add(len(batch))
        time.sleep(0.05)
        assert provider.force_flush()


def report_levels(provider: MeterProvider) -> None:
    """Report how full two processors, memory, a file system and a container are, and export once."""
    meter = provider.get_meter("host")
    busy = {0: {"idle": 0.25, "user": 0.5, "system": 0.25}, 1: {"idle": 0.75, "user": 0.25, "system": 0.0}}

    def cpu(_: CallbackOptions) -> list[Observation]:
        return [
            Observation(share, {"cpu.logical_number": number, "cpu.mode": mode})
            for number, modes in busy.items()
            for mode, share in modes.items()
        ]

    meter.create_observable_gauge("system.cpu.utilization", [cpu], unit="1")
    memory = meter.create_up_down_counter("system.memory.usage", unit="By")
    for state, n_bytes in (("used", 6_000_000_000), ("free", 1_000_000_000), ("cached", 1_000_000_000)):
        memory.add(n_bytes, {"system.memory.state": state})
    meter.create_gauge("system.filesystem.utilization", unit="1").set(
        0.875, {"system.filesystem.mountpoint": "/", "mountpoint": "/"}
    )
    meter.create_up_down_counter("container.memory.usage", unit="By").add(300)
    meter.create_gauge("k8s.container.memory_limit", unit="By").set(400)
    meter.create_gauge("process.cpu.utilization", unit="1").set(0.0625)
    assert provider.force_flush()


def report_logs(address: str, service: str, numbers: Mapping[SeverityNumber, int]) -> None:
    """Write so many log lines of each severity through the SDK's logger provider."""
    provider = LoggerProvider(_resource(service))
    exporter = OTLPLogExporter(endpoint=f"{address}/v1/logs", session=_session())
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop")
    try:
        for severity, n in numbers.items():
            for i in range(n):
                body = f"order {i} of user 4{i} went wrong at 10.0.0.{i}"
                logger.emit(LogRecord(timestamp=time.time_ns(), severity_number=severity, body=body, attributes={"n": i}))  # noqa: TID251 - the sender's own clock
    finally:
        provider.shutdown()


def report_spans(address: str, service: str, asked: list[Asked]) -> None:
    """Report each request as a server's span around a client's span to a database."""
    provider = TracerProvider(resource=_resource(service))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{address}/v1/traces", session=_session())))
    tracer = provider.get_tracer("shop")
    try:
        for one in asked:
            end_ns = time.time_ns()  # noqa: TID251 - the sender's own clock
            start_ns = end_ns - round(one.duration_s * 1e9)
            about = {"http.request.method": "GET", "http.route": one.route, "http.response.status_code": one.status}
            span = tracer.start_span(f"GET {one.route}", kind=SpanKind.SERVER, attributes=about, start_time=start_ns)
            tracer.start_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql"}).end()
            if one.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            span.end(end_ns)
    finally:
        provider.shutdown()
