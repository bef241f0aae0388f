"""What metrics of hosts and processes become at the end of a window, by value: every rule of a host's resources is met."""

from typing import Any

import pytest

from tests.formats_world import T0, Message, sample
from tests.unit.ingest.test_resource_metrics import close, limited, means, reported

Labels = dict[str, str]


def points(metric: str, label: str, by_label: dict[str, float], more: Labels) -> list[tuple[str, float, Labels]]:
    return [(metric, value, {**more, label: name}) for name, value in by_label.items()]


def otlp(at_s: float, values: list[tuple[str, float, Labels]], **how: Any) -> list[Message]:
    return [reported(at_s, *values, **how)]  # type: ignore[arg-type]


def prometheus(at_s: float, values: list[tuple[str, float, Labels]]) -> list[Message]:
    own = {"service": "shop", "environment": "prod", "instance": "i1"}
    return [sample(round(T0 + 1_000 * at_s), metric, {**own, **labels}, str(value)) for metric, value, labels in values]


CPU = {"idle": 0.25, "user": 0.5, "system": 0.25}
BYTES = {"used": 300.0, "free": 500.0, "cached": 200.0}
DISK = {"used": 50.0, "reserved": 10.0, "free": 40.0}
LEVELS: list[tuple[str, str, dict[str, float], Labels, dict[str, float]]] = [
    ("system.cpu.utilization", "cpu.mode", CPU, {"cpu.logical_number": "0"}, {"cpu": 0.75}),
    ("system.cpu.utilization", "state", CPU, {"cpu": "0"}, {"cpu": 0.75}),
    ("system.memory.utilization", "system.memory.state", {"used": 0.4, "free": 0.6}, {}, {"memory": 0.4}),
    ("system.memory.usage", "system.memory.state", BYTES, {}, {"memory": 0.3}),
    ("system.memory.usage", "state", BYTES, {}, {"memory": 0.3}),
    ("system.filesystem.utilization", "mountpoint", {"/": 0.7, "/data": 0.2}, {}, {"filesystem /": 0.7, "filesystem /data": 0.2}),
    ("system.filesystem.usage", "system.filesystem.state", DISK, {"mountpoint": "/"}, {"filesystem /": 0.6}),
    ("system.filesystem.usage", "state", DISK, {"mountpoint": "/"}, {"filesystem /": 0.6}),
    ("system.paging.utilization", "system.paging.state", {"used": 0.1, "free": 0.9}, {}, {"swap": 0.1}),
    ("system.paging.utilization", "state", {"used": 0.1, "free": 0.9}, {}, {"swap": 0.1}),
    ("process.cpu.utilization", "process.pid", {"7": 0.35}, {}, {"process cpu": 0.35}),
    ("process.memory.utilization", "process.pid", {"7": 0.2}, {}, {"process memory": 0.2}),
]


@pytest.mark.parametrize(("metric", "label", "by_label", "more", "expected"), LEVELS)
def test_levels_of_a_host_by_otlp(
    metric: str, label: str, by_label: dict[str, float], more: Labels, expected: dict[str, float]
) -> None:
    assert means(otlp(3, points(metric, label, by_label, more))) == {0: close(expected)}


@pytest.mark.parametrize(
    ("metric", "label", "by_label", "more", "expected"),
    [
        ("system_cpu_utilization_ratio", "cpu_mode", CPU, {"cpu_logical_number": "0"}, {"cpu": 0.75}),
        ("system_cpu_utilization", "state", CPU, {"cpu": "0"}, {"cpu": 0.75}),
        ("system_memory_utilization_ratio", "system_memory_state", {"used": 0.4, "free": 0.6}, {}, {"memory": 0.4}),
        ("system_memory_usage_bytes", "system_memory_state", BYTES, {}, {"memory": 0.3}),
        ("system_filesystem_utilization_ratio", "mountpoint", {"/": 0.7}, {}, {"filesystem /": 0.7}),
        ("system_filesystem_usage_bytes", "system_filesystem_state", DISK, {"mountpoint": "/"}, {"filesystem /": 0.6}),
        ("system_paging_utilization_ratio", "system_paging_state", {"used": 0.1, "free": 0.9}, {}, {"swap": 0.1}),
    ],
)
def test_levels_of_a_host_by_prometheus(
    metric: str, label: str, by_label: dict[str, float], more: Labels, expected: dict[str, float]
) -> None:
    assert means(prometheus(3, points(metric, label, by_label, more))) == {0: close(expected)}


@pytest.mark.parametrize("label", ["cpu.mode", "state"])
def test_processor_seconds_by_mode_are_what_was_not_idle_since_the_export_before(label: str) -> None:
    """Of two processors, in 8 s: 6 + 2 s busy of 16, the first export being a beginning only."""
    before = {"0": {"user": 100.0, "system": 20.0, "idle": 900.0}, "1": {"user": 50.0, "system": 5.0, "idle": 970.0}}
    after = {"0": {"user": 105.0, "system": 21.0, "idle": 902.0}, "1": {"user": 51.0, "system": 6.0, "idle": 976.0}}
    messages = [
        message
        for at_s, by_cpu in ((1, before), (9, after))
        for message in otlp(
            at_s,
            [value for cpu, by_mode in by_cpu.items() for value in points("system.cpu.time", label, by_mode, {"cpu": cpu})],
            kind="cumulative",
            since_s=-3_600,
        )
    ]

    assert means(messages)[0] == close({"cpu": 0.5})


@pytest.mark.parametrize(("metric", "label"), [("node_cpu_seconds_total", "mode"), ("system_cpu_time_seconds_total", "cpu_mode")])
def test_prometheus_processor_seconds_mean_the_same(metric: str, label: str) -> None:
    messages = [
        message
        for at_s, by_mode in (
            (1, {"user": 100.0, "iowait": 7.0, "idle": 900.0}),
            (9, {"user": 106.0, "iowait": 8.0, "idle": 901.0}),
        )
        for message in prometheus(at_s, points(metric, label, by_mode, {"cpu": "0"}))
    ]

    assert means(messages)[0] == close({"cpu": 0.75})


def test_the_load_over_the_processors_that_arrive() -> None:
    values: list[tuple[str, float, Labels]] = [("system.cpu.load_average.1m", 3.0, {}), ("system.cpu.logical.count", 4.0, {})]

    assert means(otlp(3, values)) == {0: close({"load": 0.75})}


def test_node_exporters_load_over_the_processors_that_are_configured() -> None:
    assert means(prometheus(3, [("node_load1", 3.0, {})]), limited(load={"*": 8.0})) == {0: close({"load": 0.375})}


def test_a_host_without_a_service_is_one_by_its_name() -> None:
    host: Labels = {"host.name": "db-7", "deployment.environment.name": "prod"}
    message = reported(3, *points("system.memory.usage", "state", BYTES, {}), sender=dict(host))  # type: ignore[arg-type]

    assert means([message], service="db-7") == {0: close({"memory": 0.3})}
