"""Topics are created as configured and checked, on both brokers."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.adapters import topics as adapter
from pipeline.adapters.brokers import KafkaBroker, LocalBroker
from pipeline.adapters.kafka import Connection, partition_counts
from pipeline.contracts.topics import Topics
from pipeline.errors import ConfigError

Fresh = Callable[..., Topics]


def with_compacted_signals(topics: Topics) -> Topics:
    """Return the same topics, ``signals`` compacted and kept for an hour."""
    specs = tuple(
        replace(spec, cleanup="compact", retention_ms=3_600_000) if spec.logical == "signals" else spec for spec in topics.topics
    )
    return replace(topics, topics=specs)


async def test_topics_are_created_once_and_then_exist(broker: LocalBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(service_partitions=3, telemetry_partitions=2), Connection(bootstrap=broker.bootstrap)

    first = await adapter.create(connection, topics)
    second = await adapter.create(connection, topics)
    report = await adapter.check(connection, topics)
    counts = await partition_counts(connection)

    assert {outcome.outcome for outcome in first} == {"created"}
    assert {outcome.outcome for outcome in second} == {"exists"}
    assert report.problems == ()
    names = topics.names()
    assert counts[names["signals"]] == 3
    assert counts[names["telemetry.metrics"]] == 2
    assert counts[names["alert-events"]] == 1


async def test_missing_topics_and_wrong_partition_counts_are_refused(broker: LocalBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=broker.bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topics.names()["signals"], 5, 1)])
    while topics.names()["signals"] not in await admin.list_topics():  # noqa: ASYNC110 - a busy broker says created before it lists it
        await asyncio.sleep(0.1)
    await admin.close()

    with pytest.raises(ConfigError) as refused:
        await adapter.require(connection, topics, ["signals", "partials"])

    signals, partials = topics.names()["signals"], topics.names()["partials"]
    text = str(refused.value)
    assert f"topic {partials} does not exist at {broker.bootstrap}: make it with `tocsin topics create`" in text
    assert f"topic {signals} has 5 partitions, config/topics.yaml says 2 (service_partitions)" in text


async def test_asking_about_topics_creates_none(broker: LocalBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=broker.bootstrap)

    report = await adapter.check(connection, topics)

    assert {problem.setting for problem in report.problems} == {"missing"}
    assert not set(topics.names().values()) & (await partition_counts(connection)).keys()


@pytest.mark.kafka
async def test_settings_that_differ_are_named_and_compaction_is_refused(kafka_broker: KafkaBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=kafka_broker.bootstrap)
    await adapter.create(connection, with_compacted_signals(topics))

    outcomes = await adapter.create(connection, topics)

    (differs,) = [outcome for outcome in outcomes if outcome.outcome == "differs"]
    assert differs.logical == "signals"
    assert {problem.setting: problem.is_fatal for problem in differs.problems} == {"cleanup.policy": True, "retention.ms": False}
    assert "retention.ms=3600000, config/topics.yaml says -1" in differs.problems[1].sentence
    with pytest.raises(ConfigError, match=r"cleanup\.policy=compact"):
        await adapter.require(connection, topics, ["signals"])


@pytest.mark.kafka
async def test_two_that_create_topics_at_the_same_time_both_succeed(kafka_broker: KafkaBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=kafka_broker.bootstrap)

    both = await asyncio.gather(adapter.create(connection, topics), adapter.create(connection, topics))

    created = [outcome.topic for outcomes in both for outcome in outcomes if outcome.outcome == "created"]
    assert sorted(created) == sorted(topics.names().values())
    assert not [problem for outcomes in both for outcome in outcomes for problem in outcome.problems]
