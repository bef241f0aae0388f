"""The producer: a run of one partition's records costs a few microseconds each, because only whole batches are awaited."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.structs import TopicPartition
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as stock

OVERHEAD_BYTES = 64
"""More than a record needs beside its key, value and headers."""


class RunRecord(msgspec.Struct, frozen=True):
    """One record of a run; ``timestamp_ms`` ``None``: the time at which it is sent."""

    key: bytes
    value: bytes | None
    timestamp_ms: int | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def size(self) -> int:
        """Bytes of its key, value and headers."""
        size = len(self.key) + (0 if self.value is None else len(self.value))
        return size + sum(len(name) + len(value or b"") for name, value in self.headers) if self.headers else size


class Sent(NamedTuple):
    """``n`` records that travel in one batch: ``acknowledged`` is done when the broker has it."""

    n: int
    acknowledged: asyncio.Future[object]


class BulkProducer(stock.Producer):
    """Faust's producer, with runs: aiokafka makes a future and some objects for each record, and waits where a batch is full."""

    async def send_run(self, topic: str, partition: int, records: Sequence[RunRecord]) -> list[Sent]:
        """Queue records for one partition, in order, behind all that was queued for it before.

        Raises
        ------
        ProducerSendError
            If a record is larger than a request may be, or the producer is closed.

        """
        producer = self._ensure_producer()
        accumulator = producer._message_accumulator  # noqa: SLF001 - its public ways await every batch, or make a future a record
        tp = TopicPartition(topic, partition)
        try:
            await producer.client._wait_on_metadata(topic)  # noqa: SLF001 - as its send() does
            _refuse_too_large(records, producer._max_request_size)  # noqa: SLF001
            if accumulator._closed or accumulator._exception is not None:  # noqa: SLF001
                raise ProducerSendError(f"the producer is closed: {accumulator._exception!r}")  # noqa: SLF001
        except KafkaError as problem:
            raise ProducerSendError(f"Error while sending: {problem!r}") from problem
        waiting = accumulator._batches.get(tp)  # noqa: SLF001
        batch: MessageBatch | None = waiting[-1] if waiting else None
        sent: list[Sent] = []
        n_taken = 0
        while n_taken < len(records):
            if batch is not None and (n := _taken(batch, records, n_taken)):
                sent.append(Sent(n, asyncio.shield(batch.future)))
                n_taken += n
            else:
                batch = accumulator._append_batch(accumulator.create_builder(), tp)  # noqa: SLF001
        return sent


def _taken(batch: MessageBatch, records: Sequence[RunRecord], begin: int) -> int:
    """Put records into a batch, from ``begin`` on, and return how many found room; a batch takes at least its first one."""
    builder = batch._builder  # noqa: SLF001 - append() of the batch would make a future a record
    if builder.closed():
        return 0
    append, first = builder._builder.append, builder.record_count()  # noqa: SLF001 - append() of BatchBuilder, without a call a record
    n = 0
    try:
        for record in islice(records, begin, None):
            if append(first + n, record.timestamp_ms, record.key, record.value, list(record.headers)) is None:
                builder.close()
                break
            n += 1
    finally:
        builder._relative_offset = first + n  # noqa: SLF001
    return n


def _refuse_too_large(records: Sequence[RunRecord], largest: int) -> None:
    size = max((record.size for record in records), default=0)
    if size + OVERHEAD_BYTES > largest:
        raise MessageSizeTooLargeError(f"a record of {size} bytes is larger than a request may be ({largest})")
