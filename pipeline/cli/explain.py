"""`tocsin explain`: what was seen of a service or behind an alert, what was expected, what was decided, and why."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.cli.lines import signals_record
from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say_json, show
from pipeline.cli.running import run
from pipeline.cli.story import COLUMNS, UNREMARKABLE, Evidence, Story, find_alert, name_of, tell
from pipeline.contracts.alerts import Alert, AlertEvent
from pipeline.contracts.anomalies import Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.remediation import CloudEvent, RemediationRequest, RemediationResult
from pipeline.contracts.signals import Signals
from pipeline.errors import RecordInvalid, UsageError

if TYPE_CHECKING:
    from pipeline.cli.reading import Stored
    from pipeline.settings import Settings

T = TypeVar("T")
BY_SERVICE = ("signals", "anomalies")
RECENT = 300
"""Newest records of each partition in which a service that is named without its environment is looked for."""
OVERALL = ("alert-events", "alerts", "remediation.requests", "remediation.results")


def explain(
    name: Annotated[str, typer.Argument(metavar="SERVICE|ALERT", help="environment/service, an alert's id, or its dedup key.")],
    *,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Tell what was seen, what was expected, what was decided, and why."""
    story = run(_explain(settings_of(config, broker), name))
    if as_json:
        say_json(story.data)
    else:
        _show(story)


async def _explain(settings: "Settings", name: str) -> Story:
    overall = await _records(settings, OVERALL, None)
    events = _all(overall, "alert-events", AlertEvent)
    alert = find_alert(name, events)
    services = {name_of(event) for event in events}
    if "/" not in name and not any(key.partition("/")[2] == name for key in services):
        services |= await _recent_services(settings)
    key = name_of(alert) if alert is not None else _service_key(name, services)
    of_service = await _records(settings, BY_SERVICE, key)
    own = [record for record in of_service if record.key == key.encode()]
    evidence = Evidence(
        key=key,
        signals=_newest_revisions(own),
        verdicts=_once({verdict.id: verdict for verdict in _all(own, "anomalies", Verdict)}),
        events=_once({event.id: event for event in events if name_of(event) == key}),
        alerts=_current(overall, key),
        requests=[request for request in _requests(overall) if f"{request.environment}/{request.service}" == key],
        results=_all(overall, "remediation.results", RemediationResult),
    )
    if not evidence.signals and not evidence.events:
        raise UsageError(f"nothing is known of {name!r}: name a service as environment/service, an alert's id, or its dedup key")
    return tell(evidence, alert)


def _service_key(name: str, known: set[str]) -> str:
    if "/" in name:
        return name
    own = sorted(key for key in known if key.partition("/")[2] == name)
    if len(own) > 1:
        raise UsageError(f"{name!r} is a service of several environments: say one of {', '.join(own)}")
    return own[0] if own else f"default/{name}"


async def _recent_services(settings: "Settings") -> set[str]:
    from pipeline.cli.reading import read  # noqa: PLC0415 - what --help need not wait for

    names = {"signals": settings.topics.names()["signals"]}
    return {
        record.key.decode(errors="replace")
        async for record in read(settings.connection, names, last=RECENT)
        if record.key is not None
    }


async def _records(settings: "Settings", topics: tuple[str, ...], key: str | None) -> "list[Stored]":
    from pipeline.cli.reading import read  # noqa: PLC0415 - what --help need not wait for

    names = settings.topics.names()
    stored = read(settings.connection, {topic: names[topic] for topic in topics}, key=key)
    return [record async for record in stored]


def _all(records: "list[Stored]", topic: str, record_type: type[T]) -> list[T]:
    return _decoded(records, topic, lambda value: decode(value, record_type))


def _decoded(records: "list[Stored]", topic: str, read: Callable[[bytes], T]) -> list[T]:
    found: list[T] = []
    for record in records:
        if record.topic == topic and record.value is not None:
            try:
                found.append(read(record.value))
            except RecordInvalid:
                continue  # `tail` shows what is unreadable; a story is made of the rest
    return found


def _once(by_id: dict[str, T]) -> list[T]:
    return list(by_id.values())


def _newest_revisions(records: "list[Stored]") -> list[Signals]:
    newest: dict[str, Signals] = {}
    for record in _decoded(records, "signals", signals_record):
        if isinstance(record, Signals) and (record.id not in newest or record.revision >= newest[record.id].revision):
            newest[record.id] = msgspec.structs.replace(record, histogram=None)
    return sorted(newest.values(), key=lambda window: window.window_start_ms)


def _current(records: "list[Stored]", key: str) -> list[Alert]:
    by_key: dict[str, Alert] = {}
    for alert in _all(records, "alerts", Alert):
        if f"{alert.environment}/{alert.service}" == key:
            by_key[alert.event.dedup_key] = alert
    return list(by_key.values())


def _requests(records: "list[Stored]") -> list[RemediationRequest]:
    sent = _all(records, "remediation.requests", CloudEvent[RemediationRequest])
    return _once({event.data.idempotency_key: event.data for event in sent})


def _show(story: Story) -> None:
    parts: list[Text | Table | Padding] = [Text(story.title, style="bold")]
    for i, chapter in enumerate(story.chapters):
        parts += [
            Text(""),
            Text(chapter.heading, style="bold cyan"),
            *(Padding(Text(line), (0, 0, 0, 2), expand=False) for line in chapter.lines),
        ]
        if i == 0 and story.rows:
            table = Table(*COLUMNS, border_style="dim")
            for row in story.rows:
                table.add_row(
                    *(
                        Text(cell, style="red" if column == len(row) - 1 and cell not in UNREMARKABLE else "")
                        for column, cell in enumerate(row)
                    )
                )
            parts.append(table)
    show(Group(*parts))
