"""Shows how fast Tocsin reads, against what a user would take instead: `make bench-ingest MESSAGES=n ROUNDS=r`.

Apache Kafka on this machine, the workload of the shared folder's fill.py (request records, one a message, keyed by
service, 8 partitions), every contestant of that folder in the same run; medians of the rounds.

How Tocsin is timed: a worker process of role ingest as a user starts it, everything on. From the last look at its
/metrics at which no record was folded in, to the first at which all were (every 0.1 s, so the time is never too short);
the peers time themselves from first record to last. Afterwards the bundles on the broker must account for every record.
End to end: worker processes of all roles, two of role analyse, over one ingest worker just before and just after (and,
beside it, one worker of each role); until the verdict of every service on every window that the records close has been
acknowledged.
One run before the rounds is not counted: in it the broker compiles its own code, which takes seconds of two cores.
Window close: records come at half that pace; from the broker's timestamp of the bundle that took the watermark past a
window's end and delay, to the broker's timestamp of each service's signals of it, from the third end on: before, every
service is new. Memory: resident, of one worker of each role that reads a backlog of 10,000 services with ten operations
each, until the last verdict, less that before the first record.
Live, which is run where it is asked for (`PARTS=live`): as many services at the pace of their records' own times, one worker
of each role: which share of a core each uses in five and a half minutes, and how long windows take to close.
"""

import argparse
import asyncio
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiokafka.errors import KafkaError

from benchmarks.ingest_bench import (
    ALL_ROLES,
    DELAY_MS,
    MANY_OPERATIONS,
    MANY_SERVICES,
    PARTITIONS,
    SERVICES,
    SETTLE_S,
    Bench,
)
from benchmarks.ingest_paced import live, window_close
from benchmarks.ingest_peers import Course, PeerMissingError, peers
from benchmarks.ingest_readout import VerdictCounter, n_accounted, stored, verdict_counter
from benchmarks.ingest_workers import WorkerFailedError, Workers
from pipeline.adapters.brokers.kafka import KafkaBroker
from pipeline.contracts.window_times import BASE_SIZE_MS

START_MS = 1_767_225_600_000
"""Of fill.py: where the event times of every partition begin, one ms a record."""
KNOWN = 0.999
"""Of these, with eight requests in a window, a few are not heard of in the first ones."""
HEAP_MB = 1_024
OURS, LIMIT = "Tocsin, one ingest worker", "raw aiokafka + orjson.loads"
OURS_BESIDE = "Tocsin, one ingest worker, once more"
"""Just before end to end and just after, as one: minutes later this machine may be a third slower."""
ONE_EACH = "Tocsin, one of each role, to verdicts"
STANDSTILL_S = 90.0
PROGRESS_S = 20.0
MIB = 2**20
SCALE: dict[str, tuple[str, ...]] = {
    "limit_ratio": (LIMIT,),
    "kstreams_ratio": ("Kafka Streams, 1 thread", "Kafka Streams, 2 threads"),
    "bytewax_ratio": ("Bytewax",),
    "quix_ratio": ("Quix Streams",),
    "stock_faust_ratio": ("stock Faust",),
}
"""Whose rate each ratio is over; of several, the better."""
FOUND, FOUND_LIVE = ("end_to_end_ratio", "close_p99_ms", "bytes_per_service"), ("live_analyse_cores", "live_close_p99_ms")
"""What the last line has always, and where that part was run."""
USUAL = ("race", "end_to_end", "close", "memory")


async def race(bench: Bench) -> None:
    """Let all contestants, and one ingest worker, read the topic, round after round."""
    options = bench.options
    few = min(options.messages, options.few)
    bench.filled("fast", options.messages)
    bench.filled("few", few)
    course = Course(
        peers=options.peers, bootstrap=bench.broker.bootstrap, topic="fast", messages=options.messages, few_topic="few", few=few,
        partitions=PARTITIONS,
    )  # fmt: skip
    missing: set[str] = set()
    for number in range(options.rounds):
        for peer in peers():
            if peer.name in missing or not any(word in peer.name for word in options.only.split(",")):
                continue
            try:
                rate = await asyncio.to_thread(peer.run, course)
            except PeerMissingError as problem:
                missing.add(peer.name)
                bench.notes.append(f"{peer.name} could not be had: {problem}")
                bench.say(bench.notes[-1])
                continue
            bench.rates.setdefault(peer.name, []).append(rate)
            bench.say(f"round {number + 1}: {peer.name:<37} {rate:>10,.0f} messages/s")
        rate = await ingest_once(bench, str(number))
        bench.rates.setdefault(OURS, []).append(rate)
        bench.say(f"round {number + 1}: {OURS:<37} {rate:>10,.0f} messages/s")


async def ingest_once(bench: Bench, name: str) -> float:
    """Let one ingest worker read the topic; return messages a second."""
    messages = bench.options.messages
    workers = bench.workers(f"ingest-{name}", "fast")
    workers.start("ingest")
    try:
        began = await workers.began()
        took_s = await workers.read_all(messages) - began
        await asyncio.sleep(SETTLE_S)  # what the last chunk holds is said within a second
    finally:
        workers.stop()
    told = n_accounted(await stored(bench.broker.bootstrap, workers.names["partials"], PARTITIONS))
    await workers.forget()
    if told != messages:
        raise WorkerFailedError(f"bundles account for {told:,} of {messages:,} records")
    return float(messages / took_s)


async def end_to_end(bench: Bench) -> None:
    """Let workers of all roles go through all records, to verdicts, round after round."""
    bench.filled("fast", bench.options.messages)
    await to_verdicts(bench, "warm-up", bench.options.analyse)
    for number in range(bench.options.rounds):
        before = await ingest_once(bench, f"before-{number}")
        all_roles = await to_verdicts(bench, f"all-{number}", bench.options.analyse)
        after = await ingest_once(bench, f"after-{number}")
        one_each = await to_verdicts(bench, f"one-each-{number}", 1)
        rates = {OURS_BESIDE: statistics.harmonic_mean([before, after]), ALL_ROLES: all_roles, ONE_EACH: one_each}
        for name, rate in rates.items():
            bench.rates.setdefault(name, []).append(rate)
            bench.say(f"round {number + 1}: {name:<37} {rate:>10,.0f} messages/s")
    alone = bench.rates[OURS_BESIDE]
    shares = {name: [rate / alone[at] for at, rate in enumerate(bench.rates[name])] for name in (ALL_ROLES, ONE_EACH)}
    bench.found["end_to_end_ratio"] = statistics.median(shares[ALL_ROLES])
    for name, found in shares.items():
        bench.notes.append(f"{name}, over one ingest worker before and after: {', '.join(f'{share:.3f}' for share in found)}")


async def to_verdicts(bench: Bench, name: str, n_analyse: int) -> float:
    """Let one worker of each role, but so many of role analyse, go through all records; return messages a second."""
    messages = bench.options.messages
    last_end_ms, expected = verdicts_of(messages, SERVICES)
    workers = bench.workers(name, "fast")
    verdicts = await verdict_counter(bench.broker.bootstrap, workers.names["anomalies"])
    workers.start(*["analyse"] * n_analyse, "act")
    try:
        await workers.ready()
        workers.start("ingest")
        began = await workers.began()
        before = bench.used_s(workers)
        await reached(bench, workers, verdicts, last_end_ms, expected)
        took_s = time.monotonic() - began
        used = {name: after - before[name] for name, after in bench.used_s(workers).items()}
    finally:
        workers.stop()
        await verdicts.consumer.stop()
    await workers.forget()
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in used.items())
    bench.notes.append(f"end to end, {name}: {expected:,} verdicts in {took_s:.1f} s; CPU seconds in them: {told}")
    return messages / took_s


def verdicts_of(messages: int, services: int) -> tuple[int, int]:
    """Return the end, epoch ms, of the last base window that the records close, and how many verdicts there are up to it."""
    cutoff_ms = START_MS + messages // PARTITIONS - DELAY_MS
    last_end_ms = cutoff_ms - cutoff_ms % BASE_SIZE_MS
    return last_end_ms, services * ((last_end_ms - START_MS) // BASE_SIZE_MS)


async def reached(bench: Bench, workers: Workers, verdicts: VerdictCounter, ends_by_ms: int, expected: int) -> None:
    """Wait until so many verdicts have been acknowledged."""
    seen, moved, told = -1, time.monotonic(), time.monotonic()
    while (n := await verdicts.count(ends_by_ms)) < expected:
        workers.check()
        now = time.monotonic()
        if n != seen:
            seen, moved = n, now
        if now - moved > STANDSTILL_S:
            raise WorkerFailedError(f"verdicts stood still at {n:,} of {expected:,}: see {workers.folder}")
        if now - told > PROGRESS_S:
            told = now
            bench.say(f"{n:,} of {expected:,} verdicts")


async def memory(bench: Bench) -> None:
    """Look at the resident memory of all roles at many services, until the last verdict."""
    readings = bench.options.readings
    bench.filled("many", readings, MANY_SERVICES, MANY_OPERATIONS)
    last_end_ms, expected = verdicts_of(readings, MANY_SERVICES)
    workers = bench.workers("memory", "many")
    verdicts = await verdict_counter(bench.broker.bootstrap, workers.names["anomalies"])
    workers.start("analyse", "act")
    try:
        await workers.ready()
        workers.start("ingest")
        await workers.began()
        seen = [sum(workers.memory_bytes().values())]
        for quarter in range(1, 5):
            await reached(bench, workers, verdicts, last_end_ms, round(expected * KNOWN * quarter / 4))
            by_role = workers.memory_bytes()
            seen.append(sum(by_role.values()))
            told = ", ".join(f"{role} {used / MIB:.0f}" for role, used in by_role.items())
            bench.say(f"memory: {verdicts.n:,} of {expected:,} verdicts, {seen[-1] / MIB:.0f} MiB ({told})")
    finally:
        workers.stop()
        await verdicts.consumer.stop()
    bench.found["bytes_per_service"] = round((seen[-1] - seen[0]) / MANY_SERVICES)
    told = ", ".join(f"{used / MIB:.0f}" for used in seen)
    bench.notes.append(
        f"memory, all roles, MiB: {told} at the first record and each quarter of the verdicts on {readings:,} readings"
    )


def results(bench: Bench) -> dict[str, object]:
    """Print the table, and return the last line."""
    ours = bench.median(OURS)
    print(f"\nPython {sys.version.partition(' ')[0]} ({sys.base_prefix})")
    print(f"{'median of ' + str(bench.options.rounds) + ' rounds':<38} {'messages/s':>12} {'Tocsin is':>10}")
    for name in bench.rates:
        median = bench.median(name) or 0.0
        over = "" if name.startswith("Tocsin") or not (ours and median) else f"{ours / median:.2f} x"
        print(f"{name:<38} {median:>12,.0f} {over:>10}")
    for note in bench.notes:
        print(note)
    ratios: dict[str, float | None] = {}
    for key, names in SCALE.items():
        rates = [rate for name in names if (rate := bench.median(name))]
        ratios[key] = round(ours / max(rates), 3) if ours and len(rates) == len(names) else None
    found = {key: bench.found.get(key) for key in (*FOUND, *(key for key in FOUND_LIVE if key in bench.found))}
    rounded = {key: round(value, 3) if value is not None else None for key, value in found.items()}
    return {"bench": "ingest", "msgs_per_s": round(ours) if ours else None, **ratios, **rounded}


PARTS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "race": race,
    "end_to_end": end_to_end,
    "close": window_close,
    "live": live,
    "memory": memory,
}


async def main(options: argparse.Namespace) -> int:
    """Run the parts; return the exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="tocsin-ingest-"))
    code = 0
    with KafkaBroker(heap_mb=HEAP_MB) as broker:
        bench = Bench(options, broker, folder)
        for name in options.parts.split(","):
            try:
                await PARTS[name](bench)
            except (WorkerFailedError, subprocess.CalledProcessError, KafkaError, OSError) as problem:
                code = 1  # the other parts are still worth their time
                bench.notes.append(f"{name} FAILED: {problem}")
                bench.say(bench.notes[-1])
    line = results(bench)
    if code == 0:
        shutil.rmtree(folder)
    else:
        print(f"logs and configurations are kept in {folder}")
    print(json.dumps(line))
    return code


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peers", type=Path, default=Path("../shared/peers"), help="the shared folder with fill.py and the contestants"
    )
    parser.add_argument("--messages", type=int, default=4_000_000, help="for the fast ones; a JVM needs two million to warm up")
    parser.add_argument("--few", type=int, default=500_000, help="for Bytewax; at most 300,000 for Quix, 40,000 for stock Faust")
    parser.add_argument("--readings", type=int, default=10_000_000, help="for the memory's growth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--analyse", type=int, default=2, help="workers of role analyse, end to end and where windows close")
    parser.add_argument("--warm-up", type=float, default=12.0, help="seconds until workers that nothing has come to yet are ready")
    parser.add_argument("--only", default="", help="words in the names of the contestants that run, separated by commas; all")
    parser.add_argument("--parts", default=",".join(USUAL), help=f"of {', '.join(PARTS)}; separated by commas")
    options = parser.parse_args()
    options.peers = options.peers.resolve()
    return options


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
