"""Shows whether window totals stay exact whatever is killed: `make bench-exact RUNS=n SEED=s BROKER=kafka INPUT=native|otlp`."""

import argparse
import asyncio
import contextlib
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from benchmarks.exact_otlp import OtlpSenders
from benchmarks.exact_truth import Published, Truth, differences, lost_and_doubled, message
from benchmarks.own_config import REPOSITORY, write_config
from pipeline.adapters.brokers.embedded import EmbeddedBroker
from pipeline.adapters.brokers.kafka import KafkaBroker

ROLES = ("ingest", "analyse", "act")
PARTITIONS = 4
MESSAGES_PER_S = 150
SMALL = {"ingest": {"chunk_records": 500, "chunk_ms": 5000}, "source": {"idle_ms": 2000}, "windows": {"grace_ms": 20000}}
"""Short chunks and little grace: many chunk ends, and late data, in a minute."""
TIGHT = {"max_services": 10, "services_over_limit": "evict", "max_operations": 1, "names_over_limit": "evict"}
"""Fewer services than are sent (16), which make room."""
SESSION_S = 2.0
"""The session timeout of the test profile."""
WIDE_S = 25
"""For so long one service reports whole minutes: its last window is then over before the last fault is."""
SENDER_PATIENCE_MS = 180_000
"""The senders outlive the broker's longest absence, so that what was sent is known."""
SETTLE_S = 90
"""How long the published totals may stand still, short of what was sent, before a run is called inexact."""


@dataclass
class Workers:
    """The worker processes of a run, by name; each restarted or stopped by its own process id."""

    config: Path
    logs: Path
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    n_started: int = 0
    n_revived: int = 0

    async def start(self, name: str, role: str) -> None:
        """Start a worker of ``role`` under ``name``."""
        self.n_started += 1
        log = (self.logs / f"{self.n_started:02d}-{name}.log").open("wb")
        self.running[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipeline.cli", "worker", "--role", role, "--config", str(self.config),
            stdout=log, stderr=log, cwd=REPOSITORY,
        )  # fmt: skip
        log.close()

    async def send(self, name: str, signum: signal.Signals) -> None:
        """Send a signal to a worker; one that is being started again is waited for."""
        while self.running[name].returncode is not None:  # noqa: ASYNC110 - the supervisor polls, too
            await asyncio.sleep(0.1)
        self.running[name].send_signal(signum)

    async def supervise(self, stop: asyncio.Event) -> None:
        """Start again whatever base worker ends by itself, as any supervisor does."""
        while not stop.is_set():
            for name in ROLES:
                process = self.running.get(name)
                if process is not None and process.returncode is not None:
                    await self.start(name, name)
                    self.n_revived += 1
            await asyncio.sleep(0.5)

    async def stop(self, name: str, signum: signal.Signals = signal.SIGTERM) -> int:
        """Stop a worker and wait for its end; one that does not go in 20 s is killed."""
        process = self.running.pop(name)
        if process.returncode is None:
            process.send_signal(signum)
        try:
            return await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            return await process.wait()


@dataclass
class Run:
    """One seeded run."""

    seed: int
    broker: EmbeddedBroker | KafkaBroker
    workers: Workers
    topics: dict[str, str]
    rng: random.Random
    truth: Truth = field(default_factory=Truth)
    published: Published = field(default_factory=Published)
    faults: Counter[str] = field(default_factory=Counter)
    otlp: OtlpSenders | None = None

    async def kill_worker(self, role: str) -> None:
        """Kill -9 a worker; a supervisor starts it again."""
        await self.workers.stop(role, signal.SIGKILL)
        await self.workers.start(role, role)

    async def join_and_leave(self) -> None:
        """A second worker joins its group and leaves it."""
        role = self.rng.choice(ROLES[:2])
        await self.workers.start("second", role)
        await asyncio.sleep(self.rng.uniform(5, 8))
        await self.workers.stop("second")

    async def freeze_worker(self) -> None:
        """A worker is stopped past its session and goes on beside its successor."""
        role = self.rng.choice(ROLES[:2])
        await self.workers.start("second", role)
        await asyncio.sleep(4)
        await self.workers.send(role, signal.SIGSTOP)
        await asyncio.sleep(SESSION_S + self.rng.uniform(1.5, 4))
        await self.workers.send(role, signal.SIGCONT)
        await asyncio.sleep(self.rng.uniform(2, 4))
        await self.workers.stop("second")

    async def freeze_broker(self) -> None:
        """The broker stands still for 10 s."""
        self.broker.freeze()
        await asyncio.sleep(10)
        self.broker.thaw()

    async def kill_broker(self) -> None:
        """Kafka is killed and started again on its data."""
        await asyncio.to_thread(self.broker.kill)
        await asyncio.sleep(self.rng.uniform(0.5, 3))
        await asyncio.to_thread(self.broker.restart)


def schedule(run: Run) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    """Return the run's faults in a random order, every kind at least once."""
    faults: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("kill_ingest", lambda: run.kill_worker("ingest")),
        ("kill_analyse", lambda: run.kill_worker("analyse")),
        ("kill_act", lambda: run.kill_worker("act")),
        ("join_and_leave", run.join_and_leave),
        ("freeze_worker", run.freeze_worker),
        ("freeze_broker", run.freeze_broker),
    ]
    if run.broker.is_persistent:
        faults.append(("kill_broker", run.kill_broker))
    run.rng.shuffle(faults)
    return faults


async def feed(run: Run, stop: asyncio.Event) -> None:
    """Send telemetry at a steady pace until told to stop; every send is acknowledged, exactly once on Kafka."""
    producer = AIOKafkaProducer(
        bootstrap_servers=run.broker.bootstrap,
        enable_idempotence=run.broker.is_persistent,
        acks="all",
        request_timeout_ms=SENDER_PATIENCE_MS,
    )
    await producer.start()
    sent: set[asyncio.Future[object]] = set()
    wide_until = time.monotonic() + WIDE_S
    try:
        while not stop.is_set():
            for _ in range(MESSAGES_PER_S // 10):
                now_ms = time.time_ns() // 1_000_000  # noqa: TID251 - the publishers' clock, not the pipeline's
                if run.otlp is None:
                    value = message(run.rng, now_ms, run.truth, has_wide=time.monotonic() < wide_until)
                else:
                    value = run.otlp.message(now_ms, run.truth)
                future = await producer.send(
                    run.topics["telemetry.metrics"], value, partition=run.rng.randrange(PARTITIONS), timestamp_ms=now_ms
                )
                sent.add(future)
                future.add_done_callback(sent.discard)
            await asyncio.sleep(0.1)
        for value in [] if run.otlp is None else run.otlp.rest():
            sent.add(await producer.send(run.topics["telemetry.metrics"], value, partition=run.rng.randrange(PARTITIONS)))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def read_outputs(run: Run, stop: asyncio.Event) -> None:
    """Read signals and dead letters from their beginning, whatever the broker goes through."""
    names = {run.topics["signals"]: True, run.topics["dead-letters"]: False}
    consumer = AIOKafkaConsumer(bootstrap_servers=run.broker.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(name, p) for name in names for p in range(PARTITIONS)])
    try:
        while not stop.is_set():
            try:
                batches = await consumer.getmany(timeout_ms=200)
            except KafkaError:
                await asyncio.sleep(0.2)
                continue
            for tp, records in batches.items():
                for record in records:
                    if names[tp.topic]:
                        run.published.signals(record.value)
                    else:
                        header = dict(record.headers)["tocsin-dead-letter"]
                        run.published.dead_letter(record.key, header)
    finally:
        await consumer.stop()


async def settle(run: Run, say: Callable[[str], None]) -> None:
    """Wait until everything sent is accounted for, or nothing has moved for SETTLE_S."""
    best, moved = -1, time.monotonic()
    while time.monotonic() - moved < SETTLE_S:
        total = run.published.total
        if total != best:
            best, moved = total, time.monotonic()
            say(f"  accounted for {total:,} of {run.truth.sent:,}")
        if total == run.truth.sent and not differences(run.truth, run.published):
            await asyncio.sleep(3)  # whoever doubles has time to do so
            return
        await asyncio.sleep(0.5)


async def one(run: Run, say: Callable[[str], None]) -> list[str]:
    """Play one run; return what does not add up."""
    stop_feed, stop_read = asyncio.Event(), asyncio.Event()
    create = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.cli", "topics", "create", "--config", str(run.workers.config),
        stdout=asyncio.subprocess.DEVNULL, cwd=REPOSITORY,
    )  # fmt: skip
    if await create.wait():
        raise RuntimeError("tocsin topics create failed")
    for role in ROLES:
        await run.workers.start(role, role)
    tasks = [
        asyncio.create_task(feed(run, stop_feed)),
        asyncio.create_task(read_outputs(run, stop_read)),
        asyncio.create_task(run.workers.supervise(stop_read)),
    ]
    try:
        await asyncio.sleep(6)
        for kind, fault in schedule(run):
            say(f"  {kind}")
            await fault()
            run.faults[kind] += 1
            await asyncio.sleep(run.rng.uniform(1, 3))
        stop_feed.set()
        await tasks[0]
        await settle(run, say)
    finally:
        stop_feed.set()
        stop_read.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in list(run.workers.running):
            await run.workers.stop(name)
    return differences(run.truth, run.published)


def clocked(began: float) -> Callable[[str], None]:
    """Return a print that says how far into the run it is."""
    return lambda text: print(f"{time.monotonic() - began:6.1f} s{text}", flush=True)


@contextlib.contextmanager
def own_broker(kind: str, folder: Path) -> Iterator[EmbeddedBroker | KafkaBroker]:
    """Give a run a broker of its own: one that is killed recovers every log it has, those of earlier runs too."""
    broker = KafkaBroker(folder=folder) if kind == "kafka" else EmbeddedBroker(folder=folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def run_on(broker: EmbeddedBroker | KafkaBroker, seed: int, folder: Path, *, sends_otlp: bool, evicts: bool) -> Run:
    """Return a run with topics and configuration of its own."""
    prefix = f"r{seed}-"
    otlp = {"telemetry.metrics": "otlp_metrics", "telemetry.logs": "native"}
    own = {"tocsin.changes": "changes", "tocsin.feedback": "feedback"}
    decoders = {"decoders": {prefix + topic: name for topic, name in {**otlp, **own}.items()}} if sends_otlp else {}
    topics = write_config(
        folder / "config",
        prefix=prefix,
        bootstrap=broker.bootstrap,
        partitions=PARTITIONS,
        changed={
            **SMALL,
            "ingest": {**SMALL["ingest"], **decoders, **(TIGHT if evicts else {})},
            "worker": {"embedded_broker": not broker.is_persistent},
        },
    )
    run = Run(seed, broker, Workers(folder / "config", folder), topics, random.Random(seed))
    if sends_otlp:
        run.otlp = OtlpSenders(run.rng)
    return run


async def main(options: argparse.Namespace) -> int:
    """Play all runs; return the exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    faults: Counter[str] = Counter()
    exact = lost = doubled = n_restarts = 0
    rows: list[str] = []
    kept = Path(tempfile.mkdtemp(prefix="tocsin-exact-"))
    for number in range(options.runs):
        seed = options.seed + number
        print(f"run {number + 1} of {options.runs}, seed {seed}", flush=True)
        began = time.monotonic()
        folder = kept / f"run-{seed}"
        folder.mkdir()
        with own_broker(options.broker, folder / "broker") as broker:
            run = run_on(broker, seed, folder, sends_otlp=options.input == "otlp", evicts=options.evict)
            wrong = await one(run, clocked(began))
        missing, extra = lost_and_doubled(run.truth, run.published)
        exact, lost, doubled = exact + (not wrong), lost + missing, doubled + extra
        faults += run.faults
        n_restarts += run.otlp.n_restarts if run.otlp is not None else 0
        verdict = "exact" if not wrong else "NOT EXACT"
        rows.append(
            f"{seed:>6} {run.truth.sent:>8,} {run.published.counted:>8,} {run.published.n_late:>6,} "
            f"{run.published.rejected:>8,} {time.monotonic() - began:>6.0f} s  {verdict}"
        )
        print(rows[-1], flush=True)
        for line in wrong[:20]:
            print(f"    {line}", flush=True)
        if not wrong and not options.keep:
            shutil.rmtree(folder)
    print(f"\n{'seed':>6} {'sent':>8} {'counted':>8} {'late':>6} {'rejected':>8} {'took':>8}  totals")
    print("\n".join(rows))
    if exact == options.runs and not options.keep:
        shutil.rmtree(kept)
    else:
        print(f"logs and configuration are kept in {kept}")
    totals = {"runs": options.runs, "exact": exact, "lost": lost, "doubled": doubled, "faults": dict(faults)}
    print(json.dumps({"bench": "exact", "broker": options.broker, "input": options.input, "restarts": n_restarts, **totals}))
    return 0 if exact == options.runs else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=["kafka", "embedded"], default="kafka")
    parser.add_argument(
        "--input", choices=["native", "otlp"], default="native", help="Tocsin's JSON, or OTLP cumulative histograms"
    )
    parser.add_argument("--evict", action="store_true", help="fewer services and operations fit than are sent: they make room")
    parser.add_argument("--keep", action="store_true", help="keep the workers' logs")
    sys.exit(asyncio.run(main(parser.parse_args())))
