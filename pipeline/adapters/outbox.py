"""Publishes what stages say, in order, and knows when all of it is acknowledged."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError

from pipeline.contracts.records import OutRecord
from pipeline.errors import BrokerError

MAX_PENDING = 2_000
"""Sends in flight before the next one waits for the oldest: bounds memory when the broker is slow."""


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
        self._pending: deque[tuple[str, asyncio.Future[object]]] = deque()

    async def send(self, records: Iterable[OutRecord]) -> None:
        """Queue records in order.

        Raises
        ------
        BrokerError
            When one of them, or an earlier one, was refused for good.

        """
        while self._pending and self._pending[0][1].done():
            await self._oldest()
        producer = self._producer()
        for record in records:
            topic = self._names[record.topic]
            try:
                sent = await producer.send(
                    topic,
                    record.key.encode(),
                    record.value,
                    record.partition,
                    None if record.timestamp_ms is None else record.timestamp_ms / 1000,
                    list(record.headers) or None,
                )
            except (KafkaError, ProducerSendError) as problem:
                raise BrokerError(f"{topic} does not take {record.key}: {problem!r}") from problem
            self._pending.append((topic, asyncio.ensure_future(sent)))
            if len(self._pending) > MAX_PENDING:
                await self._oldest()

    async def acknowledged(self) -> None:
        """Wait until everything queued so far is acknowledged.

        Raises
        ------
        BrokerError
            When one was refused for good: the caller must not go on as if it had been sent.

        """
        while self._pending:
            await self._oldest()

    async def _oldest(self) -> None:
        topic, sent = self._pending.popleft()
        try:
            await sent
        except (KafkaError, ProducerSendError) as problem:
            raise BrokerError(f"{topic} does not take a record: {problem!r}") from problem
