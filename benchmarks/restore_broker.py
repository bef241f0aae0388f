"""The same with a real broker: analyse workers are killed with -9, join and leave while they judge, and partitions move.

The truth is the detection stage run once, in process, over what lies on ``tocsin.signals``: every verdict on
``tocsin.anomalies``, the first and each that was said again, must be that one's, each number within 1e-9.
"""

import asyncio
import itertools
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.exact import Workers
from benchmarks.own_config import REPOSITORY, write_config
from benchmarks.restore import NOVELTY_SNAPSHOT_S, Shop, difference
from pipeline.adapters.brokers.embedded import EmbeddedBroker
from pipeline.adapters.brokers.kafka import KafkaBroker
from pipeline.adapters.reading import read_topic
from pipeline.analyse.detection import restore
from pipeline.contracts.keys import partition_for, service_key
from pipeline.contracts.records import InRecord
from pipeline.contracts.signals import Signals
from pipeline.settings import Settings, load_settings

PARTITIONS = 2
N_SERVICES = 6
"""The first few have all the same partition."""
MAX_WINDOWS = 8640
"""A day of signals; a run takes what it needs of them."""
AT_ONCE = 8_000
"""Records that are there before the rest comes: three hours, so that the shop has been in trouble and novelty speaks."""
RECORDS_PER_S = 100
SETTLE_S = 60
PATIENCE_S = 60
"""How long a worker may take to say something."""
LAST_WORDS = 5_000
"""Characters."""


async def one_run(seed: int, broker: EmbeddedBroker | KafkaBroker, n_at_once: int = AT_ONCE) -> dict[str, Any]:
    """Return what one seed shows, with so many records there from the beginning."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-restore-"))
    draw = random.Random(seed)
    prefix = f"restore-{seed}-{draw.randrange(10**6)}-"
    topics = write_config(
        folder / "config",
        prefix=prefix,
        bootstrap=broker.bootstrap,
        partitions=PARTITIONS,
        changed={"worker": {"embedded_broker": not broker.is_persistent}},
    )
    _let_novelty_speak(folder / "config" / "learning.yaml")
    settings = load_settings(folder / "config", env={})
    await _create_topics(folder / "config")
    run = Run(settings, topics, Workers(folder / "config", folder), draw)
    records = Shop(seed, N_SERVICES, MAX_WINDOWS).records()
    feeding = asyncio.create_task(_feed(settings, topics["signals"], records, n_at_once, run.is_over))
    try:
        await run()
        await feeding
        truth = await _truth(settings, topics["signals"])
        said = await _settled(settings, topics["anomalies"], truth)
        return _compared(seed, truth, said) | {
            "restored": run.n_restored,
            "rebalances": run.n_rebalances,
            "cold": _cold_starts(folder),
        }
    finally:
        feeding.cancel()
        for name in list(run.workers.running):
            await run.workers.stop(name, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Run:
    """The lives of the analyse workers: whoever has the partitions is the ``first``, and the ``second`` comes and goes."""

    settings: Settings
    topics: dict[str, str]
    workers: Workers
    draw: random.Random
    logs: dict[str, Path] = field(default_factory=dict)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    n_restored: int = 0
    """How often a worker began to judge a partition that another had judged."""
    n_rebalances: int = 0
    """How often a partition went from one living worker to another, or from a dead one to one that was there before."""

    async def __call__(self) -> None:
        """Let everything that can happen to a worker happen once, in an order that the seed draws."""
        await self._start("first")
        happenings = [self._is_started_again, self._is_taken_over, self._gets_back_what_left, self._gets_back_what_died]
        for happens in self.draw.sample(happenings, len(happenings)):
            await self._judged(self.draw.randint(10, 100))
            await happens()
        await self._judged(self.draw.randint(10, 100))
        self.is_over.set()

    async def _is_started_again(self) -> None:
        await self.workers.stop("first", signal.SIGKILL)
        await self._start("first")
        self.n_restored += PARTITIONS

    async def _is_taken_over(self) -> None:
        """The first is killed, and the second has its partitions, too."""
        await self._joined()
        await self.workers.stop("first", signal.SIGKILL)
        self.workers.running["first"] = self.workers.running.pop("second")
        self.logs["first"] = self.logs.pop("second")
        await self._has_all()

    async def _gets_back_what_left(self) -> None:
        await self._joined()
        await self.workers.stop("second")
        await self._has_all()

    async def _gets_back_what_died(self) -> None:
        await self._joined()
        await self.workers.stop("second", signal.SIGKILL)
        await self._has_all()

    async def _joined(self) -> None:
        """A second worker joins; both have partitions then, and judge."""
        await self._start("second")
        for name in ("first", "second"):
            await self._has_partitions(name, range(1, PARTITIONS))
        self._moved()
        await self._judged(self.draw.randint(10, 50))

    async def _has_all(self) -> None:
        await self._has_partitions("first", range(PARTITIONS, PARTITIONS + 1))
        self._moved()

    def _moved(self) -> None:
        self.n_restored += 1
        self.n_rebalances += 1

    async def _start(self, name: str) -> None:
        await self.workers.start(name, "analyse")
        self.logs[name] = self.workers.logs / f"{self.workers.n_started:02d}-{name}.log"

    async def _has_partitions(self, name: str, wanted: range) -> None:
        """Wait until a worker says that it reads so many partitions of the signals, and is ready."""
        reads = re.compile(rf'^tocsin_consumer_lag{{[^}}]*topic="{re.escape(self.topics["signals"])}"', re.MULTILINE)
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while True:
                log = self.logs[name].read_text(errors="replace")
                if self.workers.running[name].returncode is not None:
                    raise RuntimeError(f"a worker ended by itself; its last words: {log[-LAST_WORDS:]}")
                web = re.search(r'"web":\s*"(http://[^"]+)"', log)
                if web is not None:
                    async with session.get(f"{web[1]}/metrics") as metrics, session.get(f"{web[1]}/ready") as ready:
                        if len(reads.findall(await metrics.text())) in wanted and ready.status == HTTPStatus.OK:
                            return
                await asyncio.sleep(0.1)

    async def _judged(self, n: int) -> None:
        """Wait until every partition has ``n`` more verdicts, so that its worker is in the middle of its work."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.connection.bootstrap)
        await consumer.start()
        try:
            partitions = [TopicPartition(self.topics["anomalies"], partition) for partition in range(PARTITIONS)]
            began = await consumer.end_offsets(partitions)
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    ends = await consumer.end_offsets(partitions)
                    if all(ends[partition] >= began[partition] + n for partition in partitions):
                        return
                    await asyncio.sleep(0.02)
        finally:
            await consumer.stop()


def _cold_starts(logs: Path) -> int:
    return sum(path.read_text(errors="replace").count("models start cold") for path in logs.glob("*.log"))


def _let_novelty_speak(path: Path) -> None:
    learning = yaml.safe_load(path.read_text())
    learning["memory"]["novelty_snapshot_s"] = NOVELTY_SNAPSHOT_S
    learning["novelty"]["mode"] = "alert"
    path.write_text(yaml.safe_dump(learning))


async def _create_topics(config: Path) -> None:
    create = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.cli", "topics", "create", "--config", str(config),
        stdout=asyncio.subprocess.DEVNULL, cwd=REPOSITORY,
    )  # fmt: skip
    if await create.wait():
        raise RuntimeError("tocsin topics create failed")


async def _feed(settings: Settings, topic: str, records: Iterable[InRecord], n_at_once: int, is_over: asyncio.Event) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.connection.bootstrap, acks="all")
    await producer.start()
    try:
        for i, record in enumerate(itertools.takewhile(lambda _: not is_over.is_set(), records)):
            signals = msgspec.json.decode(record.value or b"", type=Signals)
            key = service_key(signals.environment, signals.service)
            sent = await producer.send(
                topic, record.value, key=key.encode(), partition=partition_for(key, PARTITIONS), timestamp_ms=record.timestamp_ms
            )
            if i > n_at_once and i % (RECORDS_PER_S // 10) == 0:
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
