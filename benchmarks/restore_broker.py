"""The same with a real broker: the analyse worker is killed with -9 while it judges, again and again, and started again.

The truth is the detection stage run once, in process, over what lies on ``tocsin.signals``: every verdict on
``tocsin.anomalies``, the first and each that was said again, must be that one's, each number within 1e-9.
"""

import asyncio
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.exact import Workers
from benchmarks.own_config import REPOSITORY, write_config
from benchmarks.restore import Shop, difference
from pipeline.adapters.brokers.embedded import EmbeddedBroker
from pipeline.adapters.brokers.kafka import KafkaBroker
from pipeline.adapters.reading import read_topic
from pipeline.analyse.detection import restore
from pipeline.contracts.keys import partition_for, service_key
from pipeline.contracts.records import InRecord
from pipeline.contracts.signals import Signals
from pipeline.settings import Settings, load_settings

PARTITIONS = 2
KILLS = 5
"""In each run."""
RECORDS_PER_S = 100
SETTLE_S = 60
PATIENCE_S = 60
"""How long a worker may take to say something."""


async def one_run(seed: int, broker: EmbeddedBroker | KafkaBroker, n_services: int, n_windows: int) -> dict[str, Any]:
    """Return what one seed shows."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-restore-"))
    draw = random.Random(seed)
    try:
        prefix = f"restore-{seed}-{draw.randrange(10**6)}-"
        topics = write_config(
            folder / "config",
            prefix=prefix,
            bootstrap=broker.bootstrap,
            partitions=PARTITIONS,
            changed={"worker": {"embedded_broker": not broker.is_persistent}},
        )
        settings = load_settings(folder / "config", env={})
        await _create_topics(folder / "config")
        workers = Workers(folder / "config", folder)
        feeding = asyncio.create_task(_feed(settings, topics["signals"], Shop(seed, n_services, n_windows).records()))
        await workers.start("analyse", "analyse")
        n_kills = 0
        while n_kills < KILLS and await _has_spoken(settings, topics["anomalies"], draw.randint(30, 300), feeding):
            await workers.stop("analyse", signal.SIGKILL)
            await workers.start("analyse", "analyse")
            n_kills += 1
        await feeding
        truth = await _truth(settings, topics["signals"])
        said = await _settled(settings, topics["anomalies"], truth)
        await workers.stop("analyse")
        return _compared(seed, truth, said) | {"restored": n_kills, "cold": _cold_starts(folder)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cold_starts(logs: Path) -> int:
    return sum(path.read_text(errors="replace").count("models start cold") for path in logs.glob("*.log"))


async def _create_topics(config: Path) -> None:
    create = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.cli", "topics", "create", "--config", str(config),
        stdout=asyncio.subprocess.DEVNULL, cwd=REPOSITORY,
    )  # fmt: skip
    if await create.wait():
        raise RuntimeError("tocsin topics create failed")


async def _has_spoken(settings: Settings, topic: str, n: int, feeding: "asyncio.Task[None]") -> bool:
    """Wait until ``n`` more verdicts are there, so that the worker is in the middle of its work; whether there is any left."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.connection.bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        began = sum((await consumer.end_offsets(partitions)).values())
        async with asyncio.timeout(PATIENCE_S):
            while sum((await consumer.end_offsets(partitions)).values()) < began + n:
                if feeding.done():
                    return False
                await asyncio.sleep(0.02)
    finally:
        await consumer.stop()
    return True


async def _feed(settings: Settings, topic: str, records: Iterable[InRecord]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.connection.bootstrap, acks="all")
    await producer.start()
    try:
        for i, record in enumerate(records):
            signals = msgspec.json.decode(record.value or b"", type=Signals)
            key = service_key(signals.environment, signals.service)
            sent = await producer.send(
                topic, record.value, key=key.encode(), partition=partition_for(key, PARTITIONS), timestamp_ms=record.timestamp_ms
            )
            if i % (RECORDS_PER_S // 10) == 0:
                await sent
                await asyncio.sleep(0.1)
        await producer.flush()
    finally:
        await producer.stop()


async def _truth(settings: Settings, topic: str) -> dict[str, bytes]:
    """Return the verdict of each window by its id, as a stage that is never stopped says it."""
    stages = {partition: restore(settings.detection, partition, {}, settings.surroundings) for partition in range(PARTITIONS)}
    truth: dict[str, bytes] = {}
    async for read in read_topic(settings.connection, topic):
        for output in stages[read.partition].step(read.record, 0):
            truth[_id(output.value or b"")] = output.value or b""
    return truth


async def _settled(settings: Settings, topic: str, truth: dict[str, bytes]) -> list[bytes]:
    """Return every verdict that was said, once all windows have one, or time is up."""
    said: list[bytes] = []
    for _ in range(SETTLE_S):
        said = [read.record.value or b"" async for read in read_topic(settings.connection, topic)]
        if {_id(value) for value in said} >= truth.keys():
            break
        await asyncio.sleep(1)
    return said


def _compared(seed: int, truth: dict[str, bytes], said: list[bytes]) -> dict[str, Any]:
    worst = max((difference(truth.get(_id(value), b"null"), value) for value in said), default=float("inf"))
    is_complete = {_id(value) for value in said} == truth.keys()
    return {
        "seed": seed,
        "verdicts": len(truth),
        "said_again": len(said) - len(truth),
        "worst": worst if is_complete else float("inf"),
    }


def _id(value: bytes) -> str:
    return str(msgspec.json.decode(value)["id"])
