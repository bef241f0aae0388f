"""Recorded telemetry as messages again: decides what is sent of each line, moved in time, and when it happened."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from pipeline.errors import UsageError
from pipeline.simulation.messages import METRICS, Message, key_of, topic_of
from pipeline.simulation.records import Record
from pipeline.simulation.times import moved, to_ms

TIME_FIELDS = ("time", "until")
SUFFIXES = (".ndjson", ".jsonl", ".json")


def ndjson_files(source: Path) -> list[Path]:
    """Return the files of a recording: the file itself, or a folder's NDJSON files by name.

    Raises
    ------
    UsageError
        If there is nothing to read.

    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UsageError(f"{source}: no such file or folder")
    files = sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    if not files:
        raise UsageError(f"{source}: holds no file that ends in {', '.join(SUFFIXES)}")
    return files


def lines(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield the lines of the files that hold something, without their line ends."""
    for path in files:
        with path.open("rb") as file:
            for line in file:
                if stripped := line.strip():
                    yield stripped


def times(lines_: Iterable[bytes]) -> Iterator[int]:
    """Yield the time of every record that has one, UTC epoch ms."""
    for line in lines_:
        for record in _records(line) or ():
            time_ms = to_ms(record.get("time"))
            if time_ms is not None:
                yield time_ms


def messages(lines_: Iterable[bytes], *, shift_ms: int = 0, topic: str | None = None, start_ms: int = 0) -> Iterator[Message]:
    """Yield a message for each line.

    A line without shift is sent byte for byte. One that is no record of ours is sent as it is in any case, at the
    time of the line before (``start_ms`` at first): what is wrong with it is for ingest to decide.

    Parameters
    ----------
    lines_
        Each a JSON record, or an array of records.
    shift_ms
        Added to every time.
    topic
        For all; ``None``: each kind's own.
    start_ms
        Timestamp of messages before the first time is known, UTC epoch ms.

    """
    latest_ms = start_ms
    for line in lines_:
        records = _records(line)
        if not records:
            yield Message(topic=topic or METRICS, key=None, value=line, timestamp_ms=latest_ms)
            continue
        own = [time_ms for record in records if (time_ms := to_ms(record.get("time"))) is not None]
        latest_ms = max(own) + shift_ms if own else latest_ms
        yield Message(
            topic=topic or topic_of(records[0].get("kind")),
            key=key_of(records[0]),
            value=_moved_line(line, shift_ms),
            timestamp_ms=max(0, latest_ms),
            records=len(records),
        )


def _moved_line(line: bytes, shift_ms: int) -> bytes:
    if shift_ms == 0:
        return line
    content = orjson.loads(line)
    for record in content if isinstance(content, list) else [content]:
        if isinstance(record, dict):
            record.update({name: moved(record[name], shift_ms) for name in TIME_FIELDS if name in record})
    return orjson.dumps(content)


def _records(line: bytes) -> list[Record] | None:
    """Return the records of a line as far as they are objects; ``None`` when the line is not JSON."""
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return [record for record in (content if isinstance(content, list) else [content]) if isinstance(record, dict)]
