"""A topic is read to its end, whole, on both brokers; and from where a person wants."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from pipeline.adapters import codecs
from pipeline.adapters import topics as adapter
from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.kafka import Connection, producer
from pipeline.adapters.reading import ReadRecord, Selection, read_topic
from pipeline.cli.reading import read as read_for_people
from pipeline.contracts.topics import Topics
from pipeline.errors import BrokerError, UsageError
from tests.contracts.transport_harness import produce_one_batch

Fresh = Callable[..., Topics]
MEGABYTE = 1_000_000


async def filled(broker: LocalBroker, topics: Topics) -> tuple[Connection, str]:
    """Create the topics, and put 100 records into each of two partitions of ``signals``, stamped 0, 1000, 2000 ... ms."""
    connection, topic = Connection(bootstrap=broker.bootstrap), topics.names()["signals"]
    await adapter.create(connection, topics)
    async with producer(connection) as sender:
        sends = [
            await sender.send(
                topic, b"%d" % number, key=b"even" if number % 2 == 0 else b"odd", partition=partition, timestamp_ms=number * 1000
            )
            for number in range(100)
            for partition in (0, 1)
        ]
        await asyncio.gather(*sends)
    return connection, topic


async def read(connection: Connection, topic: str, selection: Selection | None = None) -> list[ReadRecord]:
    return [record async for record in read_topic(connection, topic, selection)]


def values(records: list[ReadRecord], partition: int) -> list[bytes | None]:
    return [record.record.value for record in records if record.partition == partition]


async def test_every_record_is_read_to_the_end_of_the_last_batch(broker: LocalBroker, fresh_topics: Fresh) -> None:
    connection, topic = await filled(broker, fresh_topics())

    records = await read(connection, topic)

    assert values(records, 0) == [b"%d" % number for number in range(100)]
    assert values(records, 1) == [b"%d" % number for number in range(100)]
    assert {record.topic for record in records} == {topic}


async def test_the_last_records_of_each_partition_are_the_last(broker: LocalBroker, fresh_topics: Fresh) -> None:
    connection, topic = await filled(broker, fresh_topics())

    records = await read(connection, topic, Selection(last=3))

    assert values(records, 0) == [b"97", b"98", b"99"]
    assert values(records, 1) == [b"97", b"98", b"99"]


async def test_the_last_records_of_a_key_are_counted_among_that_key(broker: LocalBroker, fresh_topics: Fresh) -> None:
    connection, topic = await filled(broker, fresh_topics())

    records = await read(connection, topic, Selection(last=2, keys={b"even"}, partitions=[1]))

    assert values(records, 1) == [b"96", b"98"]
    assert values(records, 0) == []


async def test_records_since_a_time_are_those_stamped_then_or_later(broker: LocalBroker, fresh_topics: Fresh) -> None:
    connection, topic = await filled(broker, fresh_topics())

    records = await read(connection, topic, Selection(since_ms=95_000))
    none = await read(connection, topic, Selection(since_ms=1_000_000))

    assert values(records, 0) == [b"95", b"96", b"97", b"98", b"99"]
    assert none == []


async def test_following_goes_on_with_what_is_published_later(broker: LocalBroker, fresh_topics: Fresh) -> None:
    connection, topic = await filled(broker, fresh_topics())

    async with (
        contextlib.aclosing(read_topic(connection, topic, Selection(last=1, partitions=[0]), follow=True)) as reading,
        asyncio.timeout(20),
    ):
        before = await anext(reading)
        async with producer(connection) as sender:
            await sender.send_and_wait(topic, b"later", partition=0)
        after = await anext(reading)

    assert (before.record.value, after.record.value) == (b"99", b"later")


async def test_null_keys_tombstones_and_headers_come_back_as_they_were_sent(broker: LocalBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=broker.bootstrap)
    topic = topics.names()["alert-events"]
    await adapter.create(connection, topics)
    async with producer(connection) as sender:
        await sender.send_and_wait(
            topic, b"\xff\x00 bytes", key=None, headers=[("reason", b"\xfe"), ("none", None)], timestamp_ms=1_000
        )
        await sender.send_and_wait(topic, None, key=b"gone", timestamp_ms=2_000)

    first, second = [read.record for read in await read(connection, topic)]

    assert (first.key, first.value, first.timestamp_ms) == (None, b"\xff\x00 bytes", 1_000)
    assert first.headers == (("reason", b"\xfe"), ("none", None))
    assert (second.key, second.value, second.timestamp_ms, second.headers) == (b"gone", None, 2_000, ())


async def test_a_message_of_5_mb_passes_through_telemetry_and_dead_letters(broker: LocalBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=broker.bootstrap)
    telemetry, dead_letters = topics.names()["telemetry.metrics"], topics.names()["dead-letters"]
    await adapter.create(connection, topics)
    async with producer(connection) as sender:
        await sender.send_and_wait(telemetry, b"x" * 5 * MEGABYTE, partition=0)
        await sender.send_and_wait(telemetry, b"behind it", partition=0)
    large, behind = [read.record.value or b"" for read in await read(connection, telemetry)]
    async with producer(connection) as sender:
        await sender.send_and_wait(dead_letters, large, headers=[("reason", b"r" * 1000)])

    (dead,) = await read(connection, dead_letters)

    assert behind == b"behind it"
    assert dead.record.value == b"x" * 5 * MEGABYTE


async def test_a_record_batch_that_grows_too_large_ends_the_reading_with_a_sentence(
    broker: LocalBroker, fresh_topics: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, topic = await filled(broker, fresh_topics())
    await produce_one_batch(broker, topic, [b"x" * 100_000], "zstd")
    monkeypatch.setattr(codecs, "MAX_BATCH_BYTES", 10_000)

    with pytest.raises(BrokerError, match="BatchTooLarge: a record batch must have at most 10000 bytes"):
        await read(connection, topic)
    with pytest.raises(BrokerError, match="BatchTooLarge: a record batch must have at most 10000 bytes"):
        _ = [record async for record in read_for_people(connection, {"signals": topic})]


async def test_a_topic_that_does_not_exist_is_a_usage_error(broker: LocalBroker, fresh_topics: Fresh) -> None:
    connection, topic = Connection(bootstrap=broker.bootstrap), fresh_topics().names()["signals"]

    with pytest.raises(UsageError, match=f"there is no topic {topic} at {broker.bootstrap}"):
        await read(connection, topic)
