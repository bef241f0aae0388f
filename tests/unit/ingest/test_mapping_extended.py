"""What metrics mean is data: a line more in config/semantic.yaml, and another team's own metrics become golden signals."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from pipeline.cli.mapping import explanation, lines_of
from pipeline.contracts.signals import Signals
from pipeline.settings import Settings, load_settings
from tests.brokers_fixture import ROOT
from tests.formats_world import SETTINGS, T0, TOPIC, key_values, settings_for, signals_of

TEAM: dict[str, str | int] = {"acme.team": "checkout", "acme.stage": "blue"}
MORE: dict[str, list[dict[str, Any]]] = {
    "requests": [
        {"metric": ["acme.checkout.time"], "unit": "ms", "operation": ["acme.step"], "source": "acme"},
        {"metric": ["acme.checkouts"], "form": "count", "operation": ["acme.step"], "source": "acme"},
    ],
    "saturation": [
        {"metric": ["acme.pool.busy"], "resource": "pool", "form": "used", "source": "acme"},
        {"metric": ["acme.pool.size"], "resource": "pool", "form": "limit", "source": "acme"},
        {"metric": ["acme.queue.fill"], "resource": "queue", "form": "ratio", "label": "acme.queue", "source": "acme"},
    ],
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The shipped configuration with a team's own lines in it, read from its files."""
    folder = tmp_path / "config"
    shutil.copytree(ROOT / "config", folder)
    semantic = yaml.safe_load((folder / "semantic.yaml").read_text())
    for section, rules in MORE.items():
        semantic[section] += rules
    semantic["service"].append("acme.team")
    semantic["environment"].append("acme.stage")
    semantic["failures"]["status"].append("acme.result")
    (folder / "semantic.yaml").write_text(yaml.safe_dump(semantic))
    found = load_settings(folder, env={})
    return replace(found, ingest=replace(found.ingest, decoders={TOPIC: "otlp_metrics"}))


def made() -> tuple[ExportMetricsServiceRequest, Any]:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(key_values(TEAM))
    return message, sender.scope_metrics.add().metrics


def window(message: ExportMetricsServiceRequest, settings: Settings) -> Signals:
    found = signals_of([(T0 + 9_999, message.SerializeToString())], settings)
    assert {name for name, _ in found} == {"checkout"}
    return found["checkout", T0]


def test_a_histogram_of_ones_own_is_requests_errors_and_latency(settings: Settings) -> None:
    message, metrics = made()
    metric = metrics.add(name="acme.checkout.time")  # comes without a unit: the rule has it
    metric.histogram.aggregation_temporality = 1
    for result, n, total in ((200, 8, 400.0), (503, 2, 600.0)):
        point = metric.histogram.data_points.add(start_time_unix_nano=T0 * 10**6, time_unix_nano=(T0 + 9_999) * 10**6)
        point.attributes.extend(key_values({"acme.step": "pay", "acme.result": result}))
        point.explicit_bounds.extend([100.0, 1_000.0])
        point.bucket_counts.extend([n if result == 200 else 0, n if result == 503 else 0, 0])
        point.count, point.sum = n, total

    signals = window(message, settings)

    assert (signals.environment, signals.traffic.requests, signals.errors.count) == ("blue", 10, 2)
    assert signals.operations.keys() == {"pay"}
    assert signals.latency is not None
    assert signals.latency.mean_ms == pytest.approx(100.0)


def test_a_counter_of_ones_own_is_requests_and_errors_without_latency(settings: Settings) -> None:
    message, metrics = made()
    counter = metrics.add(name="acme.checkouts").sum
    counter.is_monotonic, counter.aggregation_temporality = True, 1
    for result, n in ((200, 8), (503, 2)):
        point = counter.data_points.add(as_int=n, start_time_unix_nano=T0 * 10**6, time_unix_nano=(T0 + 9_999) * 10**6)
        point.attributes.extend(key_values({"acme.step": "pay", "acme.result": result}))

    signals = window(message, settings)

    assert (signals.traffic.requests, signals.errors.count, signals.latency) == (10, 2, None)


def test_levels_of_ones_own_are_saturation(settings: Settings) -> None:
    message, metrics = made()
    for name, value in (("acme.pool.busy", 6.0), ("acme.pool.size", 8.0), ("acme.queue.fill", 0.2)):
        point = metrics.add(name=name).gauge.data_points.add(as_double=value, time_unix_nano=(T0 + 3_000) * 10**6)
        point.attributes.extend(key_values({"acme.queue": "mail"}))

    found = {name: level.mean for name, level in window(message, settings).saturation.items()}

    assert found == {"pool": pytest.approx(0.75), "queue mail": pytest.approx(0.2)}


def test_without_those_lines_they_are_counted_by_name() -> None:
    message, metrics = made()
    metrics.add(name="acme.queue.fill").gauge.data_points.add(as_double=0.2, time_unix_nano=(T0 + 3_000) * 10**6)

    found = explanation(SETTINGS.ingest, TOPIC, "otlp_metrics", message.SerializeToString(), now_ms=T0 + 5_000)

    assert [line for line in lines_of(found) if "acme.queue.fill: means nothing here" in line]
    assert signals_of([(T0 + 5_000, message.SerializeToString())], settings_for("otlp_metrics")) == {}
