"""A log line that was never seen becomes an anomaly and a ticket, with one of the lines and how many they are."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.clock import now_ms
from pipeline.backtest.chain import Chain
from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.records import OutRecord
from pipeline.settings import load_settings
from tests.scenarios.running import Sent, running

WINDOW_MS, MINUTE_MS = 10_000, 60_000
START_MS = 1_767_571_200_000
TOPIC = "telemetry.logs"
TEMPLATE = "lost connection to <*> after <*>: <*>"
ESCAPED = "lost connection to 10.0.0.7:5432 after 31ms: 'no \x1b[31mroute'"


def usual(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield (severity, text) of a window without trouble."""
    for _ in range(rng.randint(8, 14)):
        yield "info", f"served /cart/{rng.randrange(10_000)} in {rng.randrange(5, 90)}ms"
    if rng.random() < 0.3:
        yield "warn", f"cache miss for item {rng.randrange(1000)}"


def logged(start_ms: int, rng: random.Random, n_new: int) -> list[dict[str, object]]:
    """Return the lines of a window as a program logs them in JSON."""
    lines = [*usual(rng), *[("error", ESCAPED)] * n_new]
    return [
        {"app": "cart", "env": "prod", "ts": start_ms + rng.randrange(WINDOW_MS), "level": severity, "msg": text}
        for severity, text in lines
    ]


def test_a_new_error_is_an_anomaly_in_its_first_window_and_a_ticket_in_its_second() -> None:
    rng, findings, events = random.Random(3), list[tuple[int, Finding]](), list[AlertEvent]()

    def heard(output: OutRecord) -> None:
        if output.topic == "anomalies":
            verdict = decode(output.value or b"", Verdict)
            findings.extend(
                (verdict.window_start_ms, found) for found in verdict.findings if found.condition.startswith("template_")
            )
        elif output.topic == "alert-events":
            events.append(decode(output.value or b"", AlertEvent))

    settings = load_settings(env={})
    settings = replace(settings, ingest=replace(settings.ingest, decoders={TOPIC: "json_logs"}))
    chain = Chain(settings, heard, sources=[(TOPIC, 0)])
    began_ms, end_ms = START_MS + 90 * MINUTE_MS, START_MS + 105 * MINUTE_MS
    for start_ms in range(START_MS, end_ms, WINDOW_MS):
        n_new = rng.randint(2, 4) if began_ms <= start_ms < began_ms + 5 * MINUTE_MS else 0
        chain.feed(json.dumps(logged(start_ms, rng, n_new)).encode(), start_ms + WINDOW_MS)
    chain.drain()

    anomalous = [(start_ms, found) for start_ms, found in findings if found.judgement is Judgement.ANOMALOUS]
    start_ms, first = anomalous[0]
    assert (start_ms, first.condition, first.severity) == (began_ms, "template_new", Severity.TICKET)
    assert first.log is not None
    assert (first.log.template, first.log.severity) == (TEMPLATE, "error")
    assert first.log.example == "lost connection to 10.0.0.7:5432 after 31ms: 'no  [31mroute'"
    assert 2 <= first.log.n <= 4
    assert first.observed == first.log.n

    told = [(event.transition, event.condition) for event in events if event.transition in {Transition.FIRED, Transition.RESOLVED}]
    assert told == [(Transition.FIRED, "template_new"), (Transition.RESOLVED, "template_new")]
    fired = next(event for event in events if event.transition is Transition.FIRED)
    assert fired.fired_at_ms == began_ms + 2 * WINDOW_MS
    assert fired.log is not None
    assert fired.suggested_action
    assert "error log lines of a kind never seen before" in fired.sentence
    assert "such as \"lost connection to 10.0.0.7:5432 after 31ms: 'no [31mroute'\"" in fired.sentence
    assert fired.sentence.isprintable()


@pytest.mark.parametrize("form", ["native", "lines"])
async def test_through_kafka_a_new_error_is_a_ticket_with_its_line(broker: LocalBroker, tmp_path: Path, form: str) -> None:
    rng, end_ms = random.Random(5), now_ms() // WINDOW_MS * WINDOW_MS
    began_ms = end_ms - 2 * MINUTE_MS

    def message(severity: str, text: str, at_ms: int) -> Sent:
        if form == "native":
            record = {"kind": "log", "service": "cart", "environment": "prod", "time": at_ms, "severity": severity, "body": text}
            return "telemetry.logs", None, json.dumps(record).encode(), at_ms, ()
        line = f'ts={at_ms} level={severity} msg="{text}"'.encode()
        return "telemetry.logs", None, line, at_ms, (("service", b"cart"), ("environment", b"prod"))

    sent = []
    for start_ms in range(end_ms - 30 * MINUTE_MS, end_ms, WINDOW_MS):
        lines = [*usual(rng), *([("error", "lost connection to 10.0.0.7 after 31ms")] * 3 if start_ms >= began_ms else [])]
        sent += [message(severity, text, start_ms + rng.randrange(WINDOW_MS)) for severity, text in lines]
    sent.sort(key=lambda one: one[3])
    async with running(broker, tmp_path, is_started=False) as tocsin:
        shorten_learning(tocsin.folder / "config", decoder=form, topic=tocsin.names["telemetry.logs"])
        await tocsin.start()
        await tocsin.send(sent)

        def is_told(read: object) -> bool:
            value = json.loads(read.record.value or b"{}")  # type: ignore[attr-defined]
            return value.get("condition") == "template_new" and value.get("transition") == "fired"

        read = await tocsin.until("alert-events", is_told, "a ticket about a new log line")
    event = decode(read[-1].record.value or b"", AlertEvent)
    assert event.log is not None
    assert (event.log.template, event.log.example) == ("lost connection to <*> after <*>", "lost connection to 10.0.0.7 after 31ms")
    assert (event.since_ms, event.log.n, event.severity) == (began_ms, 3, Severity.TICKET)


def shorten_learning(folder: Path, *, decoder: str, topic: str) -> None:
    """Let log templates be judged after ten minutes, and read the logs in a format."""
    detection = yaml.safe_load((folder / "detection.yaml").read_text())
    detection["templates"]["ready_s"] = 600
    (folder / "detection.yaml").write_text(yaml.safe_dump(detection))
    main = yaml.safe_load((folder / "tocsin.yaml").read_text())
    main["ingest"]["decoders"][topic] = decoder
    (folder / "tocsin.yaml").write_text(yaml.safe_dump(main))
