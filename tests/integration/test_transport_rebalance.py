"""What a rebalance may not do: lose records, skip them, or hand over partitions that are not to be read."""

import asyncio
import contextlib
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP

from pipeline.adapters.brokers import EmbeddedBroker, LocalBroker
from pipeline.adapters.faust_apps import TocsinApp
from pipeline.adapters.tables import make_table, rows_of, write_rows
from pipeline.adapters.transport import bulk_topic, seek_to_standing
from pipeline.adapters.transport.consumer import BulkConsumer
from pipeline.contracts.rows import applied_of, pack
from tests.contracts.transport_harness import Seen, app_of, consumer_of, new_topic, noting_agent, produce, running, unique, until

RECOVERED, WAITING, SLOW = 100, 6_000, 1_000


def table_agent(app: TocsinApp, topic: str) -> Seen:
    """Note single messages, and write a table, so that a restart has something to recover."""
    seen, table = Seen(), app.Table("some", partitions=2)

    @app.agent(app.topic(topic))
    async def note(stream: Any) -> None:
        async for event in stream.events():
            seen.offsets[event.message.partition].append(event.message.offset)
            if event.message.offset < RECOVERED:
                table[str(event.message.partition)] = event.message.offset
            elif seen.count < SLOW:  # so that records wait in its queue when that is cleared
                await asyncio.sleep(0.002)

    return seen


def delay_seeks(monkeypatch: pytest.MonkeyPatch, consumer: type[Consumer], seen: Seen, limit_s: float) -> None:
    """Let the seek after a recovery come late: when records have come before it, which must not be, or after the limit."""
    perform_seek = consumer.perform_seek

    async def late(self: Any) -> None:
        with contextlib.suppress(AssertionError):
            await until(lambda: seen.count >= 100, "records came before the seek", limit_s)
        await perform_seek(self)

    monkeypatch.setattr(consumer, "perform_seek", late)


async def restart_with_late_seeks(
    variant: str, broker: LocalBroker, monkeypatch: pytest.MonkeyPatch, consumer: type[Consumer], limit_s: float
) -> dict[int, list[int]]:
    """Return what an app was given that recovers a table while thousands of records wait for it."""
    topic, app_id = await new_topic(broker), unique("app")
    await produce(broker, topic, RECOVERED)
    before = app_of(variant, broker, topic, app_id, stream_wait_empty=True)
    first_seen = table_agent(before, topic)
    async with running(before):
        await until(lambda: first_seen.count >= 2 * RECOVERED, "the first records came")
    await produce(broker, topic, WAITING)
    app = app_of(variant, broker, topic, app_id, stream_buffer_maxsize=500)  # so that the seek finds some on their way
    seen = table_agent(app, topic)
    delay_seeks(monkeypatch, consumer, seen, limit_s)
    async with running(app):
        counts = [-1, 0]
        while counts[-1] != counts[-2] or counts[-1] == 0:  # until nothing more comes
            await asyncio.sleep(1)
            counts.append(seen.count)
    return dict(seen.offsets)


@pytest.mark.embedded
async def test_as_shipped_a_late_seek_loses_records(embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = await restart_with_late_seeks("stock", embedded_broker, monkeypatch, Consumer, 5.0)

    assert sum(len(set(offsets)) for offsets in seen.values()) < 2 * WAITING


async def test_a_late_seek_loses_nothing(broker: LocalBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = await restart_with_late_seeks("single", broker, monkeypatch, BulkConsumer, 0.8)

    assert seen == {partition: list(range(RECOVERED, RECOVERED + WAITING)) for partition in range(2)}


async def two_topics(variant: str, broker: LocalBroker) -> tuple[TocsinApp, str, str, Seen, Seen]:
    ours, foreign = await new_topic(broker, 1), await new_topic(broker, 1)
    app = app_of(variant, broker, ours, unique("app"))
    return app, ours, foreign, noting_agent(app, ours), noting_agent(app, foreign)


@pytest.mark.embedded
async def test_as_shipped_an_emptied_active_set_means_all(embedded_broker: EmbeddedBroker) -> None:
    app, ours, foreign, _, _ = await two_topics("stock", embedded_broker)
    async with running(app):
        app.consumer.pause_partitions({TP(ours, 0), TP(foreign, 0)})
        await app._fetcher.stop()
        await produce(embedded_broker, foreign, 10, partitions=1)
        live = {TP(ours, 0)}
        taking = asyncio.ensure_future(consumer_of(app)._getmany(live, 3.0))
        live.clear()

        taken = await taking

    assert TP(foreign, 0) in taken


async def test_an_emptied_active_set_hands_over_nothing_foreign(broker: LocalBroker) -> None:
    app, ours, foreign, seen, foreign_seen = await two_topics("single", broker)
    async with running(app):
        consumer_thread, take = consumer_of(app)._thread, consumer_of(app)._thread.take

        async def take_while_it_empties(wanted: frozenset[TP], wait_s: float) -> Any:
            consumer_of(app)._active_partitions.clear()
            return await take(wanted, wait_s)

        app.consumer.pause_partitions({TP(foreign, 0)})
        consumer_thread.take = take_while_it_empties
        await produce(broker, foreign, 10, partitions=1)
        await produce(broker, ours, 10, partitions=1)
        await asyncio.sleep(0.7)
        nothing = await take(frozenset(), 0.1)
        consumer_thread.take = take
        foreign_then = list(foreign_seen.offsets[0])
        app.consumer.resume_partitions({TP(ours, 0), TP(foreign, 0)})
        await until(lambda: seen.count + foreign_seen.count >= 20, "all came")

    assert nothing == []
    assert foreign_then == []
    assert seen.offsets[0] == list(range(10))
    assert foreign_seen.offsets[0] == list(range(10))


def chunking_agent(app: TocsinApp, topic: str, done: dict[int, list[tuple[int, int]]], size: int) -> None:
    """Cut partitions into chunks of ``size`` by offset, as ingest does, and commit whole chunks only."""
    position: dict[int, int] = {}
    begins: dict[int, int] = {}

    async def forget(_sender: object, revoked: set[TP], **_kwargs: object) -> None:
        for tp in revoked:
            position.pop(tp.partition, None)

    app.on_partitions_revoked.connect(forget, weak=False)  # type: ignore[arg-type] # mode's signals pass what they are sent

    @app.agent(bulk_topic(app, topic))
    async def cut(stream: Any) -> None:
        async for event in stream.noack().events():
            batch, tp = event.value, (topic, event.value.partition)
            await asyncio.sleep(0.005)
            if batch.partition not in position:
                standing = app.bulk.ledger.standing(tp)
                position[batch.partition] = begins[batch.partition] = 0 if standing is None else standing.next_offset
            if batch.begins_at != position[batch.partition]:
                position.pop(batch.partition)
                await seek_to_standing(app, tp)
                continue
            for record in batch.records:
                position[batch.partition] = record.offset + 1
                if record.offset + 1 - begins[batch.partition] == size:
                    done[batch.partition].append((begins[batch.partition], record.offset + 1))
                    begins[batch.partition] = record.offset + 1
                    app.bulk.ledger.finish(tp, record.offset + 1)
            position[batch.partition] = batch.next_offset


async def test_chunks_stay_whole_while_a_second_worker_joins_and_leaves(
    broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.adapters.transport.thread.MAX_RECORDS", 70)
    topic, app_id, n = await new_topic(broker, 4), unique("app"), 3_000
    await produce(broker, topic, n, partitions=4)
    first, second = (app_of("bulk", broker, topic, app_id) for _ in range(2))
    done: dict[int, list[tuple[int, int]]] = {partition: [] for partition in range(4)}
    by_second: dict[int, list[tuple[int, int]]] = {partition: [] for partition in range(4)}
    chunking_agent(first, topic, done, 100)
    chunking_agent(second, topic, by_second, 100)

    async with running(first):
        await asyncio.sleep(0.2)
        async with running(second):
            await until(lambda: any(by_second.values()), "the second worker took part")
            await produce(broker, topic, n, partitions=4)
            await asyncio.sleep(1)
        await until(lambda: all((2 * n - 100, 2 * n) in done[p] + by_second[p] for p in range(4)), "the end was reached", 18)

    whole = {(begin, begin + 100) for begin in range(0, 2 * n, 100)}
    assert {p: set(done[p]) | set(by_second[p]) for p in range(4)} == dict.fromkeys(range(4), whole)


async def test_a_table_follows_its_partition_to_another_worker(broker: LocalBroker) -> None:
    topic, app_id = await new_topic(broker, 2), unique("app")
    apps = [app_of("bulk", broker, topic, app_id) for _ in range(2)]
    tables = [make_table(app, "rows", 2) for app in apps]
    for app, table in zip(apps, tables, strict=True):
        _counting_agent(app, topic, table)

    async with running(apps[0]):
        await produce(broker, topic, 100)
        await until(lambda: all(_applied(tables[0], p) == 99 for p in range(2)), "the first worker applied all")
        async with running(apps[1]):
            await until(lambda: len(_owned(apps[0], topic)) == 1 == len(_owned(apps[1], topic)), "they shared")
            await until(lambda: all(app.tables.actives_ready for app in apps), "both recovered")
            await produce(broker, topic, 100)
            (mine,), (other,) = _owned(apps[0], topic), _owned(apps[1], topic)
            await until(lambda: _applied(tables[0], mine) == 199, "the first worker went on")
            await until(lambda: _applied(tables[1], other) == 199, "the second worker went on")
            kept, dropped = rows_of(tables[0], mine), rows_of(tables[0], other)

    assert kept.keys() == {"row", "head"}
    assert dropped == {}


def _counting_agent(app: TocsinApp, topic: str, table: Any) -> None:
    @app.agent(bulk_topic(app, topic))
    async def count(stream: Any) -> None:
        async for event in stream.noack().events():
            batch = event.value
            row = pack(batch.next_offset - 1, b"")
            await write_rows(table, event, batch.partition, {"row": row, "head": row})
            app.bulk.ledger.finish((topic, batch.partition), batch.next_offset)


def _applied(table: Any, partition: int) -> int:
    row = rows_of(table, partition).get("head")
    return -1 if row is None else applied_of(row)


def _owned(app: TocsinApp, topic: str) -> list[int]:
    return [tp.partition for tp in app.consumer.assignment() if tp.topic == topic]
