"""`tocsin tail`: the records of a topic, one readable line each."""

from collections import deque
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say, say_json, tell
from pipeline.cli.running import run
from pipeline.cli.wording import moment, safe

if TYPE_CHECKING:
    from pipeline.cli.lines import Line
    from pipeline.settings import Settings


def tail(
    topic: Annotated[str, typer.Argument(help="Its name, long or short: signals, tocsin.alert-events, telemetry.metrics ...")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="All records that there are.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, metavar="N", help="The newest N records.")] = 10,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Only of this service, or environment/service.")
    ] = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Show the records of a topic, one readable line each."""
    run(
        _tail(
            settings_of(config, broker),
            topic,
            follow=follow,
            last=None if from_beginning else last,
            service=service,
            as_json=as_json,
        )
    )


async def _tail(settings: "Settings", topic: str, *, follow: bool, last: int | None, service: str | None, as_json: bool) -> None:
    from pipeline.cli.lines import line_of  # noqa: PLC0415 - what --help need not wait for
    from pipeline.cli.reading import Stored, read, resolve  # noqa: PLC0415

    logical, real = resolve(settings.topics, topic)

    def shown(record: Stored) -> "Line | None":
        line = line_of(
            record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=dict(record.headers),
        )
        return line if service is None or service in (line.service_key, line.service_key.partition("/")[2]) else None

    n_shown = 0
    newest: deque[Line] = deque(maxlen=last)
    # With a filter the newest N of a service may lie anywhere.
    async for record in read(settings.connection, {logical: real}, last=last if service is None else None):
        line = shown(record)
        if line is not None and last is None:
            _write(line, as_json=as_json)
            n_shown += 1
        elif line is not None:
            newest.append(line)
    for line in sorted(newest, key=lambda line: line.timestamp_ms):
        _write(line, as_json=as_json)
        n_shown += 1
    if not follow:
        if not n_shown:
            tell(f"no records{'' if service is None else f' of {safe(service)}'} on {real}")
        return
    async for record in read(settings.connection, {logical: real}, last=0, follow=True):
        line = shown(record)
        if line is not None:
            _write(line, as_json=as_json)


def _write(line: "Line", *, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "partition": line.partition,
                "offset": line.offset,
                "timestamp_ms": line.timestamp_ms,
                "service": line.service_key,
                "readable": line.is_readable,
                "text": line.text,
                "record": line.data,
            }
        )
    else:
        say(f"{line.partition}/{line.offset} {moment(line.timestamp_ms)} {line.service_key:<18} {line.text}")
