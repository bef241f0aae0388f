"""Series that end with a staleness marker, and quantiles that arrive ready-made, at the end of a window."""

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from pipeline.contracts.config import TopicOrigin
from pipeline.contracts.records import InRecord
from pipeline.contracts.signals import Latency, Signals
from pipeline.ingest.decoders import decode
from tests.formats_world import T0, TOPIC, Message, key_values, sample, settings_for, signals_of

SETTINGS = settings_for("auto", origins={TOPIC: TopicOrigin(environment="prod")})
LABELS = {"service": "shop", "environment": "prod", "instance": "i1", "method": "GET"}
NAME = "http_request_duration_seconds"


def counts(*values: tuple[int, str]) -> list[Message]:
    """Scrapes of a histogram's count, each (seconds after the first window began, value)."""
    return [sample(T0 + 1_000 * at_s, f"{NAME}_count", LABELS, value) for at_s, value in values]


def windows(messages: list[Message]) -> dict[int, Signals]:
    """Return the windows of the service by their number."""
    found = signals_of(messages, SETTINGS)
    assert {service for service, _ in found} <= {"shop"}
    return {(start - T0) // 10_000: signals for (_, start), signals in found.items()}


def requests(messages: list[Message]) -> dict[int, int]:
    return {number: signals.traffic.requests for number, signals in windows(messages).items() if signals.traffic.requests}


@pytest.mark.parametrize("name", [f"{NAME}_count", f"{NAME}_bucket", f"{NAME}_sum", NAME, "node_load1", "node_cpu_seconds_total"])
def test_a_staleness_marker_is_no_reading_and_nothing_to_refuse(name: str) -> None:
    _, value = sample(T0, name, LABELS | {"le": "0.1", "quantile": "0.5", "mode": "user"}, "NaN")

    decoded = decode(SETTINGS.ingest, TOPIC, InRecord(0, T0, None, value))

    assert (decoded.readings, decoded.rejections, decoded.n_ignored) == ([], [], 1)


def test_a_counter_that_comes_back_lower_after_its_marker_counts_whole() -> None:
    assert requests(counts((0, "100"), (9, "107"), (12, "NaN"), (25, "5"), (35, "8"))) == {0: 7, 2: 5, 3: 3}


def test_a_counter_that_comes_back_higher_goes_on_from_before_its_marker() -> None:
    assert requests(counts((0, "100"), (9, "107"), (12, "NaN"), (25, "110"))) == {0: 7, 2: 3}


def test_a_counter_that_was_away_too_long_begins_anew_and_unknown() -> None:
    assert requests(counts((0, "100"), (9, "107"), (12, "NaN"), (400, "110"), (409, "115"))) == {0: 7, 40: 5}


def test_a_gauge_says_nothing_from_its_marker_until_its_next_value() -> None:
    settings = settings_for("auto", origins=SETTINGS.ingest.origins)
    name, labels = "system_memory_utilization_ratio", {**LABELS, "state": "used"}
    messages = [sample(T0 + 1_000 * s, name, labels, value) for s, value in ((1, "0.5"), (12, "NaN"), (21, "0.7"), (31, "0.9"))]

    found = {(start - T0) // 10_000: signals.saturation for (_, start), signals in signals_of(messages, settings).items()}

    means = {number: saturation["memory"].mean for number, saturation in found.items() if saturation}
    assert means == pytest.approx({0: 0.5, 2: 0.7, 3: 0.9})


def summary(at_s: int, n: int, total_s: float, **quantiles: str) -> list[Message]:
    """A Prometheus summary's scrape; quantiles in s by name."""
    at = T0 + 1_000 * at_s
    shares = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99"}
    return [
        *(sample(at, NAME, {**LABELS, "quantile": shares[name]}, value) for name, value in quantiles.items()),
        sample(at, f"{NAME}_sum", LABELS, repr(total_s)),
        sample(at, f"{NAME}_count", LABELS, str(n)),
    ]


def latency_of(signals: Signals) -> Latency:
    assert signals.latency is not None
    return signals.latency


def test_a_prometheus_summary_is_an_approximate_latency_of_counted_requests() -> None:
    messages = [
        *summary(0, 1000, 50.0, p50="0.030", p90="0.080", p95="0.090", p99="0.120"),
        *summary(9, 1040, 52.0, p50="0.040", p90="0.100", p95="0.110", p99="0.200"),
        *summary(14, 1070, 55.0, p50="0.050", p90="0.130", p95="0.150", p99="0.330"),
        *summary(19, 1100, 58.0, p50="0.060", p90="0.150", p95="0.170", p99="0.350"),
    ]

    found = windows(messages)

    first, second = found[0], found[1]
    assert (first.traffic.requests, second.traffic.requests) == (40, 60)
    latency = latency_of(second)
    assert latency.approximate is True
    assert (latency.count, latency.mean_ms) == (60, pytest.approx(100.0))
    assert (latency.p50_ms, latency.p90_ms) == (pytest.approx(55.0), pytest.approx(140.0))  # the means of its scrapes
    assert (latency.p95_ms, latency.p99_ms) == (pytest.approx(160.0), pytest.approx(340.0))
    earlier = latency_of(first)
    assert earlier.approximate is True
    assert (earlier.count, earlier.mean_ms) == (40, pytest.approx(50.0))
    assert (earlier.p50_ms, earlier.p99_ms) == (pytest.approx(40.0), pytest.approx(200.0))


def test_a_quantile_of_nothing_leaves_the_others_as_they_are() -> None:
    messages = [*summary(0, 1000, 50.0, p50="0.030", p99="0.1"), *summary(19, 1010, 51.0, p50="0.020", p99="NaN")]

    latency = latency_of(windows(messages)[1])

    assert latency.approximate is True
    assert (latency.count, latency.mean_ms, latency.p50_ms, latency.p99_ms) == (10, pytest.approx(100.0), pytest.approx(20.0), None)


@pytest.mark.parametrize(("unit", "per_unit_ms"), [("s", 1000.0), ("ms", 1.0)])
def test_an_otlp_summary_is_an_approximate_latency_of_counted_requests(unit: str, per_unit_ms: float) -> None:
    messages = []
    for at_s, n, total_ms, values in ((0, 500, 0.0, (20.0, 90.0)), (15, 530, 1_500.0, (40.0, 250.0))):
        message = ExportMetricsServiceRequest()
        sender = message.resource_metrics.add()
        sender.resource.attributes.extend(key_values({"service.name": "shop", "deployment.environment.name": "prod"}))
        metric = sender.scope_metrics.add().metrics.add(name="http.server.request.duration", unit=unit)
        at_ns = (T0 + 1_000 * at_s) * 10**6
        point = metric.summary.data_points.add(time_unix_nano=at_ns, start_time_unix_nano=(T0 - 3_600_000) * 10**6)
        point.attributes.extend(key_values({"http.request.method": "GET", "http.route": "/cart"}))
        point.count, point.sum = n, total_ms / per_unit_ms
        for share, value in zip((0.5, 0.99), values, strict=True):
            point.quantile_values.add(quantile=share, value=value / per_unit_ms)
        point.quantile_values.add(quantile=0.0, value=0.0)  # the least: nobody's quantile here
        messages.append((T0 + 1_000 * at_s, message.SerializeToString()))

    signals = windows(messages)[1]

    latency = latency_of(signals)
    assert latency.approximate is True
    assert (signals.traffic.requests, latency.count) == (30, 30)
    assert (latency.mean_ms, latency.p50_ms) == (pytest.approx(50.0), pytest.approx(40.0))
    assert (latency.p90_ms, latency.p95_ms, latency.p99_ms) == (None, None, pytest.approx(250.0))
    assert signals.operations["GET /cart"].traffic.requests == 30
