"""Reads a topic for a person: from the beginning, the last records, or since a time; to the end, or on and on."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from pipeline.adapters.clock import monotonic_ms
from pipeline.adapters.codecs import install
from pipeline.adapters.kafka import Connection, client_settings, partition_counts, speaking_to
from pipeline.contracts.records import InRecord
from pipeline.errors import BrokerError, UsageError

_POLL_MS = 200
_PATIENCE_MS = 30_000
"""How long the broker may say nothing at all before the end is known."""


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """One record and where it was."""

    topic: str
    partition: int
    record: InRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which records are wanted.

    Attributes
    ----------
    last
        Only the last so many of each partition (of those with a wanted key), at least 1; ``None``: from the beginning.
    since_ms
        Only records with this Kafka timestamp or a later one, epoch ms; ``None``: of any time.
    until_ms
        Only records with an earlier Kafka timestamp, epoch ms; ``None``: of any time.
    from_offset, until_offset
        Only records at this offset of their partition or behind it; only those before it. ``None``: all.
    keys
        Only records with one of these keys; ``None``: with any key, or none.
    partitions
        Only these partitions; ``None``: all.

    Raises
    ------
    ValueError
        If ``last`` is below 1.

    """

    last: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    from_offset: int | None = None
    until_offset: int | None = None
    keys: Collection[bytes] | None = None
    partitions: Collection[int] | None = None

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise ValueError(f"last must be at least 1, got {self.last}")

    def wants(self, record: InRecord) -> bool:
        """Return whether key, time and offset of a record are wanted."""
        if self.keys is not None and record.key not in self.keys:
            return False
        return _is_within(record.timestamp_ms, self.since_ms, self.until_ms) and _is_within(
            record.offset, self.from_offset, self.until_offset
        )


async def read_topic(
    connection: Connection,
    topic: str,
    selection: Selection | None = None,
    *,
    follow: bool = False,
    env: Mapping[str, str] | None = None,
) -> AsyncGenerator[ReadRecord, None]:
    """Yield the records of a topic, in order within each partition; joins no consumer group, commits nothing.

    Whoever stops before the end wraps it in ``contextlib.aclosing``, which closes the connection at once.

    The end is the high watermark that came with the fetched records: the embedded broker answers a question for the end
    with the last batch's first offset + 1, and would have the rest of that batch left out.

    Parameters
    ----------
    connection, topic
        Where; the topic's name on the broker.
    selection
        Which records; ``None``: all.
    follow
        Whether to go on with what is published after the end was reached, for ever.
    env
        Where the password is looked up; ``None``: this process's environment.

    Raises
    ------
    UsageError
        If there is no such topic.
    BrokerError
        If the broker cannot be reached, or says nothing for 30 s before the end is known; or if a record batch would be too
        large when it is decompressed.

    """
    wanted = selection or Selection()
    counts = await partition_counts(connection, env)
    if topic not in counts:
        raise UsageError(f"there is no topic {topic} at {connection.bootstrap}: `tocsin topics check` shows what there is")
    install()
    async with speaking_to(connection):
        consumer = AIOKafkaConsumer(**client_settings(connection, env), enable_auto_commit=False, fetch_max_wait_ms=_POLL_MS)
        try:
            await consumer.start()
            numbers = range(counts[topic]) if wanted.partitions is None else sorted(wanted.partitions)
            reader = _Reader(consumer, wanted, [TopicPartition(topic, number) for number in numbers])
            await reader.seek()
            async for read in reader.until_end():
                yield read
            while follow:
                for read in await reader.poll():
                    yield read
        finally:
            await consumer.stop()


@dataclass(slots=True)
class _Reader:
    consumer: AIOKafkaConsumer
    wanted: Selection
    partitions: list[TopicPartition]
    open: set[TopicPartition] = field(default_factory=set)
    heard_ms: int = field(default_factory=monotonic_ms)

    async def seek(self) -> None:
        """Go to where the wanted records begin, or before."""
        self.consumer.assign(self.partitions)
        starts = await self.consumer.beginning_offsets(self.partitions)
        if self.wanted.since_ms is not None:
            ends = await self.consumer.end_offsets(self.partitions)
            found = await self.consumer.offsets_for_times(dict.fromkeys(self.partitions, self.wanted.since_ms))
            starts = {partition: ends[partition] if at is None else at.offset for partition, at in found.items()}
        elif self.wanted.last is not None and self.wanted.keys is None:
            # The embedded broker's end is too low: then this is too early, and the surplus is cut off at the end.
            ends = await self.consumer.end_offsets(self.partitions)
            starts = {partition: max(start, ends[partition] - self.wanted.last) for partition, start in starts.items()}
        for partition, offset in starts.items():
            self.consumer.seek(partition, max(offset, self.wanted.from_offset or 0))
        self.open = set(self.partitions)

    async def until_end(self) -> AsyncIterator[ReadRecord]:
        """Yield what there is now; with ``last``, held back until each partition's end is known."""
        kept: dict[int, deque[ReadRecord]] = {partition.partition: deque(maxlen=self.wanted.last) for partition in self.partitions}
        while self.open:
            for read in await self.poll():
                if self.wanted.last is None:
                    yield read
                else:
                    kept[read.partition].append(read)
            await self._close_finished()
            if self.open and monotonic_ms() - self.heard_ms > _PATIENCE_MS:
                numbers = ", ".join(str(partition.partition) for partition in sorted(self.open))
                raise BrokerError(
                    f"the broker said nothing for {_PATIENCE_MS // 1000} s about {self.partitions[0].topic}, partitions {numbers}"
                )
        for partition in sorted(kept):
            for read in kept[partition]:
                yield read

    async def poll(self) -> list[ReadRecord]:
        """Return the next wanted records; none when there are none for a while."""
        fetched = await self.consumer.getmany(timeout_ms=_POLL_MS)
        if fetched:
            self.heard_ms = monotonic_ms()
        reads = [ReadRecord(at.topic, at.partition, _in_record(record)) for at, records in fetched.items() for record in records]
        return [read for read in reads if self.wanted.wants(read.record)]

    async def _close_finished(self) -> None:
        for partition in list(self.open):
            end = self.consumer.highwater(partition)
            position = await self.consumer.position(partition)
            until = self.wanted.until_offset
            if (end is not None and position >= end) or (until is not None and position >= until):
                self.open.discard(partition)


def _is_within(value: int, least: int | None, limit: int | None) -> bool:
    return (least is None or value >= least) and (limit is None or value < limit)


def _in_record(record: "ConsumerRecord[bytes, bytes]") -> InRecord:
    return InRecord(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
