"""What metrics that time requests become at the end of a window: by value, old names and stable ones, each in its unit."""

import math
from dataclasses import dataclass

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from pipeline.contracts.config import TopicOrigin
from pipeline.contracts.signals import Signals
from tests.formats_world import T0, TOPIC, Message, key_values, sample, settings_for, signals_of

END = T0 + 10_000
BOUNDS_MS = (10.0, 100.0, 1_000.0)
COUNTS = (3, 5, 2, 0)
OK_MS = 1_234.0
"""All that the requests that went well took."""
FAILED_COUNTS = (0, 0, 1, 1)
FAILED_MS = 2_500.0


@dataclass(frozen=True)
class Rule:
    """A metric in OTLP, or its base name in Prometheus: the unit it is sent in, and what its attributes are to become."""

    metric: str
    unit: str
    asked: dict[str, str | int]
    failure: dict[str, str | int]
    operation: str
    service: str = "shop"
    success: tuple[tuple[str, str | int], ...] = ()
    own_unit: str = ""
    """Of a metric that comes without a unit: the one that its name stands for."""

    @property
    def per_unit_ms(self) -> float:
        return {"s": 1000.0, "ms": 1.0}[self.unit or self.own_unit]


GRPC: dict[str, str | int] = {"rpc.system": "grpc", "rpc.service": "shop.Cart", "rpc.method": "Add"}
RPC_LABELS: dict[str, str | int] = {"rpc_system": "grpc", "rpc_service": "shop.Cart", "rpc_method": "Add"}
QUEUE: dict[str, str | int] = {
    "messaging.system": "kafka",
    "messaging.operation.name": "process",
    "messaging.destination.name": "orders",
}
QUERY: dict[str, str | int] = {"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.collection.name": "orders"}
ROUTE: dict[str, str | int] = {"http.request.method": "GET", "http.route": "/cart"}
OLD_ROUTE: dict[str, str | int] = {"http.method": "GET", "http.route": "/cart", "http.scheme": "https"}
ROUTE_LABELS: dict[str, str | int] = {"http_request_method": "GET", "http_route": "/cart"}
OLD_ROUTE_LABELS: dict[str, str | int] = {"http_method": "GET", "http_route": "/cart"}
NOT_FOUND = (("http.response.status_code", 404),)
CODE_0 = (("rpc.grpc.status_code", 0),)

OTLP = [
    Rule("http.server.request.duration", "s", ROUTE, {"http.response.status_code": 503}, "GET /cart", success=NOT_FOUND),
    Rule("http.server.request.duration", "", ROUTE, {"error.type": "timeout"}, "GET /cart", success=NOT_FOUND, own_unit="s"),
    Rule("http.server.duration", "ms", OLD_ROUTE, {"http.status_code": 500}, "GET /cart", success=(("http.status_code", 499),)),
    Rule("http.server.duration", "", OLD_ROUTE, {"http.status_code": 500}, "GET /cart", own_unit="ms"),
    Rule("rpc.server.duration", "ms", GRPC, {"rpc.grpc.status_code": 13}, "shop.Cart Add", success=CODE_0),
    Rule("rpc.server.duration", "s", GRPC, {"rpc.grpc.status_code": 14}, "shop.Cart Add", success=CODE_0),
    Rule("rpc.server.duration", "", GRPC, {"rpc.grpc.status_code": 2}, "shop.Cart Add", success=CODE_0, own_unit="ms"),
    Rule(
        "rpc.server.call.duration",
        "s",
        {"rpc.system.name": "grpc", "rpc.method": "shop.Cart/Add"},
        {"rpc.response.status_code": "UNAVAILABLE", "error.type": "UNAVAILABLE"},
        "shop.Cart/Add",
        success=(("rpc.response.status_code", "NOT_FOUND"),),
    ),
    Rule("rpc.server.call.duration", "ms", GRPC, {"rpc.response.status_code": "INTERNAL"}, "shop.Cart Add"),
    Rule("rpc.server.call.duration", "", GRPC, {"rpc.response.status_code": "DATA_LOSS"}, "shop.Cart Add", own_unit="s"),
    Rule("messaging.process.duration", "s", QUEUE, {"error.type": "java.net.SocketTimeoutException"}, "process orders"),
    Rule("messaging.process.duration", "ms", QUEUE, {"error.type": "500"}, "process orders"),
    Rule("db.client.operation.duration", "s", QUERY, {"error.type": "57014"}, "SELECT orders", service="postgresql"),
    Rule(
        "db.client.operation.duration",
        "s",
        QUERY | {"peer.service": "orders-db"},
        {"error.type": "57014"},
        "SELECT orders",
        "orders-db",
    ),
    Rule(
        "db.client.operation.time",
        "ms",
        {"db.system": "mysql", "db.operation": "INSERT"},
        {"error.type": "1205"},
        "INSERT",
        "mysql",
    ),
]
PROMETHEUS = [
    Rule("http_server_request_duration_seconds", "s", ROUTE_LABELS, {"http_response_status_code": 500}, "GET /cart"),
    Rule("http_server_request_duration", "s", ROUTE_LABELS, {"error_type": "timeout"}, "GET /cart"),
    Rule("http_server_duration_milliseconds", "ms", OLD_ROUTE_LABELS, {"http_status_code": 502}, "GET /cart"),
    Rule("http_server_duration", "ms", OLD_ROUTE_LABELS, {"http_status_code": 502}, "GET /cart"),
    Rule("http_request_duration_seconds", "s", {"method": "GET", "handler": "/cart"}, {"code": 500}, "GET /cart"),
    Rule("http_server_requests_seconds", "s", {"method": "GET", "uri": "/cart"}, {"status": 500}, "GET /cart"),
    Rule("http_requests_duration_seconds", "s", {"method": "GET", "path": "/cart"}, {"status_code": 500}, "GET /cart"),
    Rule("rpc_server_duration_milliseconds", "ms", RPC_LABELS, {"rpc_grpc_status_code": "13"}, "shop.Cart Add"),
    Rule("rpc_server_call_duration_seconds", "s", RPC_LABELS, {"error_type": "UNAVAILABLE"}, "shop.Cart Add"),
    Rule(
        "grpc_server_handling_seconds",
        "s",
        {"grpc_type": "unary", "grpc_service": "shop.Cart", "grpc_method": "Add"},
        {"grpc_code": "Unavailable"},
        "shop.Cart Add",
        success=(("grpc_code", "NotFound"),),
    ),
    Rule(
        "messaging_process_duration_seconds",
        "s",
        {"messaging_operation_name": "process", "messaging_destination_name": "orders"},
        {"error_type": "timeout"},
        "process orders",
    ),
    Rule(
        "db_client_operation_duration_seconds",
        "s",
        {"db_system_name": "postgresql", "db_operation_name": "SELECT", "db_collection_name": "orders"},
        {"error_type": "57014"},
        "SELECT orders",
        "postgresql",
    ),
]


def otlp(rule: Rule, *, is_cumulative: bool = False) -> list[Message]:
    """Return what a window's requests are as histograms: of those that went well, and of those that failed."""
    message = ExportMetricsServiceRequest()
    _add(message, rule, is_cumulative=is_cumulative)
    return [(END - 1, message.SerializeToString())]


def _add(message: ExportMetricsServiceRequest, rule: Rule, *, is_cumulative: bool = False) -> None:
    if not message.resource_metrics:
        message.resource_metrics.add().scope_metrics.add()
        message.resource_metrics[0].resource.attributes.extend(
            key_values({"service.name": "shop", "deployment.environment.name": "prod"})
        )
    metric = message.resource_metrics[0].scope_metrics[0].metrics.add(name=rule.metric, unit=rule.unit)
    metric.histogram.aggregation_temporality = 2 if is_cumulative else 1
    for counts, total_ms, more in ((COUNTS, OK_MS, dict(rule.success)), (FAILED_COUNTS, FAILED_MS, rule.failure)):
        point = metric.histogram.data_points.add(start_time_unix_nano=T0 * 10**6, time_unix_nano=(END - 1) * 10**6)
        point.attributes.extend(key_values(rule.asked | more))
        point.explicit_bounds.extend(bound / rule.per_unit_ms for bound in BOUNDS_MS)
        point.bucket_counts.extend(counts)
        point.count, point.sum = sum(counts), total_ms / rule.per_unit_ms


def prometheus(rule: Rule) -> list[Message]:
    """Return the same as buckets, sum and count, scraped at the window's beginning, then all 0, and at its end."""
    messages = []
    for at, times in ((T0, 0), (T0 + 9_000, 1)):
        for counts, total_ms, more in ((COUNTS, OK_MS, dict(rule.success)), (FAILED_COUNTS, FAILED_MS, rule.failure)):
            labels = {"service": "shop", "environment": "prod", "instance": "i1"} | {
                name: str(value) for name, value in (rule.asked | more).items()
            }
            below = 0
            for bound, n in zip((*BOUNDS_MS, math.inf), counts, strict=True):
                below += n * times
                le = "+Inf" if bound == math.inf else str(bound / rule.per_unit_ms)
                messages.append(sample(at, f"{rule.metric}_bucket", {**labels, "le": le}, str(below)))
            messages.append(sample(at, f"{rule.metric}_sum", labels, repr(total_ms * times / rule.per_unit_ms)))
            messages.append(sample(at, f"{rule.metric}_count", labels, str(below)))
    return messages


def window(messages: list[Message], service: str, decoder: str = "auto") -> Signals:
    origins = {TOPIC: TopicOrigin(environment="prod")}
    found = signals_of(messages, settings_for(decoder, origins=origins))
    assert {name for name, _ in found} == {service}
    return found[service, T0]


def check(signals: Signals, rule: Rule) -> None:
    assert (signals.traffic.requests, signals.errors.count) == (12, 2)
    assert {name: (one.traffic.requests, one.errors.count) for name, one in signals.operations.items()} == {rule.operation: (12, 2)}
    latency, ok, failed = signals.latency, signals.latency_ok, signals.latency_failed
    assert latency is not None
    assert ok is not None
    assert failed is not None
    assert latency.mean_ms == pytest.approx((OK_MS + FAILED_MS) / 12)
    assert (ok.count, ok.mean_ms) == (10, pytest.approx(OK_MS / 10))
    assert (failed.count, failed.mean_ms) == (2, pytest.approx(FAILED_MS / 2))
    assert ok.p50_ms is not None
    assert ok.p99_ms is not None
    assert 10 < ok.p50_ms <= 100  # the fifth of ten is in the second bucket
    assert 100 < ok.p99_ms <= 1_000
    assert not latency.approximate


@pytest.mark.parametrize("is_cumulative", [False, True], ids=["delta", "cumulative"])
@pytest.mark.parametrize("rule", OTLP, ids=lambda rule: f"{rule.metric} in {rule.unit or 'its own unit'} of {rule.service}")
def test_an_otlp_duration_becomes_requests_errors_and_latency(rule: Rule, *, is_cumulative: bool) -> None:
    check(window(otlp(rule, is_cumulative=is_cumulative), rule.service), rule)


@pytest.mark.parametrize("rule", PROMETHEUS, ids=lambda rule: rule.metric)
def test_a_prometheus_duration_becomes_requests_errors_and_latency(rule: Rule) -> None:
    check(window(prometheus(rule), rule.service), rule)


@pytest.mark.parametrize(
    ("old", "stable"),
    [
        ("http.server.duration", "http.server.request.duration"),
        ("rpc.server.duration", "rpc.server.call.duration"),
        ("db.client.operation.time", "db.client.operation.duration"),
    ],
)
def test_of_the_old_and_the_stable_name_in_one_message_the_stable_one_counts(old: str, stable: str) -> None:
    message = ExportMetricsServiceRequest()
    asked = (ROUTE | OLD_ROUTE if old.startswith("http") else GRPC) | {
        "db.system": "postgresql",
        "db.operation.name": "SELECT",
        "db.operation": "SELECT",
    }
    operation = {"http": "GET /cart", "rpc": "shop.Cart Add", "db": "SELECT"}[old.partition(".")[0]]
    service = "postgresql" if old.startswith("db") else "shop"
    rule = Rule(stable, "s", asked, {"error.type": "x"}, operation, service)
    _add(message, Rule(old, "ms", asked, {"error.type": "x"}, operation, service))
    _add(message, rule)

    check(window([(END - 1, message.SerializeToString())], service), rule)


def test_a_database_call_that_names_no_database_counts_for_nobody() -> None:
    settings = settings_for("auto", origins={TOPIC: TopicOrigin(environment="prod")})
    nameless = Rule("db.client.operation.duration", "s", {"db.operation.name": "SELECT"}, {"error.type": "x"}, "SELECT")

    assert signals_of(otlp(nameless), settings) == {}
