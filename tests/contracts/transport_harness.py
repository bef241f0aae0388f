"""What the transport tests share: topics of a test's own, apps that note what they are given, waiting on what happened."""

import asyncio
import contextlib
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from pipeline.adapters.brokers import EmbeddedBroker, LocalBroker
from pipeline.adapters.faust_apps import FaustAppSettings, TocsinApp, make_app
from pipeline.adapters.transport import Batch, bulk_topic

LIMIT_S = 45.0


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def settings_of(broker: LocalBroker) -> FaustAppSettings:
    return FaustAppSettings(bootstrap=broker.bootstrap, profile="test", is_embedded=isinstance(broker, EmbeddedBroker))


async def new_topic(broker: LocalBroker, partitions: int = 2, name: str | None = None) -> str:
    name = name or unique("topic")
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()
    return name


async def produce(broker: LocalBroker, topic: str, n: int, *, partitions: int = 2, **options: Any) -> None:
    """Send ``n`` records to each partition, in batches of a hundred."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, **options)
    await producer.start()
    try:
        for _ in range(0, n, 100):
            sent = [
                await producer.send(
                    topic, b"%d" % i, key=b"key", partition=partition, headers=[("h", b"x")], timestamp_ms=1_000 + i
                )
                for partition in range(partitions)
                for i in range(min(100, n))
            ]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def produce_one_batch(broker: LocalBroker, topic: str, values: Sequence[bytes], codec: str) -> None:
    """Send values to partition 0 in one record batch, compressed."""
    sent_at_once = 2 * sum(map(len, values)) + 1_000
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type=codec, max_batch_size=sent_at_once, max_request_size=sent_at_once
    )
    await producer.start()
    try:
        batch = producer.create_batch()
        for value in values:
            assert batch.append(key=None, value=value, timestamp=1_000) is not None
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


async def delete_records(broker: LocalBroker, topic: str, *, before: int) -> None:
    """Move the beginning of partition 0, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before)})
    finally:
        await admin.close()


async def until(condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not condition():  # noqa: ASYNC110 - waits for what another thread or broker does
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"within {limit_s} s it did not happen that {what}") from None


@dataclass
class Seen:
    """Offsets that an agent was given, and its batches, by partition."""

    offsets: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    batches: dict[int, list[Batch]] = field(default_factory=lambda: defaultdict(list))

    @property
    def count(self) -> int:
        return sum(len(offsets) for offsets in self.offsets.values())

    @property
    def distinct(self) -> int:
        return sum(len(set(offsets)) for offsets in self.offsets.values())


def app_of(variant: str, broker: LocalBroker, topic: str, app_id: str, **overrides: Any) -> TocsinApp:
    """Make an app: on the stock driver, on ours for a stock topic (``single``), or for a bulk topic (``bulk``)."""
    bulk_topics = [topic] if variant == "bulk" else []
    stock: dict[str, Any] = {}
    if variant == "stock":
        stock = {"broker": [f"kafka://{broker.bootstrap}"], "TableManager": "faust.tables.manager.TableManager"}
    return make_app(settings_of(broker), app_id=app_id, bulk_topics=bulk_topics, **stock, **overrides)


def noting_agent(
    app: TocsinApp,
    topic: str,
    *,
    finishes: bool = True,
    metadata: str = "",
    pause_s: float = 0.0,
    gate: asyncio.Event | None = None,
) -> Seen:
    """Declare an agent that notes what it gets, and, in bulk, finishes it: after a pause, or once the gate is open."""
    seen = Seen()
    if topic in app.bulk.topics:

        @app.agent(bulk_topic(app, topic), name=f"note-{topic}")
        async def note_batches(stream: Any) -> None:
            async for event in stream.noack().events():
                batch = event.value
                await asyncio.sleep(pause_s)
                if gate is not None:
                    await gate.wait()
                seen.batches[batch.partition].append(batch)
                seen.offsets[batch.partition].extend(record.offset for record in batch.records)
                if finishes:
                    app.bulk.ledger.finish((batch.topic, batch.partition), batch.next_offset, metadata)
    else:

        @app.agent(app.topic(topic), name=f"note-{topic}")
        async def note_records(stream: Any) -> None:
            async for event in stream.events():
                seen.offsets[event.message.partition].append(event.message.offset)

    return seen


def consumer_of(app: TocsinApp) -> Any:
    """Return the consumer, whose inside tests look into and replace."""
    return app.consumer


@contextlib.asynccontextmanager
async def running(app: TocsinApp) -> AsyncIterator[TocsinApp]:
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


async def committed(broker: LocalBroker, group: str, topic: str, partition: int = 0) -> int | None:
    """Return what a group has committed, without joining it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, partition)])
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(topic, partition))
        return offset
    finally:
        await consumer.stop()
