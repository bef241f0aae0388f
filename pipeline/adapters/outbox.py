"""Publishes what stages say, in order, and knows when all of it is acknowledged."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError

from pipeline.adapters.transport import RunRecord, Sent
from pipeline.contracts.records import OutRecord
from pipeline.errors import BrokerError

MAX_PENDING = 2_000
"""Sends in flight before the next one waits for the oldest: bounds memory when the broker is slow."""
_PLACE = attrgetter("topic", "partition")


class Producer(Protocol):
    """The part of a Faust producer that is used here."""

    async def send(  # noqa: PLR0917 - Faust's signature
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
    ) -> Awaitable[object]:
        """Queue a record; the awaitable that it returns is done when the broker has acknowledged."""
        ...

    async def send_run(self, topic: str, partition: int, records: Sequence[RunRecord]) -> Sequence[Sent]:
        """Queue records for one partition, in order; returned are the batches that they travel in."""
        ...


class Outbox:
    """Ordered sends of one partition's stage; one outbox per stage, so that acknowledgements are its own.

    Parameters
    ----------
    producer
        Gives the app's producer at the time of sending (Faust replaces it on a restart).
    names
        Topic name by logical name.

    """

    def __init__(self, producer: Callable[[], Producer], names: Mapping[str, str]) -> None:
        self._producer = producer
        self._names = names
        self._pending: deque[tuple[str, Sent]] = deque()
        self._n_pending = 0
        self._n_acknowledged = 0

    async def send(self, records: Iterable[OutRecord]) -> None:
        """Queue records in order.

        Raises
        ------
        BrokerError
            When one of them, or an earlier one, was refused for good.

        """
        while self._pending and self._pending[0][1].acknowledged.done():
            await self._oldest()
        for (name, partition), same in groupby(records, key=_PLACE):
            topic, run = self._names[name], list(same)
            try:
                sent = await self._send_run(topic, partition, run)
            except (KafkaError, ProducerSendError) as problem:
                raise BrokerError(f"{topic} does not take {run[0].key} or what follows it: {problem!r}") from problem
            self._pending.extend((topic, batch) for batch in sent)
            self._n_pending += sum(batch.n for batch in sent)
            while self._n_pending > MAX_PENDING:
                await self._oldest()

    def mark(self) -> int:
        """Return how many records were queued so far: what :meth:`acknowledged` can wait for."""
        return self._n_acknowledged + self._n_pending

    async def acknowledged(self, mark: int | None = None) -> None:
        """Wait until everything queued so far, or up to a mark, is acknowledged; more may be queued meanwhile.

        Raises
        ------
        BrokerError
            When one was refused for good: the caller must not go on as if it had been sent.

        """
        until = self.mark() if mark is None else mark
        while self._n_acknowledged < until:
            await self._oldest()

    async def _send_run(self, topic: str, partition: int | None, run: Sequence[OutRecord]) -> Sequence[Sent]:
        producer = self._producer()
        if partition is not None:
            return await producer.send_run(
                topic,
                partition,
                [RunRecord(record.key.encode(), record.value, record.timestamp_ms, record.headers) for record in run],
            )
        sent: list[Sent] = []
        for record in run:  # the producer finds the partition by the key
            time_s = None if record.timestamp_ms is None else record.timestamp_ms / 1000
            waited = await producer.send(topic, record.key.encode(), record.value, None, time_s, list(record.headers) or None)
            sent.append(Sent(1, asyncio.ensure_future(waited)))
        return sent

    async def _oldest(self) -> None:
        """Wait for the oldest batch; it stands first until it is acknowledged, because several may wait for it."""
        oldest = self._pending[0]
        topic, batch = oldest
        if not batch.acknowledged.done():
            await asyncio.wait({batch.acknowledged})
        try:
            batch.acknowledged.result()
        except (KafkaError, ProducerSendError) as problem:
            raise BrokerError(f"{topic} does not take a record: {problem!r}") from problem
        if self._pending and self._pending[0] is oldest:
            self._pending.popleft()
            self._n_pending -= batch.n
            self._n_acknowledged += batch.n
