"""The parts of `make bench-ingest` in which records come at a pace: how long windows take to close, and what a live worker uses."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from benchmarks.ingest_bench import ALL_ROLES, DELAY_MS, MANY_OPERATIONS, MANY_SERVICES, PARTITIONS, SETTLE_S, Bench
from benchmarks.ingest_peers import create_topic
from benchmarks.ingest_readout import close_delays_ms, record_batches, stored

PACED_S = 20
"""How long records come at half the sustained pace."""
CLOSING_MS = 45_000
"""Record time that is sent at least, so that some windows close: one ms a record of a partition."""
LIVE_RATE, LIVE_S = 1_000 * PARTITIONS, 330
"""Messages a second at which the records' own times go as fast as the clock; how long they come: rollups, too, end in it."""


@dataclass(frozen=True, slots=True)
class Paced:
    """What a paced run showed.

    Attributes
    ----------
    delays_ms
        Ascending: how long each service's window took to close.
    cores
        Which share of a core each process used while records came.

    """

    delays_ms: list[int]
    cores: dict[str, float]

    @property
    def close_p99_ms(self) -> int | None:
        """The 99th percentile of the delays; ``None`` where no window closed."""
        return self._close_ms(0.99)

    @property
    def told(self) -> str:
        """In words, how long windows took to close."""
        if not self.delays_ms:
            return "no window closed"
        return f"{len(self.delays_ms):,} windows of services closed, p50 {self._close_ms(0.5)} ms, p99 {self.close_p99_ms} ms"

    def _close_ms(self, share: float) -> int | None:
        n = len(self.delays_ms)
        return self.delays_ms[min(n - 1, int(n * share))] if n else None


async def window_close(bench: Bench) -> None:
    """Let records come at half the sustained pace, and look how long windows take to close."""
    sustained = bench.median(ALL_ROLES)
    if sustained is None:
        return
    each = min(max(int(sustained / 2 * PACED_S) // PARTITIONS, CLOSING_MS), bench.options.messages // PARTITIONS)
    roles = (*["analyse"] * bench.options.analyse, "act", "ingest")
    seen = await _paced(bench, roles, "fast", each, sustained / 2)
    bench.found["close_p99_ms"] = seen.close_p99_ms
    bench.say(f"window close: {seen.told}")
    if not seen.delays_ms:
        bench.notes.append("no window closed at half the sustained pace: give more MESSAGES")


async def live(bench: Bench) -> None:
    """Let records of many services come as fast as their own times go, and look what one worker of each role uses."""
    bench.filled("many-live", LIVE_RATE * LIVE_S, MANY_SERVICES, MANY_OPERATIONS)
    seen = await _paced(bench, ("analyse", "act", "ingest"), "many-live", 1_000 * LIVE_S, LIVE_RATE)
    cores = ", ".join(f"{name} {share:.2f}" for name, share in seen.cores.items())
    bench.found |= {"live_analyse_cores": seen.cores["analyse"], "live_close_p99_ms": seen.close_p99_ms}
    bench.notes.append(
        f"live: {MANY_SERVICES:,} services with {MANY_OPERATIONS} operations, one worker of each role; cores used: {cores}; "
        f"{seen.told}"
    )


async def _paced(bench: Bench, roles: Sequence[str], source: str, each: int, rate: float) -> Paced:
    """Send ``each`` records of every partition of a filled topic again, at a rate, to workers that wait for them."""
    producer = AIOKafkaProducer(bootstrap_servers=bench.broker.bootstrap, max_batch_size=65_536)
    await producer.start()
    built = await record_batches(bench.broker.bootstrap, source, each, producer)
    topic = f"paced-{source}"
    await create_topic(bench.broker.bootstrap, topic, PARTITIONS)
    workers = bench.workers(topic, topic)
    workers.start(*roles)
    try:
        await workers.ready()
        await asyncio.sleep(bench.options.warm_up)
        bench.say(f"{topic}: {each * PARTITIONS:,} records at {rate:,.0f} a second")
        began, before = time.monotonic(), bench.used_s(workers)
        await _send(producer, topic, built, rate)
        took_s = time.monotonic() - began
        cores = {who: (after - before[who]) / took_s for who, after in bench.used_s(workers).items()}
        await asyncio.sleep(SETTLE_S)
        workers.check()
    finally:
        workers.stop()
        with contextlib.suppress(KafkaError):
            await producer.stop()
    partials = await stored(bench.broker.bootstrap, workers.names["partials"], PARTITIONS)
    signals = await stored(bench.broker.bootstrap, workers.names["signals"], PARTITIONS)
    await workers.forget()
    return Paced(close_delays_ms(partials, signals, DELAY_MS), cores)


async def _send(producer: AIOKafkaProducer, topic: str, built: dict[int, list[Any]], rate: float) -> None:
    """Send each partition's batches so that ``rate`` records a second come to all of them."""

    async def one(partition: int, batches: list[Any]) -> None:
        due = time.monotonic()
        for batch in batches:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            n = batch.record_count()
            await producer.send_batch(batch, topic, partition=partition)
            due += n * PARTITIONS / rate

    await asyncio.gather(*(one(partition, batches) for partition, batches in built.items()))
    await producer.flush()
