"""A counter that is named a signal: its growth in a window, judged by the hour of the day, told under its own name."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from pipeline.analyse.detection import DetectionParams, DetectionStage, restore
from pipeline.analyse.detection_params import SignalParams
from pipeline.analyse.lifecycle import AlertingParams
from pipeline.analyse.lifecycle import restore as lifecycle
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.semantic import NamedSignal
from pipeline.contracts.signals import Completeness, Errors, Signals, Traffic
from pipeline.errors import ConfigError
from pipeline.settings import load_settings
from tests.alert_samples import alert_events
from tests.formats_world import T0, key_values, settings_for, signals_of

ORDERS = NamedSignal(name="orders", metric=("shop.orders", "shop_orders_total"))
CONDITION = "signal:orders"


def otlp(at_s: int, value: int, *, cumulative: bool, began_s: int = 0, shop: str = "a") -> tuple[int, bytes]:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(key_values({"service.name": "shop"}))
    metric = sender.scope_metrics.add().metrics.add(name="shop.orders")
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2 if cumulative else 1
    start_ms = T0 + began_s * 1000 if cumulative else T0 + at_s * 1000 - 10_000
    point = metric.sum.data_points.add(as_int=value, time_unix_nano=(T0 + at_s * 1000) * 10**6)
    point.start_time_unix_nano = start_ms * 10**6
    point.attributes.extend(key_values({"shop": shop}))
    return T0 + at_s * 1000, message.SerializeToString()


def prometheus(at_s: int, value: int) -> tuple[int, bytes]:
    sample = {"timestamp": T0 // 1000 + at_s, "value": str(value), "name": "shop_orders_total", "labels": {"service": "shop"}}
    return T0 + at_s * 1000, json.dumps(sample).encode()


@pytest.mark.parametrize(
    ("decoder", "messages", "amounts"),
    [
        ("otlp_metrics", [otlp(s, n, cumulative=False) for s, n in ((10, 4), (10, 3), (20, 5))], [7.0, 5.0]),
        ("otlp_metrics", [otlp(s, n, cumulative=True) for s, n in ((10, 4), (20, 9))], [4.0, 5.0]),
        ("otlp_metrics", [otlp(10, 9, cumulative=True), otlp(20, 2, cumulative=True, began_s=15)], [9.0, 2.0]),
        ("otlp_metrics", [otlp(10, 4, cumulative=True), otlp(10, 3, cumulative=True, shop="b")], [7.0]),
        ("prometheus", [prometheus(s, n) for s, n in ((10, 100), (20, 108), (30, 3))], [0.0, 8.0, 3.0]),
    ],
)
def test_a_counters_growth_is_its_signals_amount(decoder: str, messages: list[tuple[int, bytes]], amounts: list[float]) -> None:
    settings = settings_for(decoder)
    semantic = replace(settings.ingest.semantic, signals=(ORDERS,))

    found = signals_of(messages, replace(settings, ingest=replace(settings.ingest, semantic=semantic)))

    assert [found["shop", T0 + i * 10_000].amounts.get("orders") for i in range(len(amounts))] == amounts


def window(i: int, orders: float | None) -> Signals:
    start_ms = T0 + i * 10_000
    return Signals(
        id="x", environment="prod", service="shop", version="", revision=1,
        window_start_ms=start_ms, window_end_ms=start_ms + 10_000,
        traffic=Traffic(requests=50, requests_per_second=5.0), errors=Errors(count=0),
        completeness=Completeness(readings=50, late=0, sources=1, delay_ms=3000),
        amounts={} if orders is None else {"orders": orders},
    )  # fmt: skip


def judged(stage: DetectionStage, amounts: list[float | None], first: int = 0) -> list[OutRecord]:
    return [
        out
        for i, n in enumerate(amounts, first)
        for out in stage.step(InRecord(i, 0, None, encode(window(i, n))), 0)
    ]  # fmt: skip


def findings(outputs: list[OutRecord]) -> list[Finding]:
    told = [decode(out.value or b"", Verdict).findings for out in outputs]
    return [finding for each in told for finding in each if finding.condition == CONDITION]


def usual(n: int) -> list[float | None]:
    rng = random.Random(1)
    return [float(sum(rng.random() < 0.2 for _ in range(200))) for _ in range(n)]


def watch(direction: str) -> DetectionStage:
    params = DetectionParams(ready_windows=60, signals=(SignalParams(name="orders", direction=direction),))  # type: ignore[arg-type]
    return restore(params, 0, {})


@pytest.mark.parametrize(
    ("direction", "now", "is_news"),
    [
        ("both", 0.0, True),
        ("down", None, True),
        ("up", 0.0, False),
        ("both", 400.0, True),
        ("up", 400.0, True),
        ("down", 400.0, False),
    ],
)
def test_its_direction_says_what_is_news_and_not_being_heard_of_is_none_of_it(
    direction: str, now: float | None, is_news: bool
) -> None:
    stage = watch(direction)

    outputs = judged(stage, [*usual(300), now, now, now])

    assert any(finding.judgement is Judgement.ANOMALOUS for finding in findings(outputs)[-3:]) is is_news
    assert not any(finding.judgement is Judgement.ANOMALOUS for finding in findings(outputs)[:300])


def test_its_alert_has_its_name_and_its_own_unit() -> None:
    outputs = judged(watch("both"), [*usual(300), 0.0, 0.0, 0.0])
    stage = lifecycle(AlertingParams(), Directory(), 0, {})

    said = [event for i, out in enumerate(outputs) for event in stage.step(InRecord(i, 0, None, out.value), 0)]
    fired = next(event for event in alert_events(said) if event.condition == CONDITION and event.transition == "fired")

    assert fired.severity is Severity.PAGE
    assert fired.unit == "a minute"
    assert fired.expected == pytest.approx(240, rel=0.2)
    assert fired.sentence.startswith("shop (prod): orders is 0 a minute")


def test_what_was_learned_of_it_survives_a_restart() -> None:
    whole, halves = watch("both"), watch("both")
    values = [*usual(300), 3.0, 2.0, 3.0]
    told = judged(whole, values)
    first = judged(halves, values[:200])
    rows = {name: row for name, row in halves.take_changes().items() if row is not None}
    params = DetectionParams(ready_windows=60, signals=(SignalParams(name="orders"),))

    second = judged(restore(params, 0, rows), values[200:], first=200)

    assert [msgspec.json.encode(one) for one in findings(first + second)] == [msgspec.json.encode(one) for one in findings(told)]


def test_effects_of_a_signal_that_nothing_counts_are_refused_at_start_up(tmp_path: Path) -> None:
    shutil.copytree("config", tmp_path / "config")
    told = (tmp_path / "config/detection.yaml").read_text()
    (tmp_path / "config/detection.yaml").write_text(told.replace("signals: []", "signals: [{name: orders, direction: up}]"))

    with pytest.raises(ConfigError, match=r"'orders' is no signal of semantic\.yaml"):
        load_settings(tmp_path / "config", env={})
