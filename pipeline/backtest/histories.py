"""Recorded telemetry as messages in order of time: decides what is read together, and what lies outside the time asked for."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import msgspec

from pipeline.backtest.chain import FILES, Chain, Source
from pipeline.backtest.fired import Fired
from pipeline.errors import UsageError
from pipeline.simulation.messages import Message
from pipeline.simulation.replay import messages

JOINED_RECORDS, JOINED_BYTES = 500, 262_144
"""Records of the same time that are read as one message: far below what ingest refuses."""
MAX_FILES = 500
"""Files read side by side: each is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """One message for the chain; ``n_bytes`` of the history are read with it."""

    source: Source
    timestamp_ms: int
    value: bytes | None
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Times that are wanted: from ``start_ms`` to before ``end_ms``, UTC epoch ms; ``None``: without limit."""

    start_ms: int | None = None
    end_ms: int | None = None

    def has(self, time_ms: int) -> bool:
        """Return whether a time lies in it."""
        return (self.start_ms is None or time_ms >= self.start_ms) and (self.end_ms is None or time_ms < self.end_ms)


def of_recordings(recordings: Iterable[Iterable[bytes]], period: Period) -> Iterator[Fed]:
    """Yield the messages of recordings in order of time, each recording in its own order.

    Parameters
    ----------
    recordings
        Lines of Tocsin's own JSON, as `tocsin replay` reads them; one recording may begin where another ends, or
        run beside it.
    period
        What is wanted, by the records' own time.

    """
    streams = [messages(lines) for lines in recordings]
    merged = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda message: message.timestamp_ms)
    return _joined(message for message in merged if period.has(message.timestamp_ms))


def of_partitions(partitions: Iterable[tuple[Source, IO[bytes]]]) -> Iterator[Fed]:
    """Yield the messages of several partitions' spools in order of time, each partition in its own order."""
    streams = [_spooled(source, file) for source, file in partitions]
    return iter(heapq.merge(*streams, key=lambda fed: fed.timestamp_ms))


def run(chain: Chain, history: Iterable[Fed]) -> Iterator[tuple[Fed, list[Fired]]]:
    """Yield each message of a history with what people were told when it was taken in; the last windows stay open.

    Raises
    ------
    UsageError
        If the history is empty.

    """
    is_empty = True
    for fed in history:
        is_empty = False
        yield fed, chain.feed(fed.value, fed.timestamp_ms, fed.source)
    if is_empty:
        raise UsageError("the history holds no telemetry of the time asked for")


def spool(file: IO[bytes], timestamp_ms: int, value: bytes | None) -> None:
    """Append a message to a partition's spool."""
    body = msgspec.msgpack.encode((timestamp_ms, value))
    file.write(len(body).to_bytes(4, "big") + body)


def _spooled(source: Source, file: IO[bytes]) -> Iterator[Fed]:
    file.seek(0)
    while size := file.read(4):
        body = file.read(int.from_bytes(size, "big"))
        timestamp_ms, value = msgspec.msgpack.decode(body, type=tuple[int, bytes | None])
        yield Fed(source=source, timestamp_ms=timestamp_ms, value=value, n_bytes=len(body))


def _joined(read: Iterable[Message]) -> Iterator[Fed]:
    """Yield the messages; single records of the same time that follow one another become an array, as collectors send them.

    What is no record of a service stays alone: nothing else shall be refused with it.
    """
    parts: list[bytes] = []
    at_ms = size = 0
    for message in read:
        is_single = message.key is not None and message.value.startswith(b"{")
        fits = message.timestamp_ms == at_ms and len(parts) < JOINED_RECORDS and size + len(message.value) < JOINED_BYTES
        if parts and not (is_single and fits):
            yield _array(parts, at_ms)
            parts, size = [], 0
        if is_single:
            at_ms = message.timestamp_ms
            parts.append(message.value)
            size += len(message.value)
        else:
            yield Fed(source=(FILES, 0), timestamp_ms=message.timestamp_ms, value=message.value, n_bytes=len(message.value))
    if parts:
        yield _array(parts, at_ms)


def _array(parts: list[bytes], at_ms: int) -> Fed:
    value = b"[" + b",".join(parts) + b"]" if len(parts) > 1 else parts[0]
    return Fed(source=(FILES, 0), timestamp_ms=at_ms, value=value, n_bytes=sum(map(len, parts)) + len(parts))
