"""The history that `backtest` and `train` run over: files, the PetShop layout, or a range of topics; and how far it is."""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import orjson
import typer

from pipeline.adapters.clock import monotonic_ms
from pipeline.cli.output import tell
from pipeline.cli.replay import Format, petshop_rows
from pipeline.cli.running import run
from pipeline.cli.wording import moment
from pipeline.errors import UsageError
from pipeline.simulation.replay import lines, ndjson_files
from pipeline.simulation.times import to_ms

if TYPE_CHECKING:
    from pipeline.backtest.chain import Source
    from pipeline.backtest.histories import Fed, Period
    from pipeline.backtest.labels import Labels
    from pipeline.settings import Settings

REPORT_EVERY_MS = 2_000

SourceFile = Annotated[
    str | None,
    typer.Argument(metavar="[FILE|FOLDER|-]", help="Recorded telemetry; - reads NDJSON from standard input. Or --topic."),
]
RecordingFormat = Annotated[
    Format, typer.Option("--format", help="Tocsin's own JSON, one record or array a line; or PetShop's layout.")
]
TopicNames = Annotated[
    list[str] | None, typer.Option("--topic", metavar="NAME", help="Read a telemetry topic instead of files; may be repeated.")
]
FromTime = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Leave out what is earlier: RFC 3339 or epoch.")]
ToTime = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Leave out what is at this time or later.")]
FromOffset = Annotated[int | None, typer.Option("--from-offset", min=0, metavar="N", help="First offset of each partition.")]
ToOffset = Annotated[int | None, typer.Option("--to-offset", min=0, metavar="N", help="Offset of each partition to stop before.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What was asked for on the command line."""

    source: str | None
    format: Format
    topics: tuple[str, ...]
    start: str | None
    end: str | None
    from_offset: int | None
    to_offset: int | None

    def period(self) -> "Period":
        """Return the times that are wanted.

        Raises
        ------
        UsageError
            If one is no time, or the end is not behind the start.

        """
        from pipeline.backtest.histories import Period  # noqa: PLC0415 - what --help need not wait for

        period = Period(start_ms=time_of(self.start, "--from"), end_ms=time_of(self.end, "--to"))
        if period.start_ms is not None and period.end_ms is not None and period.start_ms >= period.end_ms:
            raise UsageError("--to must be later than --from")
        return period

    def in_words(self) -> str:
        """Return what is read, short."""
        if self.topics:
            return ", ".join(self.topics)
        return "standard input" if self.source == "-" else Path(self.source or "").resolve().name


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A history that is ready to be run over: its telemetry partitions, its messages, and their bytes if those are known."""

    sources: "tuple[Source, ...]"
    fed: "Iterator[Fed]"
    n_bytes: int | None
    labels: "Labels | None" = None


@contextlib.contextmanager
def opened(wanted: Range, settings: "Settings") -> Iterator[History]:
    """Give the history asked for, while its files are open.

    Raises
    ------
    UsageError
        If it is not told which, or there is none.
    BrokerError
        If topics are wanted and the broker cannot be reached.

    """
    from pipeline.backtest.chain import FILES  # noqa: PLC0415 - what --help need not wait for
    from pipeline.backtest.histories import MAX_FILES, of_recordings  # noqa: PLC0415

    if (wanted.source is None) is not bool(wanted.topics):
        raise UsageError("name a file or folder, or --topic, one of the two")
    if not wanted.topics and (wanted.from_offset is not None or wanted.to_offset is not None):
        raise UsageError("--from-offset and --to-offset are of topics: name one with --topic")
    period = wanted.period()
    if wanted.topics:
        with _topics(wanted, period, settings) as history:
            yield history
        return
    source = str(wanted.source)
    labels = None
    if source == "-":
        recordings: list[Iterable[bytes]] = [stripped_lines(sys.stdin.buffer)]
        n_bytes = None
    elif wanted.format is Format.PETSHOP:
        rows, labels = petshop(Path(source))
        recordings, n_bytes = [(orjson.dumps(row) for row in rows)], None
    else:
        files = ndjson_files(Path(source))
        if len(files) > MAX_FILES:
            raise UsageError(f"{source}: holds {len(files)} files, at most {MAX_FILES} are read side by side; put them together")
        recordings = [lines([path]) for path in files]
        n_bytes = sum(path.stat().st_size for path in files)
    yield History(sources=((FILES, 0),), fed=of_recordings(recordings, period), n_bytes=n_bytes, labels=labels)


def stripped_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines that hold something."""
    return (line for raw in file if (line := raw.strip()))


def petshop(source: Path) -> "tuple[Iterable[dict[str, object]], Labels | None]":
    """Return the records of PetShop's layout, and its issues as labels where ``source`` is the whole data set."""
    from pipeline.simulation.petshop import issues  # noqa: PLC0415 - only this format needs it

    if source.is_dir() and issues(source, "train"):
        from pipeline.backtest.petshop import continuous  # noqa: PLC0415

        return continuous(source, "train")
    return petshop_rows(source), None


@contextlib.contextmanager
def _topics(wanted: Range, period: "Period", settings: "Settings") -> Iterator[History]:
    """Copy the topics' records into files, one a partition, so that they can be read in order of time."""
    from pipeline.backtest.histories import of_partitions  # noqa: PLC0415 - what --help need not wait for
    from pipeline.cli.reading import resolve  # noqa: PLC0415

    names = [resolve(settings.topics, topic)[1] for topic in dict.fromkeys(wanted.topics)]
    unknown = [name for name in names if name not in settings.ingest.decoders]
    if unknown:
        known = ", ".join(settings.ingest.decoders)
        raise UsageError(f"{unknown[0]} is no telemetry topic of this configuration (ingest.decoders): {known}")
    with contextlib.ExitStack() as stack:
        spools: dict[Source, IO[bytes]] = {}
        n_read = run(_copy(wanted, period, settings, names, lambda: stack.enter_context(tempfile.TemporaryFile()), spools))
        tell(f"{n_read:,} messages read from {', '.join(names)}")
        n_bytes = sum(file.tell() for file in spools.values())
        yield History(sources=tuple(spools), fed=of_partitions(spools.items()), n_bytes=n_bytes)


async def _copy(  # noqa: PLR0917 - where from, what, where to
    wanted: Range,
    period: "Period",
    settings: "Settings",
    names: list[str],
    new_file: Callable[[], IO[bytes]],
    spools: "dict[Source, IO[bytes]]",
) -> int:
    from pipeline.adapters.kafka import partition_counts  # noqa: PLC0415 - what --help need not wait for
    from pipeline.adapters.reading import Selection, read_topic  # noqa: PLC0415
    from pipeline.backtest.histories import spool  # noqa: PLC0415

    selection = Selection(
        since_ms=period.start_ms, until_ms=period.end_ms, from_offset=wanted.from_offset, until_offset=wanted.to_offset
    )
    counts = await partition_counts(settings.connection)
    n_read = 0
    for name in names:
        for partition in range(counts.get(name, 0)):
            spools[name, partition] = new_file()
        async with contextlib.aclosing(read_topic(settings.connection, name, selection)) as records:
            async for read in records:
                spool(spools[name, read.partition], read.record.timestamp_ms, read.record.value)
                n_read += 1
    return n_read


class Progress:
    """Says on stderr every two seconds how far a run is."""

    def __init__(self, n_bytes: int | None) -> None:
        self._n_bytes = n_bytes
        self._done = 0
        self._first_ms: int | None = None
        self._began_ms = self._told_ms = monotonic_ms()

    def passed(self, fed: "Fed") -> None:
        """Count a message."""
        self._done += fed.n_bytes
        self._first_ms = fed.timestamp_ms if self._first_ms is None else self._first_ms
        now_ms = monotonic_ms()
        if now_ms - self._told_ms >= REPORT_EVERY_MS:
            self._told_ms = now_ms
            speed = (fed.timestamp_ms - self._first_ms) / max(1, now_ms - self._began_ms)
            share = f"{min(1.0, self._done / self._n_bytes):.0%}, " if self._n_bytes else ""
            line = f"{share}now at {moment(fed.timestamp_ms, with_date=True)}, {speed:,.0f} times real time"
            if sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[K{line}")
                sys.stderr.flush()
            else:
                tell(line)

    def done(self) -> None:
        """Leave the line."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def time_of(text: str | None, option: str) -> int | None:
    """Return the time that an option's text means, UTC epoch ms.

    Raises
    ------
    UsageError
        If it means none.

    """
    if text is None:
        return None
    time_ms = to_ms(float(text) if text.replace(".", "", 1).isdigit() else text)
    if time_ms is None:
        raise UsageError(f"{option} is RFC 3339, or epoch seconds or milliseconds, got {text!r}")
    return time_ms
