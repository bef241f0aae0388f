"""What the detectors cost: time beside river's HalfSpaceTrees in the same run, state in memory, snapshot.

    python -m benchmarks.detector

Novelty: ``step_one`` of a full detector, per series and point. Fast path: ``ServiceModel.judge``, per service and window,
on a made-up service (latency histogram, errors, traffic with a daily rhythm, three gauges), after a day of learning.
Blocks of the three alternate, and means are of CPU time, so that a busy machine disturbs all alike; the 99th percentile
is of single calls by the clock. State is the growth of a fresh process over 2,000 full models, restored from snapshots of
ten different ones and stepped on; for novelty the larger of this and of sixty that learned from their first point.
"""

import argparse
import gc
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from river.anomaly import HalfSpaceTrees

from models.novelty import NoveltyDetector
from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.heard import Heard
from pipeline.analyse.points import WindowPoint
from pipeline.analyse.service_model import ServiceModel
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.signals import Completeness, Errors, Latency, Saturation, Signals, Traffic

N_MODELS = 2000
_N_TEMPLATES = 10
_N_LEARNED = 60
_N_FULL = 6500
"""Points until every memory of the novelty detector is full."""
_N_BLOCKS, _BLOCK = 40, 250
_WINDOW_MS = 10_000
_DAY_S = 86_400
_GAUGES = ("cpu", "memory", "pool")
_STEPS_AFTER = 5


def points(seed: int, n: int, start: int = 0) -> list[dict[str, float]]:
    """Return a series of five-minute values with a daily rhythm and noise."""
    draw = random.Random(seed)
    return [
        {"value": 100 + 20 * math.sin(2 * math.pi * i / 288 + seed) + draw.gauss(0, 2), "time_s": 300.0 * i}
        for i in range(start, start + n)
    ]


def windows(seed: int, n: int, start: int = 0) -> list[Heard]:
    """Return ``n`` windows of ten seconds of one service, as the detection stage reads them."""
    draw = random.Random(seed)
    return [msgspec.convert(_window(draw, start + i), Heard, from_attributes=True) for i in range(n)]


def _window(draw: random.Random, i: int) -> Signals:
    start_ms = i * _WINDOW_MS
    level = 40 * (1 + 0.4 * math.sin(2 * math.pi * start_ms / 1000 / _DAY_S))
    n = max(1, round(draw.gauss(level, math.sqrt(level))))
    latencies = Histogram()
    for _ in range(n):
        latencies.add(80 * draw.lognormvariate(0, 0.4))
    return Signals(
        id=str(i),
        environment="prod",
        service="shop",
        version="1",
        window_start_ms=start_ms,
        window_end_ms=start_ms + _WINDOW_MS,
        revision=1,
        latency=Latency(count=n, mean_ms=latencies.mean, p95_ms=latencies.quantile(0.95)),
        traffic=Traffic(requests=n, requests_per_second=n * 1000 / _WINDOW_MS),
        errors=Errors(count=int(draw.random() < 0.1)),
        saturation={name: Saturation(mean=draw.uniform(0.3, 0.5), max=0.6) for name in _GAUGES},
        completeness=Completeness(readings=n + 3, late=0, sources=1, delay_ms=3000),
        histogram=latencies,
    )


def full_novelty(seed: int) -> NoveltyDetector:
    """Return a detector whose memories are full."""
    detector = NoveltyDetector()
    for x in points(seed, _N_FULL):
        detector.learn_one(x)
    return detector


def full_service(seed: int) -> ServiceModel:
    """Return a service model after a day and an hour."""
    model = ServiceModel(DetectionParams(), _WINDOW_MS)
    for heard in windows(seed, 25 * 360):
        model.judge(WindowPoint.of(heard))
    return model


def times(steps: Sequence[Callable[[int], object]]) -> tuple[list[float], list[list[int]]]:
    """Return mean CPU time (us) of each, in alternating blocks, and the single times by the clock (ns)."""
    totals = [0.0] * len(steps)
    singles: list[list[int]] = [[] for _ in steps]
    for block in range(_N_BLOCKS):
        for which, step in enumerate(steps):
            begun_s = time.process_time()
            for i in range(block * _BLOCK, (block + 1) * _BLOCK):
                step(i)
            totals[which] += time.process_time() - begun_s
    for which, step in enumerate(steps):
        for i in range(_N_BLOCKS * _BLOCK, (_N_BLOCKS + 8) * _BLOCK):
            begun_ns = time.perf_counter_ns()
            step(i)
            singles[which].append(time.perf_counter_ns() - begun_ns)
    return [total / (_N_BLOCKS * _BLOCK) * 1e6 for total in totals], singles


def resident_bytes() -> int:
    """Return the memory that the process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def growth(kind: str) -> float:
    """Return by how much this process grows, bytes a model; to be called in a fresh one."""
    if kind == "novelty_learned":
        full_novelty(0)
        before = resident_bytes()
        learned = [full_novelty(seed) for seed in range(_N_LEARNED)]
        return (resident_bytes() - before) / len(learned)
    held: list[Any] = []
    if kind == "novelty":
        snapshots = [full_novelty(seed).to_bytes() for seed in range(_N_TEMPLATES)]
        after = [points(seed, _STEPS_AFTER, _N_FULL) for seed in range(_N_TEMPLATES)]
        before = resident_bytes()
        for i in range(N_MODELS):
            detector = NoveltyDetector().from_bytes(snapshots[i % _N_TEMPLATES])
            for x in after[i % _N_TEMPLATES]:
                detector.step_one(x)
            held.append(detector)
    else:
        encoded = [msgspec.json.encode(full_service(seed).to_state()) for seed in range(2)]
        after_windows = windows(1, _STEPS_AFTER, 25 * 360)
        before = resident_bytes()
        for i in range(N_MODELS):
            model = ServiceModel(DetectionParams(), _WINDOW_MS).from_state(msgspec.json.decode(encoded[i % len(encoded)]))
            for heard in after_windows:
                model.judge(WindowPoint.of(heard))
            held.append(model)
    return (resident_bytes() - before) / len(held)


def growth_elsewhere(kind: str) -> int:
    """Return the growth, measured in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.detector", "--growth", kind], check=True, capture_output=True, text=True
    )
    return round(float(ran.stdout))


def percentile(values: Sequence[int], share: float) -> float:
    """Return a percentile, us."""
    return sorted(values)[int(share * len(values))] / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", choices=("novelty", "novelty_learned", "fast"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.growth:
        print(growth(args.growth))
        return
    with Console(stderr=True).status("filling models") as status:
        novelty, service = full_novelty(0), full_service(0)
        n = (_N_BLOCKS + 8) * _BLOCK
        series, shown = points(0, n, _N_FULL), windows(0, n, 25 * 360)
        trees = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1)
        scaled = [{"value": min(1.0, max(0.0, (x["value"] - 60) / 80))} for x in points(0, n)]

        def step_trees(i: int) -> None:
            trees.score_one(scaled[i])
            trees.learn_one(scaled[i])

        for i in range(500):
            step_trees(i)
        status.update("timing")
        means, singles = times(
            [lambda i: novelty.step_one(series[i]), lambda i: service.judge(WindowPoint.of(shown[i])), step_trees]
        )
        status.update(f"growth over {N_MODELS} models of each kind")
        novelty_bytes = max(growth_elsewhere("novelty"), growth_elsewhere("novelty_learned"))
        fast_bytes = growth_elsewhere("fast")
    novelty_snapshot = len(novelty.to_bytes())
    fast_snapshot = len(msgspec.json.encode(service.to_state()))
    table = Table("per point or window", "mean us", "p50 us", "p99 us", "of HalfSpaceTrees", "state bytes", "snapshot bytes")
    rows = [
        ("novelty", novelty_bytes, novelty_snapshot),
        ("fast path, a service", fast_bytes, fast_snapshot),
        ("river HalfSpaceTrees", 0, 0),
    ]
    for (name, state, snapshot), mean, of_one in zip(rows, means, singles, strict=True):
        figures = (mean, percentile(of_one, 0.5), percentile(of_one, 0.99))
        sizes = (f"{state:,}", f"{snapshot:,}") if state else ("-", "-")
        table.add_row(name, *(f"{us:.1f}" for us in figures), f"{mean / means[-1]:.2f}", *sizes)
    Console().print(table)
    figures_of_all = {
        "bench": "detector",
        "novelty_ratio": round(means[0] / means[2], 3),
        "fast_ratio": round(means[1] / means[2], 3),
        "novelty_p99_us": round(percentile(singles[0], 0.99), 1),
        "novelty_state_bytes": novelty_bytes,
        "novelty_snapshot_bytes": novelty_snapshot,
        "fast_state_bytes": fast_bytes,
        "fast_snapshot_bytes": fast_snapshot,
    }
    print(json.dumps(figures_of_all))


if __name__ == "__main__":
    main()
