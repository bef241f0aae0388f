"""What a crash costs the models: killed between any two writes, restored, and held against a run that was never stopped.

    python -m benchmarks.restore --runs 20 [--seed 1] [--services 4] [--hours 4] [--broker-runs 2] [--broker kafka|embedded]

Each run feeds the real detection stage with the signals of a shop in trouble, checkpoints it as its shell does, and cuts
checkpoints off after a random number of writes, 6 times a run: what was written is all that the next stage has. Every verdict
must be that of the uninterrupted run, each number within 1e-9.

The broker runs are the same with real workers on a real broker, in restore_broker.py: killed and started again, and partitions
that move to a second worker and back.
"""

import argparse
import asyncio
import dataclasses
import json
import math
import random
import time
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.analyse.detection import DetectionParams, DetectionStage, Surroundings, restore
from pipeline.contracts.codec import encode
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.models import rank_of
from pipeline.contracts.partials import ChangeNote, FeedbackNote, FeedbackVerdict
from pipeline.contracts.records import InRecord
from pipeline.contracts.rows import HEAD, SNAPSHOTS, applied_of
from pipeline.contracts.signals import Completeness, Errors, Latency, LogLines, Saturation, Signals, Traffic
from pipeline.settings import load_settings

TOLERANCE = 1e-9
START_MS = 1_767_571_200_000
SIZE_MS = 10_000
ROLLUP_MS = 60_000
"""More often than live, so that the novelty detectors are ready in a run of a few hours."""
CRASHES = 6
"""In each run."""
NOVELTY_SNAPSHOT_S = 3600
"""More often than live, too."""


class Shop:
    """Signals of a few services on one partition: a day's rhythm, trouble now and then, changes, feedback."""

    def __init__(self, seed: int, n_services: int, n_windows: int, rollup_ms: int = ROLLUP_MS) -> None:
        self._rollup_ms = rollup_ms
        self._draw = random.Random(seed)
        self._services = [f"service-{i}" for i in range(n_services)]
        self._n_windows = n_windows

    def records(self) -> Iterator[InRecord]:
        """Yield the records of ``tocsin.signals``: windows, a revision now and then, rollups."""
        offset = 0
        for window in range(self._n_windows):
            for number, service in enumerate(self._services):
                for signals in self._published(service, number, window):
                    yield InRecord(offset=offset, timestamp_ms=signals.window_end_ms, key=None, value=encode(signals))
                    offset += 1

    def _published(self, service: str, number: int, window: int) -> Iterator[Signals]:
        signals = self._signals(service, number, window)
        yield signals
        if self._draw.random() < 0.02:
            note = ChangeNote(type="deployment", time_ms=signals.window_start_ms)
            late = self._draw.random() < 0.3
            yield msgspec.structs.replace(signals, revision=2, changes=[note] if late else signals.changes)
        if (window + 1) * SIZE_MS % self._rollup_ms == 0:
            start_ms = signals.window_end_ms - self._rollup_ms
            yield msgspec.structs.replace(signals, id=f"{service}{window}r", window_start_ms=start_ms, rollup=True)

    def _signals(self, service: str, number: int, window: int) -> Signals:
        draw = self._draw
        trouble = ((window + 97 * number) % 700) in range(400, 430)
        kind = (window // 700 + number) % 4
        requests = max(0, round(draw.gauss(60 * (1.2 + math.sin(window / 500)), 6)))
        requests = 0 if trouble and kind == 3 and draw.random() < 0.8 else requests
        scale = 3.0 if trouble and kind == 0 else 1.0
        latencies = Histogram()
        for _ in range(requests):
            latencies.add(100 * scale * draw.lognormvariate(0, 0.4))
        errors = sum(draw.random() < (0.3 if trouble and kind == 1 else 0.003) for _ in range(requests))
        start_ms = START_MS + window * SIZE_MS
        changes = [ChangeNote(type="deployment", time_ms=start_ms)] if draw.random() < 0.003 else []
        verdict = draw.choice(list(FeedbackVerdict))
        feedback = [FeedbackNote(verdict=verdict, time_ms=start_ms)] if trouble and draw.random() < 0.02 else []
        cpu = 0.97 if trouble and kind == 2 else min(1.0, 0.4 + 0.1 * draw.random())
        quantiles = latencies.quantiles([0.5, 0.95, 0.99])
        return Signals(
            id=f"{service}{window}",
            environment="prod",
            service=service,
            version="1",
            window_start_ms=start_ms,
            window_end_ms=start_ms + SIZE_MS,
            revision=1,
            latency=Latency(count=requests, mean_ms=latencies.mean, p50_ms=quantiles[0], p95_ms=quantiles[1], p99_ms=quantiles[2])
            if requests
            else None,
            traffic=Traffic(requests=requests, requests_per_second=requests * 1000 / SIZE_MS),
            errors=Errors(count=errors, ratio=errors / requests if requests else None),
            saturation={name: Saturation(mean=cpu, max=cpu) for name in ("cpu", "memory", "pool")},
            completeness=Completeness(readings=requests + 3 if requests else 0, late=0, sources=1, delay_ms=3000),
            changes=changes,
            feedback=feedback,
            histogram=latencies if requests else None,
            templates=_lines(service, number, window) if requests else {},
        )


def _lines(service: str, number: int, window: int) -> dict[str, LogLines]:
    """Return what every second service logs: much of the usual, now and then something new, or much of a kind."""
    if number % 2 == 0:
        return {}
    draw = random.Random(f"{service}{window}")
    lines = {f"served {draw.choice('abcdefghij')} in <*>": LogLines(n=draw.randint(20, 40), severity="info")}
    if draw.random() < 0.02:
        lines = {line: LogLines(n=300, severity="info", example="served") for line in lines}
    if draw.random() < 0.05:
        lines[f"{draw.choice('abcdef')} is {draw.choice('abcdef')}"] = LogLines(
            n=draw.randint(1, 90), severity="warn", example="is"
        )
    if draw.random() < 0.02:
        word = "".join(draw.choices("abcdefghijkl", k=4))
        lines[f"{word} broke {word}"] = LogLines(n=draw.randint(1, 9), severity="error", example=word)
    return lines


class Store:
    """What is durable: the best row of each key, as recovery keeps it; deletions are disregarded."""

    def __init__(self, app: str) -> None:
        self._app = app
        self.rows: dict[str, bytes] = {}
        self.n_bytes: dict[str, int] = {"snapshots": 0, "points": 0, "head": 0}
        self.n_writes = 0

    def write(self, name: str, row: bytes | None) -> None:
        """Put one row on its log."""
        kind = "snapshots" if name.startswith(SNAPSHOTS) else "head" if name == HEAD else "points"
        self.n_bytes[kind] += len(name) + len(row or b"")
        self.n_writes += 1
        if row is not None and (name not in self.rows or self._rank(name, row) >= self._rank(name, self.rows[name])):
            self.rows[name] = row

    def _rank(self, name: str, row: bytes) -> Any:
        return rank_of(row, self._app) if name.startswith(SNAPSHOTS) else applied_of(row)


class Run:
    """One life of a partition, with crashes; ``said`` has every verdict by the offset that caused it, the first time."""

    def __init__(self, params: DetectionParams, around: Surroundings, crashes: set[int], draw: random.Random) -> None:
        self._params = params
        self._around = around
        self._crashes = crashes
        self._draw = draw
        self.store = Store(around.app)
        self.said: dict[int, bytes] = {}
        self.n_checkpoints = 0
        self.n_restored = 0
        self.n_again = 0
        self.n_cold = 0
        self.worst = 0.0

    def __call__(self, records: list[InRecord], truth: dict[int, bytes] | None) -> None:
        """Feed all records, checkpointing now and then; crash at the checkpoints chosen, between any two writes."""
        stage, committed, at = self._restored(), 0, 0
        while at < len(records):
            until = min(len(records), at + self._draw.randint(1, 60))
            for record in records[at:until]:
                if record.offset > stage.applied:
                    self._hear(record.offset, stage.step(record, 0), truth)
            at = until
            if self._checkpoint(stage, is_cut=self.n_checkpoints in self._crashes):
                committed = at
            else:
                self.n_cold += stage.n_cold
                stage, at = self._restored(), committed
                self.n_restored += 1
            self.n_checkpoints += 1
        self.n_cold += stage.n_cold

    def _restored(self) -> DetectionStage:
        return restore(self._params, 0, dict(self.store.rows), self._around)

    def _checkpoint(self, stage: DetectionStage, *, is_cut: bool) -> bool:
        if is_cut and self._draw.random() < 0.2:
            stage.hasten()
        changes = list(stage.take_changes().items())
        n_written = self._draw.randint(0, len(changes)) if is_cut else len(changes)
        for name, row in changes[:n_written]:
            self.store.write(name, row)
        return not is_cut

    def _hear(self, offset: int, outputs: list[Any], truth: dict[int, bytes] | None) -> None:
        for output in outputs:
            if offset in self.said:
                self.n_again += 1
                self.worst = max(self.worst, difference(self.said[offset], output.value))
            self.said[offset] = output.value
            if truth is not None:
                self.worst = max(self.worst, difference(truth.get(offset, b"null"), output.value))


def difference(one: bytes, other: bytes) -> float:
    """Return how far two verdicts differ: the largest difference of two numbers, infinite where anything else differs."""
    return 0.0 if one == other else _difference(msgspec.json.decode(one), msgspec.json.decode(other))


def _difference(one: Any, other: Any) -> float:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((_difference(one[name], other[name]) for name in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max((_difference(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other)
    return 0.0 if one == other else math.inf


def one_run(seed: int, n_services: int, n_windows: int) -> dict[str, Any]:
    """Return what one seed shows."""
    settings = load_settings()
    around = Surroundings(
        learning=settings.learning,
        memory=dataclasses.replace(settings.memory, novelty_snapshot_s=NOVELTY_SNAPSHOT_S),
        novelty=dataclasses.replace(settings.novelty, mode="alert"),
        app="tocsin",
        version="bench",
    )
    records = list(Shop(seed, n_services, n_windows).records())
    draw = random.Random(seed)
    whole = Run(settings.detection, around, set(), draw)
    whole(records, None)
    crashed = Run(settings.detection, around, set(draw.sample(range(whole.n_checkpoints * 9 // 10), CRASHES)), draw)
    crashed(records, whole.said)
    is_complete = crashed.said.keys() == whole.said.keys()
    n_windows_judged = n_services * n_windows
    return {
        "where": "process",
        "seed": seed,
        "verdicts": len(whole.said),
        "restored": crashed.n_restored,
        "said_again": crashed.n_again,
        "cold": crashed.n_cold,
        "worst": crashed.worst if is_complete else math.inf,
        "bytes_per_window": {name: n / n_windows_judged for name, n in whole.store.n_bytes.items()},
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--services", type=int, default=4)
    parser.add_argument("--hours", type=float, default=4)
    parser.add_argument("--broker-runs", type=int, default=2)
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    args = parser.parse_args()
    began, n_windows = time.monotonic(), round(args.hours * 3600_000 / SIZE_MS)
    results = [_told(one_run(seed, args.services, n_windows)) for seed in range(args.seed, args.seed + args.runs)]
    if args.broker_runs:
        results += asyncio.run(_with_broker(args.broker, range(args.seed, args.seed + args.broker_runs)))
    _show(results, time.monotonic() - began)
    n_equal = sum(result["worst"] <= TOLERANCE and not result["cold"] for result in results)
    n_rebalances = sum(result.get("rebalances", 0) for result in results)
    print(json.dumps({"bench": "restore", "runs": args.runs, "equal": n_equal == len(results), "rebalances": n_rebalances}))


async def _with_broker(name: str, seeds: range) -> list[dict[str, Any]]:
    from benchmarks.restore_broker import one_run as run  # noqa: PLC0415 - it imports this module
    from pipeline.adapters.brokers.embedded import EmbeddedBroker  # noqa: PLC0415 - not needed without a broker
    from pipeline.adapters.brokers.kafka import KafkaBroker  # noqa: PLC0415

    broker = (KafkaBroker if name == "kafka" else EmbeddedBroker)()
    with broker:
        return [_told(await run(seed, broker) | {"where": name}) for seed in seeds]


def _told(result: dict[str, Any]) -> dict[str, Any]:
    Console(stderr=True).print({name: value for name, value in result.items() if name != "bytes_per_window"})
    return result


def _show(results: list[dict[str, Any]], elapsed_s: float) -> None:
    names = ("where", "seed", "verdicts", "restored", "rebalances", "said_again", "cold", "worst")
    table = Table(*(name.replace("_", " ") for name in names), title=f"restore, {elapsed_s:.0f} s", box=SIMPLE)
    for result in results:
        table.add_row(*(str(result.get(name, "")) for name in names))
    Console().print(table)
    results = [result for result in results if "bytes_per_window" in result]
    if not results:
        return
    kinds = results[0]["bytes_per_window"]
    per_window = {name: sum(result["bytes_per_window"][name] for result in results) / len(results) for name in kinds}
    parts = ", ".join(f"{name} {n:,.0f}" for name, n in per_window.items())
    total = per_window["snapshots"] + per_window["points"]
    Console().print(
        f"bytes written for a window of a service: {total:,.0f} ({parts}); at 1,000 services {total * 100 / 1e3:,.0f} kB/s"
    )


if __name__ == "__main__":
    main()
