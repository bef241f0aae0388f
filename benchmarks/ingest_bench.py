"""What the parts of `make bench-ingest` share: its options and broker, the shape of its workloads, what was found so far."""

import argparse
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ingest_peers import fill
from benchmarks.ingest_workers import Workers, cpu_s
from pipeline.adapters.brokers.kafka import KafkaBroker

PARTITIONS, SERVICES, OPERATIONS, DELAY_MS = 8, 1_000, 5, 3_000
MANY_SERVICES, MANY_OPERATIONS = 10_000, 10
ALL_ROLES = "Tocsin, all roles, to verdicts"
SETTLE_S = 8.0
"""After the last record: idle_ms (5 s) after it a source says what its last windows hold, in a header a second."""


@dataclass
class Bench:
    """What the parts of a run share, and what they found."""

    options: argparse.Namespace
    broker: KafkaBroker
    folder: Path
    began: float = field(default_factory=time.monotonic)
    rates: dict[str, list[float]] = field(default_factory=dict)
    topics: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    found: dict[str, float | None] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Show progress."""
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def filled(self, topic: str, messages: int, services: int = SERVICES, operations: int = OPERATIONS) -> None:
        """Fill a topic with fill.py's workload, unless that was done."""
        if topic not in self.topics:
            self.say(f"filling {topic}: {messages:,} messages")
            shape = {"services": services, "operations": operations, "partitions": PARTITIONS}
            fill(self.options.peers, self.broker.bootstrap, topic, messages, **shape)
            self.topics.add(topic)

    def workers(self, name: str, telemetry: str) -> Workers:
        """Return workers that read a topic, with their topics created."""
        workers = Workers(self.folder / name, self.broker.bootstrap, telemetry, PARTITIONS)
        workers.prepare()
        return workers

    def median(self, name: str) -> float | None:
        """Return a contestant's median rate."""
        return statistics.median(self.rates[name]) if self.rates.get(name) else None

    def used_s(self, workers: Workers) -> dict[str, float]:
        """Return the CPU seconds that each process of the run has used so far."""
        return {**workers.cpu_s(), "broker": cpu_s(self.broker.pid), "this bench": cpu_s(os.getpid())}
