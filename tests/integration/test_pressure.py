"""A worker under pressure: a backlog, a broker that stands still or is full, nothing to fetch, more partitions."""

import asyncio
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from pipeline.adapters.brokers import KafkaBroker, LocalBroker
from pipeline.adapters.clock import now_ms
from pipeline.adapters.reading import read_topic
from pipeline.contracts.codec import decode
from pipeline.contracts.partials import Bundle
from tests.scenarios.running import PARTITIONS, Tocsin, Windows, running

pytestmark = pytest.mark.kafka
LIMIT_S = 60.0
PAGE_BYTES = 4096
QUICK = {"broker": {"request_timeout_ms": 3000}, "ingest": {"chunk_records": 2000, "chunk_ms": 5000}}


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as made:
        yield made


async def until(is_so: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait until something holds; ``is_so`` may be a coroutine function."""
    end_s = time.monotonic() + limit_s
    while True:
        answer = is_so()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        assert time.monotonic() < end_s, f"waited {limit_s:.0f} s until {what}"
        await asyncio.sleep(0.1)


class Watched:
    """A worker process from outside: its memory, its metrics, its health and its log."""

    def __init__(self, tocsin: Tocsin, http: aiohttp.ClientSession, role: str = "all") -> None:
        self.process = tocsin.workers[role]
        self.log_file = tocsin.folder / f"{role}.log"
        self._http = http

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    async def get(self, path: str) -> tuple[int, str]:
        await until(lambda: re.search(r'"web":\s*"http', self.log), "it says where it listens")
        url = re.findall(r'"web":\s*"(http://[^"]+)"', self.log)[-1]
        async with self._http.get(f"{url}/{path}") as response:
            return response.status, await response.text()

    async def is_ready(self) -> bool:
        return (await self.get("ready"))[0] == 200

    async def metric(self, name: str, **labels: str) -> float:
        _, text = await self.get("metrics")
        families = text_string_to_metric_families(text)
        return sum(s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items())


def request(at_ms: int, n: int) -> dict[str, Any]:
    return {
        "kind": "request",
        "service": f"s{n % 20}",
        "operation": f"o{n % 10}",
        "time": at_ms,
        "duration_ms": 5 + n % 90,
        "status": 200,
    }


async def send(tocsin: Tocsin, n: int, *, partitions: int = PARTITIONS) -> int:
    """Send ``n`` requests spread over the partitions, each acknowledged, whatever the broker goes through; return ``n``."""
    producer = AIOKafkaProducer(
        bootstrap_servers=tocsin.settings.connection.bootstrap,
        enable_idempotence=True,
        request_timeout_ms=40_000,
        metadata_max_age_ms=1000,
    )
    await producer.start()
    try:
        at_ms = now_ms()
        topic = tocsin.names["telemetry.metrics"]
        sent = [
            await producer.send(topic, json.dumps(request(at_ms, i)).encode(), partition=i % partitions, timestamp_ms=at_ms)
            for i in range(n)
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return n


async def until_counted(tocsin: Tocsin, n: int) -> Windows:
    """Wait until exactly ``n`` readings are accounted for, and stay so for two seconds."""
    windows = Windows()
    await tocsin.until("signals", lambda read: windows.take(read) >= n, f"{n} readings", patience_s=LIMIT_S)
    await asyncio.sleep(2)
    again = Windows()
    async for read in read_topic(tocsin.settings.connection, tocsin.names["signals"]):
        again.take(read)
    assert again.n_readings == n
    return again


async def counted_in_partials(tocsin: Tocsin) -> int:
    """Return how many readings the partials hold: of each chunk and window what was said last."""
    last: dict[tuple[Any, ...], int] = {}
    async for read in read_topic(tocsin.settings.connection, tocsin.names["partials"]):
        bundle = decode(read.record.value or b"", Bundle)
        for partial in bundle.partials:
            last[bundle.source, bundle.chunk, partial.environment, partial.service, partial.start_ms, partial.size_ms] = (
                partial.readings
            )
    return sum(last.values())


async def test_a_backlog_far_over_what_it_can_take_leaves_memory_flat_and_loses_nothing(
    kafka_broker: LocalBroker, tmp_path: Path
) -> None:
    n_messages, n_records = 24_000, 80
    async with running(kafka_broker, tmp_path) as tocsin, session() as http:
        await until(lambda: "worker is ready" in Watched(tocsin, http).log, "it is ready")
        await tocsin.stop()
        at_ms = now_ms() - 60_000
        values = [json.dumps([request(at_ms + k, 7 * k + i) for i in range(n_records)]).encode() for k in range(100)]
        n_bytes = sum(len(values[k % 100]) for k in range(n_messages))
        await tocsin.send(("telemetry.metrics", str(k).encode(), values[k % 100], at_ms + k, ()) for k in range(n_messages))
        await tocsin.start("ingest")
        worker = Watched(tocsin, http, "ingest")
        sizes, lags = [], []
        await until(worker.is_ready, "the ingest worker is ready")
        while not lags or lags[-1] > 0 or max(lags) == 0:
            lags.append(await worker.metric("tocsin_worker_lag", app="ingest"))
            sizes.append(worker.rss_bytes())
            assert len(lags) < 400, lags[-1]
            await asyncio.sleep(0.1)
        await until(lambda: _is_flushed(worker, n_messages * n_records), "all is flushed")
        await asyncio.sleep(1.5)
        counted = await counted_in_partials(tocsin)

    half = len(sizes) // 2
    assert n_bytes > 200_000_000
    assert max(lags) > n_messages / 4
    assert max(sizes) < 350_000_000
    assert max(sizes[half:]) < max(sizes[:half]) + 40_000_000
    assert counted == n_messages * n_records


async def _is_flushed(worker: Watched, n: int) -> bool:
    return await worker.metric("tocsin_readings_total") == n


async def test_a_broker_that_stands_still_makes_the_worker_say_so_and_go_on(own_kafka: KafkaBroker, tmp_path: Path) -> None:
    async with running(own_kafka, tmp_path, **QUICK) as tocsin, session() as http:
        worker = Watched(tocsin, http)
        await until(worker.is_ready, "it is ready")
        sent = await send(tocsin, 400)
        own_kafka.freeze()
        try:
            await until(lambda: _says(worker, "has had no broker for"), "/ready says what is wrong", 40)
            live, _ = await worker.get("live")
        finally:
            own_kafka.thaw()
        await until(worker.is_ready, "it is ready again")
        sent += await send(tocsin, 400)
        await until_counted(tocsin, sent)

        assert live == 200
        assert worker.is_alive
        assert "the broker does not answer" in worker.log
        assert "the broker answers again" in worker.log


async def _says(worker: Watched, text: str) -> bool:
    status, said = await worker.get("ready")
    return status == 503 and text in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MB; needs root."""
    folder = tmp_path / "small" / "data"
    folder.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder], check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


async def fill_disk(broker: KafkaBroker) -> None:
    """Publish junk until the broker has ended for want of room."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=2_000_000, request_timeout_ms=2_000)
    await producer.start()
    end_s = time.monotonic() + 30
    try:
        while broker.is_running:
            assert time.monotonic() < end_s, "the disk is not full after 30 s"
            try:
                async with asyncio.timeout(3):
                    await producer.send_and_wait("junk", b"x" * 900_000, partition=0)
            except (KafkaError, TimeoutError):
                await asyncio.sleep(0.1)
    finally:
        try:
            async with asyncio.timeout(3):
                await producer.stop()
        except (KafkaError, TimeoutError):
            pass


async def test_a_full_disk_at_the_broker_makes_the_worker_say_so_and_go_on_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    with KafkaBroker(folder=small_disk.parent) as broker:
        async with running(broker, tmp_path / "run", **QUICK) as tocsin, session() as http:
            worker = Watched(tocsin, http)
            await until(worker.is_ready, "it is ready")
            sent = await send(tocsin, 400)
            await until_counted(tocsin, sent)
            admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
            await admin.start()
            await admin.create_topics([NewTopic("junk", 1, 1)])
            await admin.close()
            await fill_disk(broker)
            await until(lambda: _says(worker, "has had no broker for"), "/ready says what is wrong", 40)
            assert (await worker.get("live"))[0] == 200

            await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=600m", small_disk], check=True)
            await asyncio.to_thread(broker.restart)
            await until(worker.is_ready, "it is ready again")
            sent += await send(tocsin, 400)
            await until_counted(tocsin, sent)

            assert worker.is_alive


async def test_fetches_that_return_nothing_cost_little_and_do_not_end_the_reading(
    kafka_broker: LocalBroker, tmp_path: Path
) -> None:
    async with running(kafka_broker, tmp_path, source={"idle_ms": 1500}) as tocsin, session() as http:
        worker = Watched(tocsin, http)
        await until(worker.is_ready, "it is ready")
        await asyncio.sleep(3)
        before_s = worker.cpu_s()
        await asyncio.sleep(6)
        spent_s = worker.cpu_s() - before_s
        sent = await send(tocsin, 200)
        await until_counted(tocsin, sent)

        assert spent_s < 3
        assert (await worker.get("live"))[0] == 200


async def test_partitions_added_while_it_runs_are_read_and_totals_stay_exact(kafka_broker: LocalBroker, tmp_path: Path) -> None:
    async with running(kafka_broker, tmp_path, **QUICK) as tocsin, session() as http:
        worker = Watched(tocsin, http)
        await until(worker.is_ready, "it is ready")
        sent = await send(tocsin, 200)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
        await admin.start()
        await admin.create_partitions({tocsin.names["telemetry.metrics"]: NewPartitions(total_count=PARTITIONS + 2)})
        await admin.close()
        for _ in range(5):
            sent += await send(tocsin, 120, partitions=PARTITIONS + 2)
            await asyncio.sleep(1)
        found = await until_counted(tocsin, sent)

        assert worker.is_alive
        assert Counter(key[0] for key in found.by_key).keys() == {f"default/s{n}" for n in range(20)}
