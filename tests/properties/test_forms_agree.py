"""The same traffic gives the same windows in whatever form it comes: counts equal, quantiles within the stated error."""

from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pipeline.contracts.config import TopicOrigin
from pipeline.contracts.signals import Latency, Signals
from tests.formats_world import (
    T0,
    TOPIC,
    Asked,
    Message,
    access_lines,
    as_json,
    otlp_explicit,
    otlp_exponential,
    otlp_logs,
    prometheus,
    raw,
    settings_for,
    signals_of,
    spans,
    traffic,
)

SHOP = {TOPIC: TopicOrigin(service="shop", environment="prod")}
FORMS: dict[str, Callable[[list[Asked]], list[Message]]] = {
    "OTLP delta histograms": lambda asked: otlp_explicit(asked, cumulative=False),
    "OTLP cumulative histograms": lambda asked: otlp_explicit(asked, cumulative=True),
    "OTLP cumulative histograms of a sender that restarts": lambda asked: otlp_explicit(
        asked, cumulative=True, restarts=[T0 + 20_000, T0 + 40_000]
    ),
    "OTLP cumulative histograms in JSON": lambda asked: as_json(otlp_explicit(asked, cumulative=True), ExportMetricsServiceRequest),
    "OTLP exponential delta histograms": lambda asked: otlp_exponential(asked, cumulative=False),
    "OTLP exponential cumulative histograms whose scale falls": lambda asked: otlp_exponential(asked, cumulative=True),
    "OTLP spans": spans,
    "OTLP spans in JSON": lambda asked: as_json(spans(asked), ExportTraceServiceRequest),
    "OTLP log records": otlp_logs,
    "OTLP log records in JSON": lambda asked: as_json(otlp_logs(asked), ExportLogsServiceRequest),
    "Prometheus buckets": prometheus,
    "access log lines": access_lines,
}


def agrees(own: Latency | None, truth: list[float]) -> None:
    """Each quantile is as near to the exact one as it says; unless it says that its error is not bounded."""
    if not truth:
        assert own is None
        return
    assert own is not None
    assert own.count == len(truth)
    assert own.mean_ms == pytest.approx(sum(truth) / len(truth), rel=1e-4)
    ranked = sorted(truth)
    for share, found in ((0.5, own.p50_ms), (0.9, own.p90_ms), (0.95, own.p95_ms), (0.99, own.p99_ms)):
        exact = ranked[max(0, -(-len(ranked) * share // 1).__int__() - 1)]
        assert abs(found - exact) <= own.relative_error * exact * (1 + 1e-6), (share, found, exact, own.relative_error)


def check(found: dict[tuple[str, int], Signals], asked: list[Asked]) -> None:
    for start in range(T0, asked[-1].end_ms, 10_000):
        own = [one for one in asked if start <= one.end_ms < start + 10_000]
        signals = found["shop", start]
        assert signals.environment == "prod"
        assert signals.traffic.requests == len(own)
        assert signals.errors.count == sum(one.status >= 500 for one in own)
        agrees(signals.latency, [one.duration_ms for one in own])
        agrees(signals.latency_ok, [one.duration_ms for one in own if one.status < 500])
        agrees(signals.latency_failed, [one.duration_ms for one in own if one.status >= 500])
        assert {name: signals_of_it.traffic.requests for name, signals_of_it in signals.operations.items()} == {
            f"GET {route}": sum(one.route == route for one in own) for route in {one.route for one in own}
        }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_traffic_gives_the_same_windows(form: str, seed: int) -> None:
    asked = traffic(seed)

    check(signals_of(FORMS[form](asked), settings_for("auto", origins=SHOP)), asked)


def test_raw_requests_are_the_truth_that_the_forms_are_held_against() -> None:
    asked = traffic(1)

    check(signals_of(raw(asked), settings_for("native")), asked)
