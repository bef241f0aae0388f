"""What limits cost: requests through the ingest step within and over them, each way out, and bounded against unbounded codecs.

Requests, one a message, of 1,000 services with 5 operations, or of names that never end; in slices of 16,384, as a worker reads
them. Ways take turns, the median counts; measured is the process's own CPU time. Codecs decompress the same record batch with
aiokafka's codecs and with the bounded ones. The last line is one JSON object: readings a second by way, and the ratio of seconds
by codec.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from aiokafka import codec as upstream

from pipeline.adapters.codecs import DECODE_BY_NAME
from pipeline.adapters.collector import settle_collector
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.records import InRecord, InRecords
from pipeline.ingest.source import Owner, SourceParams, SourceReader

N_REQUESTS = 131_072
SLICE = 16_384
TURNS = 5
T0_MS = 1_767_571_210_000
TOPIC = "telemetry.metrics"
OTHER = IngestConfig()
EVICT = replace(OTHER, services_over_limit="evict", names_over_limit="evict")
BATCH_REQUESTS = (170, 5_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Requests that go through the ingest step under a configuration; ``records`` in slices."""

    name: str
    config: IngestConfig
    slices: list[InRecords]


def request(n: int, service: str, operation: str) -> bytes:
    """Return a request; all are of two windows."""
    about = {"kind": "request", "environment": "prod", "service": service, "operation": operation, "version": "1.2"}
    return json.dumps(
        about | {"time": T0_MS + n % 12_000, "duration_ms": n * 7 % 113, "status": 500 if n % 100 == 0 else 200}
    ).encode()


def sliced(name: Callable[[int], tuple[str, str]]) -> list[InRecords]:
    """Return requests by the (service, operation) of each number, in slices."""
    records = [InRecord(n, T0_MS + n // 100, None, request(n, *name(n))) for n in range(N_REQUESTS)]
    return [InRecords.of(records[at : at + SLICE]) for at in range(0, N_REQUESTS, SLICE)]


def ways() -> list[Way]:
    """Return every way through the ingest step that is measured."""
    within = sliced(lambda n: (f"s{n % 1_000}", f"o{n // 1_000 % 5}"))
    operations = sliced(lambda n: (f"s{n % 100}", f"o{n}" if n % 10 == 0 else f"o{n // 100 % 5}"))
    services = sliced(lambda n: (f"s{n}" if n % 2 else f"s{n % 1_000}", "o"))
    return [
        Way(name=f"{what}, {over}", config=config, slices=slices)
        for what, slices in (("within limits", within), ("operations without end", operations), ("services without end", services))
        for over, config in (("other", OTHER), ("evict", EVICT))
    ]


def seconds(way: Way) -> tuple[float, int]:
    """Return the CPU seconds that a way takes, flushes included, and how many chunks it made."""
    reader = SourceReader(config=way.config, params=SourceParams(), source=f"{TOPIC}/0", epoch=0, position=0, watermark_ms=None)
    n_readings, n_chunks, began = 0, 1, time.process_time()
    for number, records in enumerate(way.slices):
        left, now_ms = records, T0_MS + 60_000 + 100 * number
        owner = Owner(now_ms=now_ms, generation=1, is_caught_up=False, heard_ms=now_ms, partitions={TOPIC: 1}, n_targets=8)
        while len(left):
            outcome = reader.read(left, owner)
            n_readings += outcome.counts.n_readings
            left = left[outcome.n_read :]
            if outcome.chunk_end is not None:
                reader.begin_chunk(way.config)
                n_chunks += 1
    reader.rest(owner)
    took = time.process_time() - began
    if n_readings != N_REQUESTS:
        raise RuntimeError(f"{way.name}: {N_REQUESTS} readings went in, {n_readings} were counted")
    return took, n_chunks


def codec_ratio(name: str, n: int) -> float:
    """Return how much longer the bounded codec takes for a batch of ``n`` requests, 1: as long."""
    payload = getattr(upstream, f"{name}_encode")(b"".join(request(i, f"s{i % 97}", "o") for i in range(n)))
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(TURNS):
        for which, decode in (("theirs", getattr(upstream, f"{name}_decode")), ("ours", DECODE_BY_NAME[f"{name}_decode"])):
            began = time.process_time()
            for _ in range(200_000 // n):
                decode(payload)
            took[which].append(time.process_time() - began)
    return statistics.median(took["ours"]) / statistics.median(took["theirs"])


def main() -> int:
    """Measure, print a table and one JSON object, and return 0."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    settle_collector()  # as every worker does
    all_ways = ways()
    took: dict[str, list[float]] = {way.name: [] for way in all_ways}
    chunks: dict[str, int] = {}
    for turn in range(TURNS):
        print(f"turn {turn + 1} of {TURNS}", file=sys.stderr, flush=True)
        for way in all_ways:
            s, chunks[way.name] = seconds(way)
            took[way.name].append(s)
    rates = {name: round(N_REQUESTS / statistics.median(each)) for name, each in took.items()}
    for name, rate in rates.items():
        print(f"{name:32} {rate:>10,} readings a second of CPU, {chunks[name]} chunks")
    ratios = {f"{name} {n}": round(codec_ratio(name, n), 2) for name in ("gzip", "snappy", "lz4", "zstd") for n in BATCH_REQUESTS}
    for name, ratio in ratios.items():
        print(f"{name + ' requests a batch':32} {ratio:>10} x aiokafka's own time")
    print(json.dumps({"bench": "limits", "readings_per_s": rates, "codec_ratio": ratios}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
