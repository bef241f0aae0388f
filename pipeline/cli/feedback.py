"""`tocsin feedback`: tell the detectors what a service's alerts were worth."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say_json, tell
from pipeline.cli.running import run
from pipeline.contracts.codec import encode
from pipeline.contracts.keys import service_key, split_service_key
from pipeline.contracts.partials import FeedbackVerdict
from pipeline.contracts.telemetry import Feedback
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.settings import Settings

_EFFECTS = {
    FeedbackVerdict.FALSE_POSITIVE: "it takes more to be told of this again, for a while",
    FeedbackVerdict.EXPECTED: "told by day until it is over, not learned",
    FeedbackVerdict.NEW_NORMAL: "learned anew from now on",
}


def feedback(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="environment/service, as alerts name it.")],
    verdict: Annotated[FeedbackVerdict, typer.Argument(help="What the alert was.")],
    *,
    condition: Annotated[
        str,
        typer.Option(
            metavar="CONDITION", help="Whose alert: latency, errors, traffic, silence, saturation:cpu; default: all in alarm."
        ),
    ] = "",
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Say of a service's alert that it was a false positive, is expected, or shows the new normal."""
    from pipeline.adapters.clock import now_ms  # noqa: PLC0415 - what --help need not wait for

    try:
        environment, name = split_service_key(service)
    except ValueError as problem:
        raise UsageError(f"name the service as environment/service, got {service!r}") from problem
    if not environment or not name:
        raise UsageError(f"name the service as environment/service, got {service!r}")
    said = Feedback(
        environment=environment, service=name, time=now_ms(), verdict=verdict.value, condition=condition, by=by, note=note
    )
    run(_send(settings_of(config, broker), said))
    if as_json:
        say_json(said)
    else:
        at = datetime.fromtimestamp(int(said.time) / 1000, UTC)
        about = condition or "all that is in alarm"
        tell(f"{service}, {about}: {verdict.value} as of {at:%H:%M:%S} UTC: {_EFFECTS[verdict]}")


async def _send(settings: "Settings", said: Feedback) -> None:
    from pipeline.adapters.kafka import producer, speaking_to  # noqa: PLC0415 - what --help need not wait for

    key = service_key(said.environment, said.service).encode()
    async with speaking_to(settings.connection), producer(settings.connection) as sender:
        await sender.send_and_wait(settings.topics.names()["feedback"], value=encode(said), key=key, timestamp_ms=int(said.time))
