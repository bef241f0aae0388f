"""The producer: a run of one partition's records costs a few microseconds each, because only whole batches are awaited."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.structs import TopicPartition
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as stock

OVERHEAD_BYTES = 64
"""More than a record needs beside its key, value and headers."""


class RunRecord(NamedTuple):
    """One record of a run; ``timestamp_ms`` ``None``: the time at which it is sent."""

    key: bytes
    value: bytes | None
    timestamp_ms: int | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


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
            largest = producer._max_request_size  # noqa: SLF001
            for record in records:
                _refuse_too_large(record, largest)
            if accumulator._closed or accumulator._exception is not None:  # noqa: SLF001
                raise ProducerSendError(f"the producer is closed: {accumulator._exception!r}")  # noqa: SLF001
        except KafkaError as problem:
            raise ProducerSendError(f"Error while sending: {problem!r}") from problem
        waiting = accumulator._batches.get(tp)  # noqa: SLF001
        batch: MessageBatch | None = waiting[-1] if waiting else None
        sent: list[Sent] = []
        n = 0
        for record in records:
            while batch is None or not _is_taken(batch, record):
                if batch is not None and n:
                    sent.append(Sent(n, asyncio.shield(batch.future)))
                batch, n = accumulator._append_batch(accumulator.create_builder(), tp), 0  # noqa: SLF001
            n += 1
        if batch is not None and n:
            sent.append(Sent(n, asyncio.shield(batch.future)))
        return sent


def _is_taken(batch: MessageBatch, record: RunRecord) -> bool:
    builder = batch._builder  # noqa: SLF001 - append() would make a future a record
    taken = builder.append(timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=list(record.headers))
    return taken is not None


def _refuse_too_large(record: RunRecord, largest: int) -> None:
    size = len(record.key) + len(record.value or b"") + sum(len(name) + len(value or b"") for name, value in record.headers)
    if size + OVERHEAD_BYTES > largest:
        raise MessageSizeTooLargeError(f"a record of {size} bytes is larger than a request may be ({largest})")
