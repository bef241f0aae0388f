"""Shows what a service costs in memory, stage by stage: `make bench-sizes`. In process, without a broker."""

import argparse
import ctypes
import gc
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.analyse import detection, windows
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.stage import Stage
from pipeline.ingest.source import Owner, SourceReader
from pipeline.settings import Settings, load_settings

TOPIC = "telemetry.metrics"
BEGAN_MS = 1_767_571_200_000
OPERATIONS = 10
WINDOWS = 12
"""Two minutes: as many windows are open at once as delay and grace allow."""
REQUESTS = 3
"""Of each operation in a window."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LENGTH_BYTES = 8


def rss_bytes() -> int:
    """Return this process's resident memory, what is free already given back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def telemetry(n_services: int) -> Iterator[InRecord]:
    """Yield a message a service and window, requests of all its operations in it."""
    rng, offset = random.Random(1), 0
    for window in range(WINDOWS):
        for service in range(n_services):
            time_ms = BEGAN_MS + window * 10_000 + service * 10_000 // n_services
            records = [
                {
                    "kind": "request",
                    "service": f"service-{service}",
                    "operation": f"operation-{n % OPERATIONS}",
                    "time": time_ms,
                    "duration_ms": round(rng.lognormvariate(3, 0.6), 3),
                    "status": 200,
                }
                for n in range(OPERATIONS * REQUESTS)
            ]
            yield InRecord(offset, time_ms, None, json.dumps(records).encode())
            offset += 1


def measure(n_services: int, folder: Path) -> dict[str, int]:
    """Return the growth of resident memory by stage, bytes, and the bytes of the rows that each stage would store."""
    settings = load_settings()
    found: dict[str, int] = {}
    warm_up(settings, folder)
    bundles, signals = folder / "bundles", folder / "signals"
    before = rss_bytes()
    reader = ingest(settings, n_services, bundles)
    found["ingest"] = rss_bytes() - before
    del reader
    stages: dict[str, tuple[Stage, Path, Path]] = {
        "windows": (windows.restore(settings.windows, settings.directory, 0, {}), bundles, signals),
        "detection": (detection.restore(settings.detection, 0, {}), signals, folder / "anomalies"),
    }
    for name, (stage, source, target) in stages.items():
        before = rss_bytes()
        rows: dict[str, int] = {}
        with source.open("rb") as read, target.open("wb") as write:
            for offset, value in enumerate(_values(read)):
                for output in stage.step(InRecord(offset, BEGAN_MS, None, value), BEGAN_MS):
                    _write(write, output)
                if offset % 500 == 0:
                    _store(stage, rows)
        _store(stage, rows)
        found[name] = rss_bytes() - before
        found[f"{name}_rows"] = sum(rows.values())
    return found


def _store(stage: Stage, rows: dict[str, int]) -> None:
    """Do as a checkpoint does; a worker's table holds the rows, too."""
    for name, row in stage.take_changes().items():
        if row is None:
            rows.pop(name, None)
        else:
            rows[name] = len(row)


def ingest(settings: Settings, n_services: int, target: Path) -> SourceReader:
    """Reduce the telemetry, one source and one target; return the reader, its last chunk still open."""
    config = settings.ingest
    reader = SourceReader(config=config, params=settings.source, source=f"{TOPIC}/0", epoch=0, position=0, watermark_ms=None)
    with target.open("wb") as write:
        slice_: list[InRecord] = []
        for record in telemetry(n_services):
            slice_.append(record)
            if len(slice_) == 200:
                _read(reader, slice_, settings, write)
                slice_ = []
        if slice_:
            _read(reader, slice_, settings, write)
    return reader


def _read(reader: SourceReader, records: list[InRecord], settings: Settings, write: BinaryIO) -> None:
    owner = Owner(
        now_ms=records[-1].timestamp_ms,
        generation=1,
        is_caught_up=False,
        heard_ms=records[-1].timestamp_ms,
        partitions={TOPIC: 1},
        n_targets=1,
    )
    left = records
    while left:
        outcome = reader.read(left, owner)
        for output in outcome.outputs:
            _write(write, output)
        left = left[outcome.n_read :]
        if outcome.chunk_end is not None:
            reader.begin_chunk(settings.ingest)


def warm_up(settings: Settings, folder: Path) -> None:
    """Import and allocate what the first record needs."""
    path = folder / "warm-up"
    ingest(settings, 10, path)
    stage = windows.restore(settings.windows, settings.directory, 0, {})
    judge = detection.restore(settings.detection, 0, {})
    with path.open("rb") as read:
        for offset, value in enumerate(_values(read)):
            for output in stage.step(InRecord(offset, BEGAN_MS, None, value), BEGAN_MS):
                judge.step(InRecord(offset, BEGAN_MS, None, output.value), BEGAN_MS)


def _write(write: BinaryIO, output: OutRecord) -> None:
    value = output.value or b""
    write.write(len(value).to_bytes(_LENGTH_BYTES, "big"))
    write.write(value)


def _values(read: BinaryIO) -> Iterator[bytes]:
    while length := read.read(_LENGTH_BYTES):
        yield read.read(int.from_bytes(length, "big"))


def _measure_into(n_services: int, folder: str, results: "multiprocessing.SimpleQueue[dict[str, int]]") -> None:
    results.put(measure(n_services, Path(folder)))


def main(options: argparse.Namespace) -> int:
    """Measure each number of services in a process of its own; return the exit code."""
    context = multiprocessing.get_context("spawn")
    sizes = sorted(options.services)
    found: dict[int, dict[str, int]] = {}
    for n_services in sizes:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tocsin-sizes-") as folder:
            results = context.SimpleQueue()
            process = context.Process(target=_measure_into, args=(n_services, folder, results))
            process.start()
            process.join()
            if process.exitcode:
                return 1
            found[n_services] = results.get()
        print(f"{n_services:,} services x {OPERATIONS} operations: {time.monotonic() - began:.0f} s", flush=True)
    names = list(found[sizes[0]])
    print(f"\n{'services':>9}" + "".join(f"{name:>16}" for name in names) + "   MB")
    for n_services in sizes:
        print(f"{n_services:>9,}" + "".join(f"{found[n_services][name] / 1e6:>16.1f}" for name in names))
    low, high = sizes[0], sizes[-1]
    each = {name: round((found[high][name] - found[low][name]) / (high - low)) for name in names} if high > low else {}
    print("\nbytes for each further service: " + ", ".join(f"{name} {n:,}" for name, n in each.items()))
    print(json.dumps({"bench": "sizes", "operations": OPERATIONS, "services": sizes, "bytes_per_service": each}))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=[1_000, 5_000])
    sys.exit(main(parser.parse_args()))
