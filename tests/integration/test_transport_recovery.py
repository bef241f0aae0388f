"""A table is the same after a restart as it was, and a run of apps ends as it should."""

import asyncio
import os
import signal
from typing import Any

import pytest

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.faust_apps import FaustAppSettings, TocsinApp, make_app
from pipeline.adapters.faust_run import AppCrashed, run_apps
from pipeline.adapters.tables import SnapshottedRows, make_snapshot_table, make_table, rows_of, write_rows
from pipeline.adapters.transport import bulk_topic
from pipeline.contracts.models import MemoryPart, ModelSnapshot, read_snapshot, write_snapshot
from pipeline.contracts.rows import SNAPSHOTS, pack
from pipeline.errors import BrokerError
from tests.contracts.transport_harness import app_of, new_topic, noting_agent, produce, running, unique, until

ROWS = {f"row {i}": pack(7, b"x" * 50) for i in range(500)}
"""Without a head row, which is sent alone: the last batch of the changelog holds many records."""


def writing_agent(app: TocsinApp, topic: str, table: Any, written: list[int]) -> None:
    @app.agent(bulk_topic(app, topic))
    async def write(stream: Any) -> None:
        async for event in stream.noack().events():
            await write_rows(table, event, event.value.partition, ROWS)
            written.append(event.value.partition)


async def test_a_restart_recovers_every_row_to_the_last(broker: LocalBroker) -> None:
    topic, app_id = await new_topic(broker, 1), unique("app")
    await produce(broker, topic, 1, partitions=1)
    first = app_of("bulk", broker, topic, app_id)
    written: list[int] = []
    writing_agent(first, topic, make_table(first, "rows", 1), written)
    async with running(first):
        await until(lambda: bool(written), "the rows were acknowledged")

    second = app_of("bulk", broker, topic, app_id)
    table = make_table(second, "rows", 1)
    noting_agent(second, topic)
    async with running(second):
        recovered = rows_of(table, 0)

    assert recovered == ROWS


async def test_snapshots_are_kept_on_their_own_topic_under_the_services_keys_and_come_back_beside_the_rows(
    broker: LocalBroker,
) -> None:
    topic, models, app_id = await new_topic(broker, 2), await new_topic(broker, 2), unique("app")
    await produce(broker, topic, 1)
    first = app_of("bulk", broker, topic, app_id)
    checkpoints = snapshotted(first, models)
    written: list[int] = []

    @first.agent(bulk_topic(first, topic))
    async def write(stream: Any) -> None:
        async for event in stream.noack().events():
            partition = event.value.partition
            for app, applied in (("tocsin", 5), ("tocsin", 3), ("other", 9)):
                rows = {f"{SNAPSHOTS}prod/{partition}": snapshot(app, applied), "prod/x\tdetectors\t0": pack(7, b"p")}
                await checkpoints.write(event, partition, {**rows, "head": pack(7, b"{}")})
            written.append(partition)

    async with running(first):
        await until(lambda: len(written) == 2, "both partitions were written")

    second = app_of("bulk", broker, topic, app_id)
    recovered = snapshotted(second, models)
    noting_agent(second, topic)
    async with running(second):
        rows = [recovered.rows_of(partition) for partition in range(2)]

    assert [read_snapshot(rows[i].pop(f"{SNAPSHOTS}prod/{i}")).applied for i in range(2)] == [5, 5]
    assert rows == [{"prod/x\tdetectors\t0": pack(7, b"p"), "head": pack(7, b"{}")}] * 2


def snapshotted(app: TocsinApp, models: str) -> SnapshottedRows:
    return SnapshottedRows(make_table(app, "rows", 2), make_snapshot_table(app, "models", 2, topic_name=models, owner="tocsin"))


def snapshot(app: str, applied: int) -> bytes:
    made = ModelSnapshot(
        app=app, version="1", part=MemoryPart.DETECTORS, environment="prod", service="a", applied=applied, n=1, at_ms=1, state={}
    )
    return write_snapshot(made)


async def test_apps_run_together_until_they_are_told_to_stop(broker: LocalBroker) -> None:
    topic = await new_topic(broker)
    await produce(broker, topic, 10)
    apps = [app_of("bulk", broker, topic, unique("app")) for _ in range(3)]
    seen = [noting_agent(app, topic) for app in apps]
    stop, clock = asyncio.Event(), asyncio.get_running_loop().time

    async def stop_when_all_came() -> None:
        await until(lambda: [one.count for one in seen] == [20, 20, 20], "each app got all")
        told_at.append(clock())
        os.kill(os.getpid(), signal.SIGTERM)

    told_at: list[float] = []
    stopper: list[asyncio.Task[None]] = []

    async def on_ready() -> None:
        stopper.append(asyncio.ensure_future(stop_when_all_came()))

    async def on_stop() -> None:
        were_running.append(all(app.started and not app.should_stop for app in apps))

    were_running: list[bool] = []
    await run_apps(apps, stop=stop, on_ready=on_ready, on_stop=on_stop)

    assert stop.is_set()
    assert were_running == [True]
    assert clock() - told_at[0] < 2


async def test_an_agent_that_crashes_ends_the_run_with_its_error(broker: LocalBroker) -> None:
    topic = await new_topic(broker)
    await produce(broker, topic, 1)
    app, other = (app_of("bulk", broker, topic, unique("app")) for _ in range(2))
    noting_agent(other, topic)

    @app.agent(bulk_topic(app, topic))
    async def crash(stream: Any) -> None:
        async for _ in stream.noack().events():
            raise ValueError("a bug")

    with pytest.raises(AppCrashed, match="a bug"):
        await run_apps([app, other], stop=asyncio.Event())


async def test_a_run_without_a_broker_says_where_it_looked() -> None:
    app = make_app(FaustAppSettings(bootstrap="127.0.0.1:1", profile="test"), app_id=unique("app"), bulk_topics=["t"])
    noting_agent(app, "t")

    with pytest.raises(BrokerError, match=r"no broker at 127\.0\.0\.1:1"):
        await run_apps([app], stop=asyncio.Event())
