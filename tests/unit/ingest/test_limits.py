"""What is used becomes a utilization beside a limit: one that arrives, or one that is configured; levels and counters alike."""

import json
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from tests.formats_world import SETTINGS, T0, Message, key_values, resource, sample, settings_for, signals_of

TEN_S = 10_000


def exported(at_ms: int, *, instance: str = "i1", **values: object) -> Message:
    """Return an export: gauges by name, and of counters (name to value by mode) a point for each mode, counting since T0."""
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(key_values(resource(instance)))
    for name, value in values.items():
        metric = sender.scope_metrics.add().metrics.add(name=name.replace("__", "."))
        if isinstance(value, dict):
            metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
            for mode, counted in value.items():
                point = metric.sum.data_points.add(as_double=counted, time_unix_nano=at_ms * 10**6, start_time_unix_nano=T0 * 10**6)
                point.attributes.extend(key_values({"cpu.mode": mode}))
        else:
            metric.gauge.data_points.add(as_double=value, time_unix_nano=at_ms * 10**6)
    return at_ms, message.SerializeToString()


def levels(messages: list[Message], decoder: str, service: str, **limits: dict[str, float]) -> list[dict[str, float]]:
    """Return the utilizations of a service's windows, in order of time, where any is told."""
    by_resource = {name.replace("_", " "): by_service for name, by_service in limits.items()}
    settings = settings_for(decoder, semantic=replace(SETTINGS.ingest.semantic, limits=by_resource))
    found = sorted((start, window) for (own, start), window in signals_of(messages, settings).items() if own == service)
    return [{name: round(level.mean, 6) for name, level in window.saturation.items()} for _, window in found if window.saturation]


def cpu_time(*, limit: float | None, instances: tuple[str, ...] = ("i1",)) -> list[Message]:
    """Return two exports of containers that use 0.6 processors, in two modes."""
    more = {} if limit is None else {"k8s__container__cpu__limit": limit}
    return [
        exported(T0 + i * TEN_S, instance=instance, container__cpu__time={"user": 5.0 * i, "system": 1.0 * i}, **more)
        for i in (1, 2)
        for instance in instances
    ]


def test_a_counter_of_seconds_is_compared_with_a_limit_that_arrives() -> None:
    assert levels(cpu_time(limit=2.0), "otlp_metrics", "shop") == [{"cpu": 0.3}, {"cpu": 0.3}]


@pytest.mark.parametrize("limit", [2.0, None])
def test_deltas_of_processor_seconds_mean_the_same(limit: float | None) -> None:
    messages = []
    for at_ms, value in cpu_time(limit=limit):
        message = ExportMetricsServiceRequest.FromString(value)
        counter = message.resource_metrics[0].scope_metrics[0].metrics[0].sum
        counter.aggregation_temporality = 1
        for point, grown in zip(counter.data_points, (5.0, 1.0), strict=True):
            point.as_double, point.start_time_unix_nano = grown, (at_ms - TEN_S) * 10**6
        messages.append((at_ms, message.SerializeToString()))

    configured = {} if limit else {"cpu": {"*": 2.0}}
    assert levels(messages, "otlp_metrics", "shop", **configured) == [{"cpu": 0.3}, {"cpu": 0.3}]


@pytest.mark.parametrize("temporality", [1, 2])
def test_a_counter_below_0_is_refused(temporality: int) -> None:
    message = ExportMetricsServiceRequest.FromString(exported(T0 + TEN_S, container__cpu__time={"user": -5.0})[1])
    message.resource_metrics[0].scope_metrics[0].metrics[0].sum.aggregation_temporality = temporality
    config = replace(SETTINGS.ingest, decoders={"telemetry.metrics": "otlp_metrics"})

    decoded = decode(config, "telemetry.metrics", InRecord(0, T0 + TEN_S, None, message.SerializeToString()))

    assert decoded.readings == []
    assert [rejection.reason for rejection in decoded.rejections] == [RejectReason.OUT_OF_RANGE]


def test_deltas_of_a_processors_states_are_parts() -> None:
    message = ExportMetricsServiceRequest.FromString(exported(T0 + TEN_S, system__cpu__time={"user": 2.5, "idle": 7.5})[1])
    message.resource_metrics[0].scope_metrics[0].metrics[0].sum.aggregation_temporality = 1

    assert levels([(T0 + TEN_S, message.SerializeToString())], "otlp_metrics", "shop") == [{"cpu": 0.25}]


def test_containers_are_compared_one_by_one_however_many_there_are() -> None:
    assert levels(cpu_time(limit=2.0, instances=("i1", "i2", "i3")), "otlp_metrics", "shop") == [{"cpu": 0.3}, {"cpu": 0.3}]


def test_a_counter_without_a_limit_says_nothing_and_with_a_configured_one_it_does() -> None:
    assert levels(cpu_time(limit=None), "otlp_metrics", "shop") == []
    assert levels(cpu_time(limit=None), "otlp_metrics", "shop", cpu={"*": 1.2}) == [{"cpu": 0.5}, {"cpu": 0.5}]


def test_a_configured_limit_goes_before_one_that_arrives_and_a_services_own_before_that_of_all() -> None:
    assert levels(cpu_time(limit=2.0), "otlp_metrics", "shop", cpu={"*": 1.2, "shop": 6.0}) == [{"cpu": 0.1}, {"cpu": 0.1}]


@pytest.mark.parametrize("used", [0.0, 300.0])
def test_a_use_of_nothing_is_a_use(used: float) -> None:
    message = exported(T0 + TEN_S, container__memory__usage=used, k8s__container__memory__limit=400.0)

    assert levels([message], "otlp_metrics", "shop") == [{"memory": used / 400}]


def test_a_limit_of_0_is_none() -> None:
    message = exported(T0 + TEN_S, container__memory__usage=300.0, k8s__container__memory__limit=0.0)

    assert levels([message], "otlp_metrics", "shop") == []
    assert levels([message], "otlp_metrics", "shop", memory={"shop": 400.0}) == [{"memory": 0.75}]


def test_prometheus_counts_processor_seconds() -> None:
    labels = {"service": "shop", "instance": "i1", "cpu": "total"}
    messages = [sample(T0 + i * TEN_S, "container_cpu_usage_seconds_total", labels, str(100 + 6 * i)) for i in range(3)]

    assert levels(messages, "prometheus", "shop", cpu={"*": 2.0}) == [{"cpu": 0.3}, {"cpu": 0.3}]


def test_a_network_in_collectds_commands_is_compared_with_its_configured_speed() -> None:
    messages = [
        (at_ms, f"PUTVAL web/interface-eth0/if_octets interval=10 {at_ms / 1000}:{1000 * i}:{500 * i}".encode())
        for i, at_ms in enumerate(range(T0 + TEN_S, T0 + 40_000, TEN_S))
    ]

    found = levels(messages, "collectd", "web", network_in={"*": 1000.0}, network_out_eth0={"web": 100.0})

    assert found == [{"network in eth0": 0.1, "network out eth0": 0.5}] * 2


def test_a_reset_counts_since_it_began_anew() -> None:
    values = [1000, 2000, 300]
    messages = [
        (
            at_ms,
            json.dumps(
                [
                    {
                        "values": [values[i]], "dstypes": ["derive"], "dsnames": ["rx"], "time": at_ms / 1000, "interval": 10.0,
                        "host": "web", "plugin": "interface", "plugin_instance": "eth0", "type": "if_octets", "type_instance": "",
                    }
                ]
            ).encode(),
        )
        for i, at_ms in enumerate(range(T0 + TEN_S, T0 + 40_000, TEN_S))
    ]  # fmt: skip

    assert levels(messages, "collectd_counters", "web", network_in={"*": 1000.0}) == [
        {"network in eth0": 0.1},
        {"network in eth0": 0.03},
    ]
