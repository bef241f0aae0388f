"""A gauge that is named a signal: its mean in a window, judged by the time of day, told under its own name."""

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
from pipeline.analyse.wording import number
from pipeline.cli.mapping import explanation, lines_of
from pipeline.contracts.anomalies import Finding, Judgement, Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.directory import Directory
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.semantic import NamedSignal
from pipeline.contracts.signals import Level
from pipeline.errors import ConfigError
from pipeline.ingest.decoders import decode as read
from pipeline.settings import Settings, load_settings
from tests.alert_samples import alert_events
from tests.formats_world import T0, TOPIC, key_values, settings_for, signals_of

METRICS = ("shop.queue", "shop_queue", "collectd.queue.depth")
QUEUE = NamedSignal(name="queue", metric=METRICS, form="gauge", source="the shop's own")
CONDITION = "level:queue"


def settings(decoder: str, rule: NamedSignal = QUEUE) -> Settings:
    found = settings_for(decoder)
    return replace(found, ingest=replace(found.ingest, semantic=replace(found.ingest.semantic, signals=(rule,))))


def otlp(at_s: int, *values: float, kind: str = "gauge", **attributes: str) -> tuple[int, bytes]:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(key_values({"service.name": "shop"}))
    metric = sender.scope_metrics.add().metrics.add(name="shop.queue")
    if kind != "gauge":
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = kind == "counter", 1 if kind == "delta" else 2
    points = metric.gauge.data_points if kind == "gauge" else metric.sum.data_points
    for value in values:
        point = points.add(as_double=value, time_unix_nano=(T0 + at_s * 1000) * 10**6)
        point.attributes.extend(key_values(attributes))
    return T0 + at_s * 1000, message.SerializeToString()


def prometheus(at_s: int, value: str, **labels: str) -> tuple[int, bytes]:
    sample = {"timestamp": T0 // 1000 + at_s, "value": value, "name": "shop_queue", "labels": {"service": "shop", **labels}}
    return T0 + at_s * 1000, json.dumps(sample).encode()


def collectd(at_s: int, value: float, kind: str = "gauge") -> tuple[int, bytes]:
    values = {
        "values": [value], "dstypes": [kind], "dsnames": ["value"], "time": T0 // 1000 + at_s, "interval": 10,
        "host": "shop", "plugin": "queue", "plugin_instance": "", "type": "depth", "type_instance": "",
    }  # fmt: skip
    return T0 + at_s * 1000, json.dumps([values]).encode()


def putval(at_s: int, value: float) -> tuple[int, bytes]:
    return T0 + at_s * 1000, f'PUTVAL "shop/queue/depth" interval=10 {T0 // 1000 + at_s}:{value}'.encode()


def native(at_s: int, value: float) -> tuple[int, bytes]:
    gauge = {"kind": "gauge", "service": "shop", "resource": "shop.queue", "value": value, "time": T0 + at_s * 1000}
    return T0 + at_s * 1000, json.dumps(gauge).encode()


@pytest.mark.parametrize(
    ("decoder", "messages"),
    [
        ("otlp_metrics", [otlp(5, 4.0, -3.0), otlp(10, 8.0)]),
        ("otlp_metrics", [otlp(5, 4.0, -3.0, kind="up and down"), otlp(10, 8.0, kind="up and down")]),
        ("prometheus", [prometheus(5, "4"), prometheus(6, "-3"), prometheus(10, "8"), prometheus(10, "NaN")]),
        ("collectd", [collectd(5, 4), collectd(6, -3), collectd(10, 8)]),
        ("collectd_counters", [collectd(5, 4), collectd(6, -3), collectd(10, 8)]),
        ("collectd", [putval(5, 4), putval(6, -3), putval(10, 8)]),
        ("native", [native(5, 4), native(6, -3), native(10, 8.0)]),
    ],
)
def test_a_gauges_values_are_its_signals_level(decoder: str, messages: list[tuple[int, bytes]]) -> None:
    found = signals_of(messages, settings(decoder))

    assert found["shop", T0].levels == {"queue": Level(mean=3.0, min=-3.0, max=8.0)}
    assert found["shop", T0].completeness.readings == 3
    assert found["shop", T0].saturation == {}


@pytest.mark.parametrize(
    ("decoder", "message", "rule"),
    [
        ("otlp_metrics", otlp(5, 4.0, kind="delta"), QUEUE),
        ("otlp_metrics", otlp(5, 4.0, kind="counter"), QUEUE),
        ("otlp_metrics", otlp(5, 4.0), replace(QUEUE, form="counter")),
        ("otlp_metrics", otlp(5, 4.0, queue="b"), replace(QUEUE, attribute=("queue",), states=("a",))),
        ("prometheus", prometheus(5, "4", queue="b"), replace(QUEUE, attribute=("queue",), states=("a",))),
        ("collectd_counters", collectd(5, 4, "derive"), QUEUE),
    ],
)
def test_what_is_no_gauge_or_not_of_its_states_is_no_level(decoder: str, message: tuple[int, bytes], rule: NamedSignal) -> None:
    found = read(settings(decoder, rule).ingest, TOPIC, InRecord(0, message[0], None, message[1]))

    assert (found.readings, found.rejections, found.n_ignored) == ([], [], 1)


@pytest.mark.parametrize(
    ("decoder", "message", "reason"),
    [
        ("otlp_metrics", otlp(5, 1e101), RejectReason.OUT_OF_RANGE),
        ("prometheus", prometheus(5, "+Inf"), RejectReason.NOT_FINITE),
    ],
)
def test_a_level_without_a_square_is_refused(decoder: str, message: tuple[int, bytes], reason: RejectReason) -> None:
    found = read(settings(decoder).ingest, TOPIC, InRecord(0, message[0], None, message[1]))

    assert [refusal.reason for refusal in found.rejections] == [reason]


def test_a_native_value_without_a_limit_is_refused_where_no_signal_names_its_resource() -> None:
    at, value = native(5, 4)

    found = read(settings_for("native").ingest, TOPIC, InRecord(0, at, None, value))

    assert [refusal.field for refusal in found.rejections] == ["limit"]


@pytest.mark.parametrize(("decoder", "message"), [("otlp_metrics", otlp(5, 4.0)), ("prometheus", prometheus(5, "4"))])
def test_a_sample_says_by_which_rule_it_is_a_signal(decoder: str, message: tuple[int, bytes]) -> None:
    text = "\n".join(lines_of(explanation(settings(decoder).ingest, TOPIC, decoder, message[1], now_ms=T0 + 60_000)))

    assert "gauge of the signal queue; the shop's own" in text
    assert "becomes     1 x signal (queue: 4) of default/shop" in text


def judged(stage: DetectionStage, values: list[float | None], first: int = 0) -> list[OutRecord]:
    """Return the verdicts on windows whose signals the chain before makes of OTLP."""
    messages = [
        message
        for i, value in enumerate(values, first)
        for message in ([otlp(10 * i + 10, value)] if value is not None else [heard(10 * i + 10)])
    ]
    found = signals_of(messages, settings("otlp_metrics"))
    return [
        out
        for i, signals in ((i, found["shop", T0 + 10_000 * i]) for i in range(first, first + len(values)))
        for out in stage.step(InRecord(i, 0, None, msgspec.json.encode(signals)), 0)
    ]


def heard(at_s: int) -> tuple[int, bytes]:
    message = ExportMetricsServiceRequest.FromString(otlp(at_s, 0.5)[1])
    message.resource_metrics[0].scope_metrics[0].metrics[0].name = "process.cpu.utilization"
    return T0 + at_s * 1000, message.SerializeToString()


def findings(outputs: list[OutRecord]) -> list[Finding]:
    told = [decode(out.value or b"", Verdict).findings for out in outputs]
    return [finding for each in told for finding in each if finding.condition == CONDITION]


def usual(n: int) -> list[float | None]:
    rng = random.Random(1)
    return [rng.gauss(40.0, 3.0) for _ in range(n)]


def watch(direction: str = "both") -> DetectionStage:
    params = DetectionParams(ready_windows=60, signals=(SignalParams(name="queue", direction=direction),))  # type: ignore[arg-type]
    return restore(params, 0, {})


@pytest.mark.parametrize(
    ("direction", "now", "is_news"),
    [("up", 400.0, True), ("up", 1.0, False), ("down", 1.0, True), ("down", 400.0, False), ("both", 1.0, True)],
)
def test_its_direction_says_what_is_news(direction: str, now: float, is_news: bool) -> None:
    told = findings(judged(watch(direction), [*usual(300), now, now, now]))

    assert told[0].judgement is Judgement.NOT_READY
    assert not any(finding.judgement is Judgement.ANOMALOUS for finding in told[:300])
    assert any(finding.judgement is Judgement.ANOMALOUS for finding in told[300:]) is is_news


def test_a_window_without_its_value_has_no_data_of_it() -> None:
    told = findings(judged(watch(), [*usual(100), None]))

    assert told[-1].judgement is Judgement.NO_DATA


def test_its_alert_has_its_name_and_says_what_is_expected_and_how_rare_it_is() -> None:
    outputs = judged(watch(), [*usual(700), 400.0, 400.0, 400.0])
    stage = lifecycle(AlertingParams(), Directory(), 0, {})

    said = [event for i, out in enumerate(outputs) for event in stage.step(InRecord(i, 0, None, out.value), 0)]
    fired = next(event for event in alert_events(said) if event.condition == CONDITION and event.transition == "fired")

    assert fired.expected == pytest.approx(40, rel=0.1)
    assert (fired.lower or 0) < 40 < (fired.upper or 0) < 400
    assert fired.sentence.startswith("shop (default): queue is 400, 10 times what is normal at this hour (")
    assert "1 in " in fired.sentence


def test_a_gauge_below_zero_is_told_with_both_ends_of_its_band() -> None:
    cold = [None if value is None else value - 75.0 for value in usual(700)]
    outputs = judged(watch(), [*cold, -150.0, -150.0, -150.0])
    stage = lifecycle(AlertingParams(), Directory(), 0, {})

    said = [event for i, out in enumerate(outputs) for event in stage.step(InRecord(i, 0, None, out.value), 0)]
    fired = next(event for event in alert_events(said) if event.condition == CONDITION and event.transition == "fired")

    assert fired.lower is not None
    assert fired.upper is not None
    assert fired.lower < -35 < fired.upper < 0
    assert f"({number(fired.lower)} to {number(fired.upper)})" in fired.sentence


def test_a_gauge_that_is_gone_in_the_middle_of_its_alarm_does_not_stop_learning_for_ever() -> None:
    params = DetectionParams(ready_windows=60, max_alarm_s=600)
    outputs = judged(restore(params, 0, {}), [*usual(300), *[400.0] * 5, *[None] * 70])

    seen = [
        next(finding.n_seen for finding in decode(out.value or b"", Verdict).findings if finding.condition == "traffic")
        for out in outputs
    ]

    assert seen[300] == seen[350] == 300
    assert seen[-1] > 305


def test_what_no_counter_can_be_and_states_of_no_attribute_are_refused_at_start_up_all_at_once(tmp_path: Path) -> None:
    shutil.copytree("config", tmp_path / "config")
    semantic, detection = tmp_path / "config/semantic.yaml", tmp_path / "config/detection.yaml"
    semantic.write_text(
        semantic.read_text().replace("signals: []", "signals: [{name: orders, metric: [o, collectd.o.total], states: [a]}]")
    )
    detection.write_text(detection.read_text().replace("signals: []", "signals: [{name: orders, plus: 5}]"))

    with pytest.raises(ConfigError) as refused:
        load_settings(tmp_path / "config", env={})

    assert "'orders' is a counter, whose least effect only `times` can say" in str(refused.value)
    assert "'orders' has states, but no attribute" in str(refused.value)
    assert "'orders' is a counter of 'collectd.o.total'" in str(refused.value)


def test_what_was_learned_of_it_survives_a_restart() -> None:
    values = [*usual(300), 90.0, 95.0, 90.0]
    whole, halves = watch(), watch()
    told = judged(whole, values)
    first = judged(halves, values[:200])
    rows = {name: row for name, row in halves.take_changes().items() if row is not None}
    params = DetectionParams(ready_windows=60, signals=(SignalParams(name="queue"),))

    second = judged(restore(params, 0, rows), values[200:], first=200)

    assert [msgspec.json.encode(one) for one in findings(first + second)] == [msgspec.json.encode(one) for one in findings(told)]
