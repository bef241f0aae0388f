"""A running Tocsin for a scenario: own topics on a broker, a worker process, a sender, and waiting on topics."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from benchmarks.own_config import REPOSITORY, write_config
from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.reading import ReadRecord, read_topic
from pipeline.settings import Settings, load_settings

PARTITIONS = 4
PATIENCE_S = 90.0
Sent = tuple[str, bytes | None, bytes | None, int, tuple[tuple[str, bytes | None], ...]]
"""(logical topic, key, value, Kafka timestamp ms, headers)."""


@dataclass
class Tocsin:
    """A Tocsin that runs; every topic is its own."""

    folder: Path
    settings: Settings
    names: dict[str, str]
    workers: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, role: str = "all") -> None:
        """Start a worker process of a role."""
        log = (self.folder / f"{role}.log").open("ab")
        self.workers[role] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipeline.cli", "worker", "--role", role, "--config", str(self.folder / "config"),
            stdout=log, stderr=log, cwd=REPOSITORY,
        )  # fmt: skip
        log.close()

    async def stop(self, role: str = "all") -> int:
        """Stop a worker as an operator would; return its exit code."""
        process = self.workers.pop(role)
        if process.returncode is None:
            process.terminate()
        try:
            return await asyncio.wait_for(process.wait(), 30)
        except TimeoutError:
            process.kill()
            raise

    async def send(self, messages: Iterable[Sent]) -> None:
        """Send messages, in order per partition, each acknowledged."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.connection.bootstrap, max_request_size=16_000_000)
        await producer.start()
        try:
            sent = [
                await producer.send(self.names.get(topic, topic), key=key, value=value, timestamp_ms=at_ms, headers=list(headers))
                for topic, key, value, at_ms, headers in messages
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def until(
        self, topic: str, is_enough: Callable[[ReadRecord], bool], what: str, *, patience_s: float = PATIENCE_S
    ) -> list[ReadRecord]:
        """Read a topic from its beginning until ``is_enough`` says so of a record; fails with the worker's log after a while."""
        seen: list[ReadRecord] = []
        reading = read_topic(self.settings.connection, self.names[topic], follow=True)
        try:
            async with asyncio.timeout(patience_s), contextlib.aclosing(reading):
                async for read in reading:
                    seen.append(read)
                    if is_enough(read):
                        return seen
        except TimeoutError:
            logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log"))
            raise AssertionError(f"waited {patience_s:.0f} s on {topic} for {what}; saw {len(seen)} records\n{logs}") from None
        raise AssertionError(f"{topic} ended before {what}")


@contextlib.asynccontextmanager
async def running(
    broker: LocalBroker, folder: Path, /, *, is_started: bool = True, **changed: dict[str, Any]
) -> AsyncIterator[Tocsin]:
    """Give a Tocsin on a broker, running if ``is_started``; stopped, whatever happens, at the end."""
    worker = {"embedded_broker": not broker.is_persistent, **changed.pop("worker", {})}
    names = write_config(
        folder / "config",
        prefix=f"e{uuid4().hex[:8]}-",
        bootstrap=broker.bootstrap,
        partitions=PARTITIONS,
        changed={"source": {"idle_ms": 1500}, **changed, "worker": worker},
    )
    tocsin = Tocsin(folder, load_settings(folder / "config", env={}), names)
    create = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.cli", "topics", "create", "--config", str(folder / "config"),
        stdout=asyncio.subprocess.DEVNULL, cwd=REPOSITORY,
    )  # fmt: skip
    assert await create.wait() == 0
    if is_started:
        await tocsin.start()
    codes: list[int] = []
    try:
        yield tocsin
    finally:
        codes += [await tocsin.stop(role) for role in list(tocsin.workers)]
    assert codes == [0] * len(codes), (folder / "all.log").read_text()[-3000:]


def values(records: Iterable[ReadRecord]) -> list[dict[str, Any]]:
    """Return the JSON values of records."""
    return [json.loads(read.record.value) for read in records if read.record.value]


class Windows:
    """What the signals topic says so far: the highest revision of each window, and what came late."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[str, int], dict[str, Any]] = {}
        self.late: dict[str, tuple[int, int]] = {}
        self.n_readings = 0

    def take(self, read: ReadRecord) -> int:
        """Take one record; return how many readings are accounted for now."""
        value = json.loads(read.record.value or b"")
        if value["kind"] == "late":
            before = self.late.get(value["id"], (-1, 0))
            self.late[value["id"]] = after = max(before, (value["through"], value["readings"]))
            self.n_readings += after[1] - before[1]
        elif value["kind"] == "signals" and not value.get("rollup"):
            key = (f"{value['environment']}/{value['service']}", value["window_start_ms"])
            known = self.by_key.get(key)
            if known is None or value["revision"] >= known["revision"]:
                self.n_readings += value["completeness"]["readings"] - (known["completeness"]["readings"] if known else 0)
                self.by_key[key] = value
        return self.n_readings
