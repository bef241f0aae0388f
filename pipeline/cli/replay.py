"""`tocsin replay`: recorded telemetry into Kafka again, moved in time, at any speed."""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import orjson
import typer

from pipeline.adapters.clock import now_ms
from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say, say_json, tell
from pipeline.cli.running import run
from pipeline.cli.sending import send
from pipeline.cli.wording import moment
from pipeline.errors import UsageError
from pipeline.simulation.replay import lines, messages, ndjson_files, times
from pipeline.simulation.times import to_ms

MAX_SPEED = "max"
PETSHOP_FILE = "metrics.csv"
WINDOW_MS = 10_000


class Format(StrEnum):
    """What a recording is."""

    NDJSON = "ndjson"
    PETSHOP = "petshop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """First and last time in a recording, UTC epoch ms."""

    first_ms: int
    last_ms: int


def replay(
    source: Annotated[str, typer.Argument(metavar="FILE|FOLDER|-", help="Recording; - reads NDJSON from standard input.")],
    *,
    format_: Annotated[
        Format, typer.Option("--format", help="Tocsin's own JSON, one record or array a line; or PetShop.")
    ] = Format.NDJSON,
    shift_to_now: Annotated[bool, typer.Option("--shift-to-now", help="It begins now; with --speed max it ends now.")] = False,
    shift: Annotated[float | None, typer.Option(metavar="SECONDS", help="Add to every time.")] = None,
    start_at: Annotated[str | None, typer.Option(metavar="TIME", help="It begins at this time, RFC 3339 or epoch.")] = None,
    speed: Annotated[str, typer.Option(metavar="N|max", help="Multiple of real time; max: as fast as Kafka takes it.")] = MAX_SPEED,
    topic: Annotated[str | None, typer.Option(metavar="TOPIC", help="For all records; default: each kind's own.")] = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Send recorded telemetry to Kafka; its time is the Kafka timestamp, its service the key. Bad lines go as they are."""
    factor = parse_speed(speed)
    if sum((shift_to_now, shift is not None, start_at is not None)) > 1:
        raise UsageError("--shift-to-now, --shift and --start-at exclude one another")
    settings = settings_of(config, broker)
    with tempfile.TemporaryFile() as kept:
        if source == "-":
            kept.writelines(line for line in sys.stdin.buffer)
        recording = _Recording(source=source, format=format_, kept=kept)
        span = recording.span()
        shift_ms = shift_of(
            span, now=now_ms(), shift_to_now=shift_to_now, shift_s=shift, start_at=start_at, is_paced=factor is not None
        )
        first_ms = span.first_ms + shift_ms
        period = f"{moment(first_ms, with_date=True)} to {moment(span.last_ms + shift_ms, with_date=True)} UTC"
        tell(f"{period}, to {settings.connection.bootstrap}")
        done = run(
            send(
                settings,
                messages(recording.lines(), shift_ms=shift_ms, topic=topic, start_ms=first_ms),
                speed=factor,
                origin_ms=first_ms,
                span_ms=span.last_ms - span.first_ms,
            )
        )
    if as_json:
        say_json({"messages": done.messages, "records": done.records, "shift_ms": shift_ms, "last_ms": done.time_ms})
    else:
        say(f"{done.records:,} records sent in {done.messages:,} messages")


def parse_speed(text: str) -> float | None:
    """Return the multiple of real time; ``None`` for ``max``.

    Raises
    ------
    UsageError
        If it is neither a number above 0 nor ``max``.

    """
    if text == MAX_SPEED:
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UsageError(f"--speed is a number above 0, or max, got {text!r}")
    return factor


def shift_of(span: Span, *, now: int, shift_to_now: bool, shift_s: float | None, start_at: str | None, is_paced: bool) -> int:
    """Return what to add to every time, ms.

    Raises
    ------
    UsageError
        If ``start_at`` is no time.

    """
    if shift_s is not None:
        return int(shift_s * 1000)
    if shift_to_now:
        shift_ms = now - (span.first_ms if is_paced else span.last_ms)
        return shift_ms - shift_ms % WINDOW_MS  # what reported whole windows still does
    if start_at is None:
        return 0
    start_ms = to_ms(float(start_at) if start_at.replace(".", "", 1).isdigit() else start_at)
    if start_ms is None:
        raise UsageError(f"--start-at is RFC 3339, or epoch seconds or milliseconds, got {start_at!r}")
    return start_ms - span.first_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    """A recording that is read twice: once for its times, once to be sent."""

    source: str
    format: Format
    kept: IO[bytes]

    def lines(self) -> Iterator[bytes]:
        """Yield its records as lines of Tocsin's own JSON."""
        if self.format is Format.PETSHOP:
            return (orjson.dumps(row) for row in petshop_rows(Path(self.source)))
        if self.source == "-":
            self.kept.seek(0)
            return (line for raw in self.kept if (line := raw.strip()))
        return lines(ndjson_files(Path(self.source)))

    def span(self) -> Span:
        """Return its first and last time.

        Raises
        ------
        UsageError
            If no record has one.

        """
        first_ms = last_ms = None
        for time_ms in times(self.lines()):
            first_ms = time_ms if first_ms is None else min(first_ms, time_ms)
            last_ms = time_ms if last_ms is None else max(last_ms, time_ms)
        if first_ms is None or last_ms is None:
            raise UsageError(f"{self.source}: holds no record with a time")
        return Span(first_ms=first_ms, last_ms=last_ms)


def petshop_rows(source: Path) -> Iterator[dict[str, object]]:
    """Yield the records of a metrics.csv, or of each one below a folder, the earliest first.

    Raises
    ------
    UsageError
        If there is none, or one is not laid out as PetShop's.

    """
    from pipeline.simulation.petshop import row_groups, rows  # noqa: PLC0415 - only this format needs it

    folders = [source.parent] if source.is_file() else sorted(path.parent for path in source.rglob(PETSHOP_FILE))
    if not folders:
        raise UsageError(f"{source}: holds no {PETSHOP_FILE}")
    try:
        if len(folders) > 1:
            folders.sort(key=lambda folder: min((time_s for time_s, _ in row_groups(folder)), default=0.0))
        for folder in folders:
            yield from rows(folder)
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
