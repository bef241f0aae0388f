"""Every sender at once, each in the format it speaks, on two topics of one running Tocsin whose decoders are all `auto`."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.adapters.brokers import KafkaBroker
from pipeline.adapters.clock import now_ms
from pipeline.adapters.reading import read_topic
from tests.scenarios.running import Tocsin, Windows, running
from tests.senders.collectd import EXPECTED, collectd, put_values
from tests.senders.lines import BY_SEVERITY, LINES, access_lines, rfc3164, rfc5424
from tests.senders.otel import FORMS, Route, collecting, metering, report_levels, report_requests, report_spans
from tests.senders.shippers import confluent, kcat, octet_counted, rsyslog, send_lines, syslog_ng
from tests.senders.traffic import ASKED, native

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
REQUESTS = {**{f"prod/{form}": 400 for form in FORMS}, "prod/spans": 400, "prod/web": 400, "default/shop": 400}
LOGS = {severity: 2 * n for severity, n in BY_SEVERITY.items()}
"""Of the program `shop`, whose lines came through rsyslog and through syslog-ng."""


def speak_everything(tocsin: Tocsin) -> None:
    """Let the configuration find every format out by itself, and say how fast the network is."""
    main, semantic = (tocsin.folder / "config" / name for name in ("tocsin.yaml", "semantic.yaml"))
    content = yaml.safe_load(main.read_text())
    decoders = content["ingest"]["decoders"]
    content["ingest"]["decoders"] = {topic: "auto" if name == "native" else name for topic, name in decoders.items()}
    main.write_text(yaml.safe_dump(content))
    mapping = yaml.safe_load(semantic.read_text())
    mapping["limits"] = {"network in": {"*": 125_000_000}, "network out": {"*": 125_000_000}}
    semantic.write_text(yaml.safe_dump(mapping))


@contextlib.contextmanager
def senders(broker: KafkaBroker, folder: Path, metrics: str, logs: str) -> Iterator[None]:
    """Let every sender report; those that deliver later, and forget what is left when they stop, stop at the end."""
    routes = {"all": Route({"metrics": metrics, "traces": metrics}, encoding="otlp_json", compression="zstd")}
    with contextlib.ExitStack() as open_until_the_end:
        enter = open_until_the_end.enter_context
        address = enter(collecting(broker, folder, routes))
        for service, form in FORMS.items():
            with metering(address, service, **form) as provider:
                report_requests(provider, ASKED[:150], ASKED[150:])
        with metering(address, "levels") as provider:
            report_levels(provider)
        report_spans(address, "spans", ASKED)
        enter(collectd(broker, folder, {metrics: "Format JSON"})).put(put_values(now_ms() // 10_000 * 10 - 25, 2))
        port = enter(rsyslog(broker, folder, [(logs, "json", "gzip")]))
        send_lines(port, "".join(f"{line}\n" for line in rfc3164(LINES, now_ms())).encode())
        port = enter(syslog_ng(broker, folder, [(logs, "<$PRI>1 $ISODATE $HOST $PROGRAM $PID $MSGID $SDATA $MSG", "lz4")]))
        send_lines(port, octet_counted(rfc5424(LINES, now_ms())))
        kcat(broker, logs, access_lines(ASKED, now_ms()), "-z", "snappy", "-H", "service=web", "-H", "environment=prod")
        confluent(broker, metrics, (line.encode() for line in native(ASKED, now_ms())), compression="zstd", headers={})
        yield


def requests_of(windows: Windows) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for (service, _), window in windows.by_key.items():
        counted[service] += window["traffic"]["requests"]
    return {service: n for service, n in counted.items() if n}


def logs_of(windows: Windows, service: str) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for (own, _), window in windows.by_key.items():
        if own == service:
            counted.update(window.get("logs", {}))
    return dict(counted)


def levels_of(windows: Windows, service: str) -> list[dict[str, float]]:
    """Return the utilizations of a service's windows that tell any, in order of time."""
    found: list[tuple[int, dict[str, Any]]] = [
        (start, window["saturation"])
        for (own, start), window in windows.by_key.items()
        if own == service and window.get("saturation")
    ]
    return [
        {name: round(level["mean"], 4) for name, level in levels.items()} for _, levels in sorted(found, key=lambda one: one[0])
    ]


async def test_every_senders_telemetry_becomes_the_right_golden_signals(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    windows = Windows()

    def is_complete() -> bool:
        return (
            requests_of(windows) == REQUESTS
            and logs_of(windows, "default/shop") == LOGS
            and len(levels_of(windows, "default/web")) == 2
        )

    async with running(kafka_broker, tmp_path, is_started=False) as tocsin:
        speak_everything(tocsin)
        await tocsin.start()
        sending = senders(kafka_broker, tmp_path, tocsin.names["telemetry.metrics"], tocsin.names["telemetry.logs"])
        await asyncio.to_thread(sending.__enter__)
        try:
            await tocsin.until("signals", lambda read: bool(windows.take(read)) and is_complete(), "all signals", patience_s=90)
        finally:
            await asyncio.to_thread(sending.__exit__, None, None, None)
        letters = [read async for read in read_topic(tocsin.settings.connection, tocsin.names["dead-letters"])]

    assert letters == []
    assert levels_of(windows, "prod/levels") == [{"cpu": 0.5, "filesystem /": 0.875, "memory": 0.75, "process cpu": 0.0625}]
    assert levels_of(windows, "default/web")[-1] == EXPECTED
    assert {window["traffic"]["requests"] for window in windows.by_key.values() if window["service"] == "levels"} == {0}
    failed = Counter[str]()
    for (service, _), window in windows.by_key.items():
        failed[service] += window["errors"]["count"]
    assert {service: failed[service] for service in REQUESTS} == dict.fromkeys(REQUESTS, 40)
