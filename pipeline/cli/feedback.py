"""`tocsin feedback`: tell the detectors what a service's alerts were worth."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say_json, tell
from pipeline.cli.running import run
from pipeline.cli.story import find_alert
from pipeline.contracts.alerts import AlertEvent
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.keys import service_key
from pipeline.contracts.partials import FeedbackVerdict
from pipeline.contracts.telemetry import Feedback
from pipeline.errors import RecordInvalid, UsageError

if TYPE_CHECKING:
    from pipeline.settings import Settings

_EFFECTS = {
    FeedbackVerdict.FALSE_POSITIVE: "it takes more to be told of this again, for a while",
    FeedbackVerdict.EXPECTED: "told by day until it is over, not learned",
    FeedbackVerdict.NEW_NORMAL: "learned anew from now on",
}


def feedback(
    name: Annotated[str, typer.Argument(metavar="SERVICE|ALERT", help="environment/service, an alert's id, or its dedup key.")],
    verdict: Annotated[FeedbackVerdict, typer.Argument(help="What the alert was.")],
    *,
    condition: Annotated[
        str,
        typer.Option(
            metavar="CONDITION",
            help="Whose alert: latency, errors, saturation:cpu ...; default: the alert's that is named, else all in alarm.",
        ),
    ] = "",
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Say of a service's alert that it was a false positive, is expected, or shows the new normal."""
    said = run(_say(settings_of(config, broker), name, verdict, condition, by, note))
    if as_json:
        say_json(said)
    else:
        about = said.condition or "all that is in alarm"
        tell(f"{service_key(said.environment, said.service)}, {about}: {verdict.value}: {_EFFECTS[verdict]}")


async def _say(  # noqa: PLR0917 - what was said
    settings: "Settings", name: str, verdict: FeedbackVerdict, condition: str, by: str, note: str
) -> Feedback:
    from pipeline.adapters.clock import now_ms  # noqa: PLC0415 - what --help need not wait for
    from pipeline.adapters.kafka import producer, speaking_to  # noqa: PLC0415

    alert = await _alert(settings, name) if name.count("/") != 1 else None
    key = name if alert is None else service_key(alert.environment, alert.service)
    environment, _, service = key.partition("/")
    if not environment or not service:
        raise UsageError(f"name the service as environment/service, an alert's id, or its dedup key, got {name!r}")
    said = Feedback(
        environment=environment,
        service=service,
        time=now_ms(),
        verdict=verdict.value,
        condition=condition or ("" if alert is None else alert.condition),
        by=by,
        note=note,
    )
    async with speaking_to(settings.connection), producer(settings.connection) as sender:
        topic = settings.topics.names()["feedback"]
        await sender.send_and_wait(topic, value=encode(said), key=key.encode(), timestamp_ms=int(said.time))
    return said


async def _alert(settings: "Settings", name: str) -> AlertEvent | None:
    """Return the newest event of the alert that ``name`` means, if it means one."""
    from pipeline.cli.reading import read  # noqa: PLC0415 - what --help need not wait for

    events = []
    async for record in read(settings.connection, {"alert-events": settings.topics.names()["alert-events"]}):
        with suppress(RecordInvalid):  # `tail` shows what is unreadable
            events.append(decode(record.value or b"", AlertEvent))
    return find_alert(name, events)
