"""Reads topics for people, outside any consumer group: from where, up to where, without missing the end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.adapters.clock import monotonic_ms
from pipeline.adapters.codecs import install
from pipeline.adapters.kafka import Connection, client_settings, partition_counts, speaking_to
from pipeline.contracts.keys import partition_for
from pipeline.contracts.topics import Topics
from pipeline.errors import UsageError

POLL_MS = 200
QUIET_MS = 3_000
"""A partition whose end does not come for so long has a gap there (compaction): it counts as read."""
FETCH_BYTES = 8_388_608


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One record as it is stored. ``topic`` is its logical name where it has one, else its own."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def resolve(topics: Topics, name: str) -> tuple[str, str]:
    """Return (logical name, name on the broker) of a topic called by either; what is unknown is its own logical name."""
    names = topics.names()
    if name in names:
        return name, names[name]
    short = name.removeprefix("tocsin.")
    logical = next((logical for logical, real in names.items() if real == name), short if short in names else name)
    return logical, names.get(logical, name)


async def read(
    connection: Connection,
    names: Mapping[str, str],
    *,
    last: int | None = None,
    follow: bool = False,
    key: str | None = None,
) -> AsyncIterator[Stored]:
    """Yield the records of topics: those that there are now, and with ``follow`` what comes, without end.

    Parameters
    ----------
    connection
        Where.
    names
        Name on the broker by logical name; the latter is given with each record.
    last
        Begin so many records before each partition's end; ``None``: at its beginning.
    follow
        Go on when the end is reached.
    key
        Read only the partition of each topic where records of this key are.

    Raises
    ------
    UsageError
        If a topic does not exist.
    BrokerError
        If the broker cannot be reached or refuses; or if a record batch would be too large when it is decompressed.

    """
    counts = await partition_counts(connection)
    missing = [name for name in names.values() if name not in counts]
    if missing:
        raise UsageError(f"there is no topic {missing[0]} at {connection.bootstrap}; `tocsin topics create` makes Tocsin's own")
    logical = {real: name for name, real in names.items()}
    wanted = [
        TopicPartition(real, partition)
        for real in names.values()
        for partition in (range(counts[real]) if key is None else [partition_for(key, counts[real])])
    ]
    install()
    async with speaking_to(connection):
        consumer = AIOKafkaConsumer(
            **client_settings(connection), enable_auto_commit=False, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=100
        )
        await consumer.start()
        try:
            consumer.assign(wanted)
            ends = await consumer.end_offsets(wanted)
            begins = await consumer.beginning_offsets(wanted)
            for tp in wanted:
                consumer.seek(tp, begins[tp] if last is None else max(begins[tp], ends[tp] - last))
            open_ = {tp for tp in wanted if ends[tp] > begins[tp]}
            heard_ms = monotonic_ms()
            while follow or (open_ and monotonic_ms() - heard_ms < QUIET_MS):
                for tp, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                    heard_ms = monotonic_ms()
                    for record in records:
                        yield Stored(
                            topic=logical[tp.topic],
                            partition=tp.partition,
                            offset=record.offset,
                            timestamp_ms=record.timestamp,
                            key=record.key,
                            value=record.value,
                            headers=tuple(record.headers),
                        )
                    # The embedded broker's end offset is too low within the last batch; a fetch tells the true one.
                    end = max(ends[tp], consumer.highwater(tp) or 0)
                    if records and records[-1].offset + 1 >= end:
                        open_.discard(tp)
                await asyncio.sleep(0)
        finally:
            await consumer.stop()
