"""Shows what a second ingest worker adds: `make bench-scale MESSAGES=n ROUNDS=n`."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.own_config import REPOSITORY, write_config
from pipeline.adapters.brokers.kafka import KafkaBroker

PARTITIONS = 8
SERVICES, OPERATIONS = 1_000, 10
DISTINCT = 20_000
"""Messages that differ; the backlog repeats them."""
BEGAN_MS = 1_767_571_200_000
SPAN_MS = 60_000
"""Event time over which the backlog is spread."""
SETTLE_S = 1.0
"""After the last worker has begun to read: a rebalance is then over."""
ENOUGH = 0.95
"""Share of the backlog at which the clock stops: at the end not all partitions have something left."""
LIMIT_S = 170.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One round: messages a second of all workers together, and the share of each."""

    msgs_per_s: float
    shares: tuple[float, ...]


async def fill(bootstrap: str, topic: str, n: int) -> None:
    """Put a backlog of single requests on a topic, partitioned by service, all acknowledged."""
    rng = random.Random(1)
    messages = [_message(rng, place) for place in range(DISTINCT)]
    a_second = DISTINCT * 1000 // SPAN_MS
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=50, max_batch_size=1_000_000, acks=1)
    await producer.start()
    try:
        for at in range(0, n, 50_000):
            by_partition: list[list[tuple[int, bytes]]] = [[] for _ in range(PARTITIONS)]
            for i in range(at, min(n, at + 50_000)):
                partition, time_ms, value = messages[i * SPAN_MS // 1000 // n * a_second + i % a_second]
                by_partition[partition].append((time_ms, value))
            sent = []
            for partition, records in enumerate(by_partition):
                batch = producer.create_batch()
                for time_ms, value in records:
                    if batch.append(key=None, value=value, timestamp=time_ms) is None:
                        sent.append(await producer.send_batch(batch, topic, partition=partition))
                        batch = producer.create_batch()
                        batch.append(key=None, value=value, timestamp=time_ms)
                sent.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


def _message(rng: random.Random, place: int) -> tuple[int, int, bytes]:
    """Return (partition, time in ms, value) of one request; a service is always in the same partition."""
    service, time_ms = rng.randrange(SERVICES), BEGAN_MS + place * SPAN_MS // DISTINCT
    record = {
        "kind": "request",
        "environment": "bench",
        "service": f"service-{service}",
        "operation": f"operation-{rng.randrange(OPERATIONS)}",
        "time": time_ms,
        "duration_ms": round(rng.lognormvariate(3, 0.6), 3),
        "status": 500 if rng.random() < 0.01 else 200,
    }
    return service % PARTITIONS, time_ms, json.dumps(record).encode()


class Workers:
    """Ingest workers of one group, and how many readings each has taken in."""

    def __init__(self, config: Path, app_id: str, logs: Path) -> None:
        self._config, self._app_id, self._logs = config, app_id, logs
        self._processes: list[asyncio.subprocess.Process] = []
        self._log_files: list[Path] = []

    async def start(self, n: int) -> None:
        """Start ``n`` workers."""
        for number in range(n):
            self._log_files.append(self._logs / f"{self._app_id}-{number}.log")
            with self._log_files[-1].open("wb") as log:
                self._processes.append(
                    await asyncio.create_subprocess_exec(
                        sys.executable,
                        "-m",
                        "pipeline.cli",
                        "worker",
                        "--role",
                        "ingest",
                        "--config",
                        str(self._config),
                        stdout=log,
                        stderr=log,
                        cwd=REPOSITORY,
                        env={**os.environ, "TOCSIN_APP_ID": self._app_id},
                    )
                )

    async def readings(self, http: aiohttp.ClientSession) -> list[float]:
        """Return the readings that each worker has counted; 0 for one that does not answer yet."""
        return [await self._counted(http, log_file) for log_file in self._log_files]

    async def stop(self) -> None:
        """End them, and wait until they have."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self._processes:
            await process.wait()

    async def _counted(self, http: aiohttp.ClientSession, log_file: Path) -> float:
        said = log_file.read_text(errors="replace")  # noqa: ASYNC240 - a few lines
        found = re.search(r'"web":\s*"(http://[^"]+)"', said)
        if found is None:
            return 0.0
        async with http.get(f"{found[1]}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        return sum(s.value for family in families for s in family.samples if s.name == "tocsin_readings_total")


async def measure(workers: Workers, n_workers: int, n_messages: int) -> Measured:
    """Let workers read the backlog; the clock runs while all of them read.

    Raises
    ------
    TimeoutError
        If they are not done within LIMIT_S.

    """
    async with aiohttp.ClientSession() as http, asyncio.timeout(LIMIT_S):
        await workers.start(n_workers)
        while not all(await workers.readings(http)):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLE_S)
        began, before = time.perf_counter(), await workers.readings(http)
        while True:
            await asyncio.sleep(0.1)
            now, counted = time.perf_counter(), await workers.readings(http)
            if sum(counted) >= ENOUGH * n_messages:
                break
    gained = [after - first for after, first in zip(counted, before, strict=True)]
    return Measured(sum(gained) / (now - began), tuple(part / sum(gained) for part in gained))


async def main(options: argparse.Namespace) -> int:
    """Measure one worker and two in turn; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="tocsin-scale-") as folder, KafkaBroker(heap_mb=1024) as broker:
        config = Path(folder) / "config"
        names = write_config(config, prefix="scale-", bootstrap=broker.bootstrap, partitions=PARTITIONS)
        create = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipeline.cli", "topics", "create", "--config", str(config),
            stdout=asyncio.subprocess.DEVNULL, cwd=REPOSITORY,
        )  # fmt: skip
        if await create.wait():
            raise RuntimeError("tocsin topics create failed")
        print(f"a backlog of {options.messages:,} requests on {PARTITIONS} partitions", flush=True)
        await fill(broker.bootstrap, names["telemetry.metrics"], options.messages)
        found: dict[int, list[Measured]] = {1: [], 2: []}
        for number in range(options.rounds):
            for n_workers in (1, 2):
                workers = Workers(config, f"scale-{number}-{n_workers}", Path(folder))
                try:
                    measured = await measure(workers, n_workers, options.messages)
                finally:
                    await workers.stop()
                found[n_workers].append(measured)
                shares = " + ".join(f"{share:.0%}" for share in measured.shares)
                print(
                    f"round {number + 1}, {n_workers} worker(s): {measured.msgs_per_s:>9,.0f} messages a second ({shares})",
                    flush=True,
                )
    one, two = (statistics.median(one.msgs_per_s for one in found[n]) for n in (1, 2))
    print(f"\n{'workers':>8} {'messages a second, median':>26}\n{1:>8} {one:>26,.0f}\n{2:>8} {two:>26,.0f}\n")
    print(f"{os.cpu_count()} cores, which the broker shares")
    result = {"bench": "scale", "one_msgs_per_s": round(one), "two_msgs_per_s": round(two), "ratio": round(two / one, 2)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    sys.exit(asyncio.run(main(parser.parse_args())))
