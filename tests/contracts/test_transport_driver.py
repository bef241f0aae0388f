"""One contract for Faust's own driver and for ours, reading single messages or batches, on both brokers."""

import asyncio
import threading
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from faust.types import TP

from pipeline.adapters import clock
from pipeline.adapters.brokers import EmbeddedBroker, LocalBroker
from pipeline.adapters.ledger import Standing
from pipeline.adapters.transport import (
    assigned,
    batches,
    bulk_topic,
    end_by_partition,
    generation,
    is_caught_up,
    jumps_by_partition,
    lag_by_partition,
    position_by_partition,
    reached,
    seek_to_standing,
    thread,
)
from pipeline.adapters.transport.batches import MAX_WAITING, Taken
from pipeline.contracts.readings import RejectReason
from tests.contracts.transport_harness import (
    app_of,
    committed,
    consumer_of,
    delete_records,
    new_topic,
    noting_agent,
    produce,
    produce_one_batch,
    running,
    unique,
    until,
)

VARIANTS = ["stock", "single", "bulk"]
OURS = ["single", "bulk"]


@pytest.mark.parametrize("variant", VARIANTS)
async def test_every_record_is_delivered_once_and_in_order(broker: LocalBroker, variant: str) -> None:
    topic = await new_topic(broker)
    await produce(broker, topic, 500)
    app = app_of(variant, broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: seen.count >= 1_000, "1,000 records came")
        await asyncio.sleep(0.2)

    assert seen.offsets == {0: list(range(500)), 1: list(range(500))}


@pytest.mark.parametrize("variant", OURS)
async def test_a_paused_partition_loses_nothing(broker: LocalBroker, variant: str) -> None:
    topic = await new_topic(broker)
    app = app_of(variant, broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        app.consumer.pause_partitions({TP(topic, 0)})
        await produce(broker, topic, 200)
        await until(lambda: len(seen.offsets[1]) == 200, "the other partition came")
        paused = list(seen.offsets[0])
        app.consumer.resume_partitions({TP(topic, 0)})
        await until(lambda: len(seen.offsets[0]) >= 200, "the paused partition came")

    assert paused == []
    assert seen.offsets[0] == list(range(200))


@pytest.mark.parametrize("variant", OURS)
async def test_what_is_taken_while_a_partition_is_paused_is_delivered_later(broker: LocalBroker, variant: str) -> None:
    topic = await new_topic(broker)
    app = app_of(variant, broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        consumer_thread, tp = consumer_of(app)._thread, TP(topic, 0)
        take = consumer_thread.take

        async def take_then_pause(wanted: frozenset[TP], wait_s: float) -> list[Taken]:
            taken = await take(wanted, wait_s)
            if any(run.tp == tp for run in taken):
                consumer_thread.take = take
                app.consumer.pause_partitions({tp})
                asyncio.get_running_loop().call_later(0.3, app.consumer.resume_partitions, {tp})
            return list(taken)

        consumer_thread.take = take_then_pause
        await produce(broker, topic, 200)
        await until(lambda: seen.count >= 400, "all came")

    assert seen.offsets == {0: list(range(200)), 1: list(range(200))}


async def test_a_seek_of_single_messages_reads_again_from_there(broker: LocalBroker) -> None:  # Faust's refuses some, at times
    topic = await new_topic(broker, 1)
    await produce(broker, topic, 100, partitions=1)
    app = app_of("single", broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: seen.count >= 100, "all came")
        await app.consumer.seek(TP(topic, 0), 40)
        await until(lambda: seen.count >= 160, "they came again")

    assert seen.offsets[0] == [*range(100), *range(40, 100)]


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_restart_goes_on_from_the_commit(broker: LocalBroker, variant: str) -> None:
    topic, app_id = await new_topic(broker), unique("app")
    await produce(broker, topic, 300)
    first = app_of(variant, broker, topic, app_id, stream_wait_empty=True)
    seen = noting_agent(first, topic)
    async with running(first):
        await until(lambda: seen.count >= 600, "600 records came")
    await produce(broker, topic, 50)
    second = app_of(variant, broker, topic, app_id)

    seen = noting_agent(second, topic)
    async with running(second):
        await until(lambda: seen.count >= 100, "100 more came")

    assert seen.offsets == {0: list(range(300, 350)), 1: list(range(300, 350))}


async def test_nothing_is_committed_that_is_not_finished(broker: LocalBroker) -> None:
    topic, app_id = await new_topic(broker, 1), unique("app")
    await produce(broker, topic, 100, partitions=1)
    app = app_of("bulk", broker, topic, app_id)
    seen = noting_agent(app, topic, finishes=False)

    async with running(app):
        await until(lambda: seen.count >= 100, "all came")
        await asyncio.sleep(1.5)
        before = await committed(broker, app_id, topic)
        app.bulk.ledger.finish((topic, 0), 70, "a mark")
    after = await committed(broker, app_id, topic)

    assert before is None
    assert after == 70


@pytest.mark.kafka
async def test_commit_metadata_comes_back_with_the_partition(kafka_broker: LocalBroker) -> None:
    topic, app_id = await new_topic(kafka_broker, 1), unique("app")
    await produce(kafka_broker, topic, 10, partitions=1)
    first = app_of("bulk", kafka_broker, topic, app_id)
    seen = noting_agent(first, topic, metadata='{"watermark_ms": 5}')
    async with running(first):
        await until(lambda: seen.count >= 10, "all came")
    second = app_of("bulk", kafka_broker, topic, app_id)
    noting_agent(second, topic)

    async with running(second):
        standing = second.bulk.ledger.standing((topic, 0))

    assert standing is not None
    assert (standing.next_offset, standing.metadata) == (10, '{"watermark_ms": 5}')


async def test_an_agent_reads_again_from_where_the_ledger_stands(broker: LocalBroker) -> None:
    topic = await new_topic(broker, 1)
    await produce(broker, topic, 100, partitions=1)
    app = app_of("bulk", broker, topic, unique("app"))
    seen = noting_agent(app, topic, finishes=False)

    async with running(app):
        await until(lambda: seen.count >= 100, "all came")
        app.bulk.ledger.finish((topic, 0), 60)
        is_mine = await seek_to_standing(app, (topic, 0))
        await until(lambda: seen.count >= 140, "40 came again")
        jumps = jumps_by_partition(app)

    assert is_mine
    assert seen.offsets[0] == [*range(100), *range(60, 100)]
    assert jumps == {}


async def test_a_seek_overtakes_what_is_queued(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "MAX_RECORDS", 50)
    topic = await new_topic(broker, 1)
    await produce(broker, topic, 3_000, partitions=1)
    app = app_of("bulk", broker, topic, unique("app"))
    seen = noting_agent(app, topic, finishes=False, pause_s=0.02)
    sought_at: list[int] = []

    async with running(app):
        await until(lambda: seen.count >= 500, "some came")
        for _ in range(10):
            await seek_to_standing(app, (topic, 0))
            sought_at.append(len(seen.batches[0]))
            await asyncio.sleep(0.1)
        await until(lambda: seen.offsets[0][-1] == 2_999, "the end came")

    starts = [batch.begins_at for batch in seen.batches[0]]
    ends = [0, *(batch.next_offset for batch in seen.batches[0])]
    assert all(start in (0, end) for start, end in zip(starts, ends, strict=False))
    assert all(0 in starts[n : n + 2] for n in sought_at)  # the agent may have had one in hand


@pytest.mark.parametrize("variant", OURS)
async def test_a_seek_overtakes_what_is_taken_but_not_delivered(broker: LocalBroker, variant: str) -> None:
    topic = await new_topic(broker, 1)
    app = app_of(variant, broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        consumer_thread, take = consumer_of(app)._thread, consumer_of(app)._thread.take

        async def take_then_seek(wanted: frozenset[TP], wait_s: float) -> list[Taken]:
            taken = await take(wanted, wait_s)
            if taken:
                consumer_thread.take = take
                await app.consumer.seek(TP(topic, 0), 0)
            return list(taken)

        consumer_thread.take = take_then_seek
        await produce(broker, topic, 100, partitions=1)
        await until(lambda: seen.count >= 100, "all came")
        await asyncio.sleep(0.5)

    assert seen.offsets[0] == list(range(100))


async def test_a_batch_holds_the_records_untouched(broker: LocalBroker) -> None:
    topic = await new_topic(broker, 1)
    await produce(broker, topic, 100, partitions=1, compression_type="gzip")
    app = app_of("bulk", broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: seen.count >= 100, "all came")

    records = [record for batch in seen.batches[0] for record in batch.records]
    assert [record.value for record in records] == [b"%d" % i for i in range(100)]
    assert {record.key for record in records} == {b"key"}
    assert {record.headers for record in records} == {(("h", b"x"),)}
    assert [record.timestamp_ms for record in records] == [1_000 + i for i in range(100)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_record_batch_that_grows_too_large_is_one_record_and_the_partition_goes_on(broker: LocalBroker, codec: str) -> None:
    topic = await new_topic(broker, 1)
    await produce(broker, topic, 100, partitions=1, compression_type=codec)
    await produce_one_batch(broker, topic, [b"\0" * 300_000] * 3, codec)
    await produce(broker, topic, 100, partitions=1, compression_type=codec)
    app = app_of("bulk", broker, topic, unique("app"), max_batch_bytes=500_000)
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: seen.count >= 201, "all came")
        [refused] = [record for batch in seen.batches[0] for record in batch.records if record.refused is not None]
        limits = {batch.max_batch_bytes for batch in seen.batches[0]}
        app.bulk.ledger.began((topic, 0), Standing(100, ""))
        seen.batches[0].clear()
        await seek_to_standing(app, (topic, 0), max_batch_bytes=1_000_000)
        await until(lambda: seen.count >= 201 + 103, "the rest came again")

    assert seen.offsets[0] == [*range(101), *range(103, 203), *range(100, 203)]
    assert (refused.offset, refused.refused.reason, refused.refused.last_offset) == (100, RejectReason.BATCH_TOO_LARGE, 102)
    assert len(refused.value) < 100_000
    assert limits == {500_000}
    again = [record for batch in seen.batches[0] for record in batch.records]
    assert [len(record.value) for record in again[:3]] == [300_000] * 3
    assert {batch.max_batch_bytes for batch in seen.batches[0]} == {1_000_000}


async def test_batches_wait_for_a_slow_agent_in_bounded_numbers(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "MAX_RECORDS", 50)
    topic = await new_topic(broker, 1)
    await produce(broker, topic, 3_000, partitions=1)
    app = app_of("bulk", broker, topic, unique("app"))
    seen = noting_agent(app, topic, pause_s=0.05)
    most = 0

    async with running(app):
        tp = TP(topic, 0)

        def all_came() -> bool:
            nonlocal most
            most = max(most, consumer_of(app).n_waiting(tp))
            return seen.count >= 3_000

        await until(all_came, "all came", 25)

    assert 1 <= most <= MAX_WAITING
    assert seen.offsets[0] == list(range(3_000))
    assert max(len(batch.records) for batch in seen.batches[0]) == 50


async def test_an_app_tells_where_its_partitions_stand(broker: LocalBroker) -> None:
    topic = await new_topic(broker)
    await produce(broker, topic, 100)
    app = app_of("bulk", broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: seen.count >= 200, "all came")
        await until(lambda: is_caught_up(app, (topic, 0)), "it is caught up")
        lags, positions, owned, number = lag_by_partition(app), position_by_partition(app), assigned(app), generation(app)

    assert lags == {(topic, 0): 0, (topic, 1): 0}
    assert positions == {(topic, 0): 100, (topic, 1): 100}
    assert owned == {(topic, 0), (topic, 1)}
    assert number >= (0 if isinstance(broker, EmbeddedBroker) else 1)


async def test_a_batch_that_a_seek_overtook_on_its_way_to_the_agent_is_not_handed_to_a_shell(broker: LocalBroker) -> None:
    topic = await new_topic(broker, 1)
    app = app_of("bulk", broker, topic, unique("app"))
    offsets: list[int] = []

    @app.agent(bulk_topic(app, topic), name="shell")
    async def shell(stream: Any) -> None:
        async for event in batches(stream):
            offsets.extend(record.offset for record in event.value.records)

    async with running(app):
        app.flow_control.suspend()  # as at a rebalance: what is being delivered waits in Faust until it is over
        await produce(broker, topic, 100, partitions=1)
        await until(lambda: position_by_partition(app).get((topic, 0)) == 100, "all was taken")
        await seek_to_standing(app, (topic, 0))
        app.flow_control.resume()
        await until(lambda: len(offsets) >= 100, "all came")
        await asyncio.sleep(0.5)

    assert offsets == list(range(100))


@pytest.mark.kafka
async def test_a_log_that_was_emptied_counts_as_read(kafka_broker: LocalBroker) -> None:
    topic = await new_topic(kafka_broker, 1)
    await produce(kafka_broker, topic, 100, partitions=1)
    await delete_records(kafka_broker, topic, before=100)
    app = app_of("bulk", kafka_broker, topic, unique("app"))
    gate = asyncio.Event()
    seen = noting_agent(app, topic, gate=gate)

    async with running(app):
        await until(lambda: end_by_partition(app).get((topic, 0)) == 100, "the end is known")
        await until(lambda: reached(app, (topic, 0), None) == 100, "it counts as read")
        await produce(kafka_broker, topic, 100, partitions=1)
        await until(lambda: position_by_partition(app).get((topic, 0)) == 200, "more was taken")
        in_work = {reached(app, (topic, 0), None), reached(app, (topic, 0), 100)}
        gate.set()
        await until(lambda: seen.count == 100, "more was read")
        after = reached(app, (topic, 0), 200)

    assert in_work == {None, 100}
    assert after == 200


async def test_what_was_taken_and_is_not_delivered_yet_is_not_called_read(
    broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = thread.BulkConsumerThread.take

    async def take_slowly(self: thread.BulkConsumerThread, wanted: frozenset[TP], wait_s: float) -> list[Taken]:
        taken = await take(self, wanted, wait_s)
        if taken:
            await asyncio.sleep(0.5)  # between the consumer's thread and the agent's loop
        return taken

    topic = await new_topic(broker, 1)
    app = app_of("bulk", broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: is_caught_up(app, (topic, 0)), "it is caught up")
        monkeypatch.setattr(thread.BulkConsumerThread, "take", take_slowly)
        await asyncio.sleep(0.6)  # the take that was under way is over
        await produce(broker, topic, 100, partitions=1)
        await until(lambda: position_by_partition(app).get((topic, 0)) == 100, "it was taken")
        told = (is_caught_up(app, (topic, 0)), reached(app, (topic, 0), None), seen.count)
        await until(lambda: seen.count == 100, "it was delivered")

    assert told == (False, None, 0)


async def test_an_empty_partition_stays_caught_up_while_another_ones_records_are_taken(
    broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_run, is_taking, may_go_on = thread.take_run, threading.Event(), threading.Event()

    def take_slowly(*args: Any, **more: Any) -> Any:
        is_taking.set()
        may_go_on.wait(10)
        return take_run(*args, **more)

    topic = await new_topic(broker, 2)
    app = app_of("bulk", broker, topic, unique("app"))
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: all(is_caught_up(app, (topic, partition)) for partition in (0, 1)), "both are caught up")
        monkeypatch.setattr(thread, "take_run", take_slowly)
        await produce(broker, topic, 100, partitions=1)
        await until(is_taking.is_set, "records are being taken")
        told = (is_caught_up(app, (topic, 0)), is_caught_up(app, (topic, 1)))
        may_go_on.set()
        await until(lambda: seen.count == 100, "they were delivered")

    assert told == (False, True)


async def test_a_worker_that_has_not_asked_for_long_is_not_caught_up(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = await new_topic(broker, 1)
    app = app_of("bulk", broker, topic, unique("app"))
    noting_agent(app, topic)

    async with running(app):
        await until(lambda: is_caught_up(app, (topic, 0)), "it is caught up")
        now_ms = clock.now_ms()
        monkeypatch.setattr(clock, "now_ms", lambda: now_ms + 10_000)  # it was frozen, and has just been continued
        is_believed = is_caught_up(app, (topic, 0))

    assert not is_believed


@pytest.mark.kafka
async def test_a_partition_that_is_added_is_assigned_within_seconds(kafka_broker: LocalBroker) -> None:
    topic = await new_topic(kafka_broker, 1)
    app = app_of("bulk", kafka_broker, topic, unique("app"), consumer_metadata_max_age_ms=500)
    seen = noting_agent(app, topic)

    async with running(app):
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(total_count=2)})
        await admin.close()
        await until(lambda: assigned(app) == {(topic, 0), (topic, 1)}, "both are assigned")
        await produce(kafka_broker, topic, 10)
        await until(lambda: seen.count >= 20, "both are read")


async def test_a_record_batch_that_is_larger_than_a_fetch_comes_whole(kafka_broker: LocalBroker) -> None:
    topic = await new_topic(kafka_broker, 4)
    producer = AIOKafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
    await producer.start()
    try:
        for at in range(3 * 4):
            await producer.send_and_wait(topic, b"%d" % at * 50_000, partition=at % 4)
    finally:
        await producer.stop()
    app = app_of("bulk", kafka_broker, topic, unique("app"), consumer_max_fetch_size=1_000)
    seen = noting_agent(app, topic)

    async with running(app):
        await until(lambda: seen.count >= 12, "all came")

    assert {partition: sorted(offsets) for partition, offsets in seen.offsets.items()} == {p: [0, 1, 2] for p in range(4)}
