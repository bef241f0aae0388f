"""Runs of records: in order, whole, behind what was sent before, acknowledged batch by batch; on both brokers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from faust.exceptions import ProducerSendError

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.faust_apps import PRODUCER_BATCH_BYTES, make_app
from pipeline.adapters.transport import BulkProducer, RunRecord
from tests.contracts.transport_harness import new_topic, settings_of, unique


@contextlib.asynccontextmanager
async def producing(broker: LocalBroker) -> AsyncIterator[BulkProducer]:
    app = make_app(settings_of(broker), app_id=unique("app"))
    producer = app.producer
    assert isinstance(producer, BulkProducer)
    await producer.on_start()
    try:
        yield producer
    finally:
        await producer.on_stop()


async def stored(broker: LocalBroker, topic: str, n: int) -> "list[ConsumerRecord[bytes, bytes]]":
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    found: list[ConsumerRecord[bytes, bytes]] = []
    try:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(15):
            while len(found) < n:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
    finally:
        await consumer.stop()
    return found


async def test_runs_and_single_sends_stand_in_the_log_in_the_order_in_which_they_were_sent(broker: LocalBroker) -> None:
    topic, body = await new_topic(broker), b"x" * 700
    async with producing(broker) as producer:
        waited = []
        for first in (0, 1_001, 2_002):
            run = [RunRecord(b"%d" % (first + i), body) for i in range(1_000)]
            waited += [sent.acknowledged for sent in await producer.send_run(topic, 0, run)]
            waited.append(await producer.send(topic, b"%d" % (first + 1_000), body, 0, None, None))  # type: ignore[arg-type]
        await asyncio.gather(*waited)

    assert 3_003 * len(body) > 4 * PRODUCER_BATCH_BYTES
    assert [record.key for record in await stored(broker, topic, 3_003)] == [b"%d" % i for i in range(3_003)]


async def test_a_run_keeps_times_headers_and_deletions(broker: LocalBroker) -> None:
    topic = await new_topic(broker)
    async with producing(broker) as producer:
        run = [RunRecord(b"a", b"1", 1_700_000_000_000, (("h", b"x"),)), RunRecord(b"b", None, 1_700_000_000_001)]
        (sent,) = await producer.send_run(topic, 0, run)
        await sent.acknowledged

    first, second = await stored(broker, topic, 2)
    assert sent.n == 2
    assert (first.key, first.value, first.timestamp, tuple(first.headers)) == (b"a", b"1", 1_700_000_000_000, (("h", b"x"),))
    assert (second.key, second.value, second.timestamp) == (b"b", None, 1_700_000_000_001)


async def test_a_record_larger_than_a_batch_travels_alone_and_one_larger_than_a_request_is_refused(broker: LocalBroker) -> None:
    topic, large = await new_topic(broker), b"x" * (2 * PRODUCER_BATCH_BYTES)
    async with producing(broker) as producer:
        sent = await producer.send_run(topic, 0, [RunRecord(b"a", b""), RunRecord(b"b", large), RunRecord(b"c", b"")])
        await asyncio.gather(*(batch.acknowledged for batch in sent))
        with pytest.raises(ProducerSendError, match="larger than a request") as problem:
            await producer.send_run(topic, 0, [RunRecord(b"d", b"x" * 17_000_000)])

    assert isinstance(problem.value.__cause__, MessageSizeTooLargeError)
    assert [sent_batch.n for sent_batch in sent] == [1, 1, 1]
    assert [record.key for record in await stored(broker, topic, 3)] == [b"a", b"b", b"c"]


async def test_a_wait_that_is_given_up_does_not_take_the_batch_back(broker: LocalBroker) -> None:
    topic = await new_topic(broker)
    async with producing(broker) as producer:
        (first,) = await producer.send_run(topic, 0, [RunRecord(b"a", b"")])
        first.acknowledged.cancel()
        (second,) = await producer.send_run(topic, 0, [RunRecord(b"b", b"")])
        await second.acknowledged

    assert [record.key for record in await stored(broker, topic, 2)] == [b"a", b"b"]
