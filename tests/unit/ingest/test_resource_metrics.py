"""What metrics of how full something is become at the end of a window, by value: with limits, and Kubernetes' ratios."""

from dataclasses import replace

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from pipeline.contracts.config import TopicOrigin
from pipeline.settings import Settings
from tests.formats_world import T0, TOPIC, Message, key_values, sample, settings_for, signals_of

SHOP: dict[str, str | int] = {"service.name": "shop", "deployment.environment.name": "prod", "k8s.pod.name": "shop-1"}
BASE = settings_for("auto", origins={TOPIC: TopicOrigin(environment="prod")})


def limited(**limits: dict[str, float]) -> Settings:
    semantic = replace(BASE.ingest.semantic, limits={name.replace("_", " "): by_service for name, by_service in limits.items()})
    return replace(BASE, ingest=replace(BASE.ingest, semantic=semantic))


def reported(
    at_s: float,
    *values: tuple[str, float, dict[str, str | int]],
    kind: str = "gauge",
    sender: dict[str, str | int] = SHOP,
    since_s: float = 0,
) -> Message:
    """Return a message with one point each of (metric, value, attributes), as gauges, cumulative counters or deltas."""
    message = ExportMetricsServiceRequest()
    part = message.resource_metrics.add()
    part.resource.attributes.extend(key_values(sender))
    scope = part.scope_metrics.add()
    for name, value, attributes in values:
        metric = scope.metrics.add(name=name)
        if kind != "gauge":
            metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 1 if kind == "delta" else 2
        data = metric.gauge if kind == "gauge" else metric.sum
        point = data.data_points.add(time_unix_nano=round((T0 + 1_000 * at_s) * 10**6), as_double=value)
        point.start_time_unix_nano = round((T0 + 1_000 * since_s) * 10**6)
        point.attributes.extend(key_values(attributes))
    return round(T0 + 1_000 * at_s), message.SerializeToString()


def means(messages: list[Message], settings: Settings = BASE, service: str = "shop") -> dict[int, dict[str, float]]:
    """Return the mean utilization of each resource, by the window's number."""
    found = signals_of(messages, settings)
    assert {name for name, _ in found} == {service}
    return {
        (start - T0) // 10_000: {name: used.mean for name, used in signals.saturation.items()}
        for (_, start), signals in found.items()
        if signals.saturation
    }


def close(expected: dict[str, float]) -> object:
    return pytest.approx(expected, rel=1e-9)


# Network: the speed is only known from the configuration


def network(at_s: float, received: float, sent: float, **how: object) -> Message:
    direction, name = "network.io.direction", "network.interface.name"
    values = [
        ("system.network.io", received, {direction: "receive", name: "eth0"}),
        ("system.network.io", sent, {direction: "transmit", name: "eth0"}),
    ]
    return reported(at_s, *values, **how)  # type: ignore[arg-type]


def test_a_networks_bytes_a_second_over_its_configured_speed() -> None:
    settings = limited(network_in_eth0={"*": 1_000.0, "db": 1.0}, network_out={"*": 4_000.0})
    messages = [
        network(1, 10_000, 50_000, kind="cumulative", since_s=-3_600),
        network(9, 14_000, 74_000, kind="cumulative", since_s=-3_600),
    ]

    assert means(messages, settings)[0] == close({"network in eth0": 0.5, "network out eth0": 0.75})


def test_a_networks_deltas_over_its_configured_speed() -> None:
    settings = limited(network_in={"shop": 1_000.0, "*": 1.0}, network_out={"*": 4_000.0})
    messages = [network(9, 3_200, 24_000, kind="delta", since_s=1)]

    assert means(messages, settings)[0] == close({"network in eth0": 0.4, "network out eth0": 0.75})


def test_prometheus_network_bytes_over_its_configured_speed() -> None:
    labels = {"service": "shop", "environment": "prod", "instance": "i1", "network_io_direction": "receive"}
    messages = [sample(T0 + 1_000 * at_s, "system_network_io_bytes_total", labels, str(n)) for at_s, n in ((1, 1_000), (9, 5_000))]

    assert means(messages, limited(network_in={"*": 1_000.0}))[0] == close({"network in": 0.5})


def test_a_network_without_a_configured_speed_says_nothing() -> None:
    messages = [network(1, 0, 0, kind="cumulative", since_s=-3_600), network(9, 4_000, 8_000, kind="cumulative", since_s=-3_600)]

    assert means(messages) == {}


# Kubernetes' own ratios


@pytest.mark.parametrize(
    ("metric", "resource"),
    [
        ("k8s.container.cpu_limit_utilization", "cpu"),
        ("k8s.container.cpu.limit.utilization", "cpu"),
        ("k8s.pod.cpu_limit_utilization", "cpu"),
        ("k8s.container.memory_limit_utilization", "memory"),
        ("k8s.pod.memory_limit_utilization", "memory"),
    ],
)
def test_a_share_of_the_limit_is_the_utilization(metric: str, resource: str) -> None:
    messages = [reported(at_s, (metric, value, {})) for at_s, value in ((2, 0.25), (8, 0.75), (12, 0.9))]

    assert means(messages) == {0: close({resource: 0.5}), 1: close({resource: 0.9})}
    assert signals_of(messages, BASE)["shop", T0].saturation[resource].max == 0.75


# What is used, and a limit that arrives beside it

GIB = 2.0**30


@pytest.mark.parametrize("used", ["container.memory.working_set", "container.memory.usage"])
@pytest.mark.parametrize("limit", ["k8s.container.memory_limit", "k8s.container.memory.limit", "container.memory.limit"])
def test_memory_used_over_its_limit(used: str, limit: str) -> None:
    messages = [reported(at_s, (used, gib * GIB, {}), (limit, 4 * GIB, {})) for at_s, gib in ((2, 1.0), (8, 2.0), (15, 3.0))]

    assert means(messages) == {0: close({"memory": 0.375}), 1: close({"memory": 0.75})}


@pytest.mark.parametrize("limit", ["container.cpu.limit", "k8s.container.cpu_limit", "k8s.container.cpu.limit"])
def test_cores_used_over_their_limit(limit: str) -> None:
    messages = [reported(at_s, ("container.cpu.usage", cores, {}), (limit, 2.0, {})) for at_s, cores in ((2, 0.5), (8, 1.0))]

    assert means(messages)[0] == close({"cpu": 0.375})


@pytest.mark.parametrize("metric", ["container.cpu.time", "k8s.pod.cpu.time", "k8s.container.cpu.time"])
def test_cpu_seconds_a_second_over_the_limit_that_arrives(metric: str) -> None:
    messages = []
    for at_s, user, system in ((1, 100.0, 40.0), (9, 104.0, 42.0)):
        values = [(metric, user, {"cpu.mode": "user"}), (metric, system, {"cpu.mode": "system"})]
        messages.append(reported(at_s, *values, kind="cumulative", since_s=-3_600))
        messages.append(reported(at_s, ("k8s.container.cpu_limit", 2.0, {})))

    assert means(messages)[0] == close({"cpu": 0.375})  # 6 s in 8 s, of 2 cores


def test_cpu_seconds_a_second_over_the_limit_that_is_configured() -> None:
    messages = [
        reported(at_s, ("container.cpu.time", total, {}), kind="cumulative", since_s=-3_600)
        for at_s, total in ((1, 100.0), (9, 104.0))
    ]
    messages.append(reported(9, ("container.cpu.limit", 50.0, {})))

    assert means(messages, limited(cpu={"shop": 2.0}))[0] == close({"cpu": 0.25})


def test_the_pods_of_a_service_are_compared_by_their_means() -> None:
    messages = []
    for pod, gib in (("shop-1", 1.0), ("shop-2", 3.0)):
        sender = SHOP | {"k8s.pod.name": pod}
        values = [("container.memory.working_set", gib * GIB, {}), ("k8s.container.memory_limit", 4 * GIB, {})]
        messages.append(reported(5, *values, sender=sender))

    assert means(messages)[0] == close({"memory": 0.5})


def test_cadvisors_memory_over_its_limit() -> None:
    labels = {"service": "shop", "environment": "prod", "pod": "shop-1"}
    messages = [
        sample(T0 + 3_000, "container_memory_working_set_bytes", labels, "300"),
        sample(T0 + 3_000, "container_spec_memory_limit_bytes", labels, "400"),
    ]

    assert means(messages)[0] == close({"memory": 0.75})


def test_a_limit_of_0_is_none_and_use_without_a_limit_says_nothing() -> None:
    assert means([reported(3, ("container.memory.usage", GIB, {}), ("container.memory.limit", 0.0, {}))]) == {}
    assert means([reported(3, ("container.cpu.usage", 1.5, {}))]) == {}
