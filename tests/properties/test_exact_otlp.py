"""OTLP cumulative histograms of processes that restart and report late add up to what was sent, without a broker.

`make bench-exact INPUT=otlp` plays the same senders on a real one, with kills.
"""

import random
from dataclasses import replace

import msgspec
import pytest

from benchmarks.exact_otlp import OtlpSenders
from benchmarks.exact_truth import Published, Truth, differences
from pipeline.analyse.windows import restore
from pipeline.contracts.directory import Directory
from pipeline.contracts.records import InRecord
from pipeline.ingest.source import Owner, SourceReader
from pipeline.settings import load_settings

T0 = 1_767_571_200_000
TOPIC = "telemetry.metrics"
SETTINGS = load_settings(env={})
INGEST = replace(SETTINGS.ingest, decoders={TOPIC: "otlp_metrics"}, chunk_records=500, chunk_ms=5_000)


def played(seed: int, seconds: int) -> tuple[OtlpSenders, Truth, Published]:
    """Send for so long to two partitions; return what was sent and what was published."""
    rng, truth, published = random.Random(seed), Truth(), Published()
    senders = OtlpSenders(rng)
    readers = [
        SourceReader(config=INGEST, params=SETTINGS.source, source=f"{TOPIC}/{p}", epoch=0, position=0, watermark_ms=None)
        for p in range(2)
    ]
    stage, offset = restore(SETTINGS.windows, Directory(), 0, {}), 0

    def pass_on(outputs: list[object], now_ms: int) -> None:
        nonlocal offset
        for output in outputs:
            if output.topic == "dead-letters":
                published.dead_letter(output.key.encode(), dict(output.headers)["tocsin-dead-letter"])
                continue
            for said in stage.step(InRecord(offset, now_ms, None, output.value), now_ms):
                published.signals(said.value)
            offset += 1

    offsets = [0, 0]
    for now_ms in range(T0, T0 + seconds * 1000, 20):
        values = [senders.message(now_ms, truth)]
        if now_ms + 20 >= T0 + seconds * 1000:
            values += senders.rest()
        for value in values:
            p = rng.randrange(2)
            owner = Owner(now_ms=now_ms, generation=1, is_caught_up=False, heard_ms=now_ms, partitions={TOPIC: 2}, n_targets=1)
            record = InRecord(offsets[p], now_ms, None, value)
            outcome = readers[p].read([record], owner)
            pass_on(outcome.outputs, now_ms)
            if outcome.chunk_end is not None:
                readers[p].begin_chunk(INGEST)
                pass_on(readers[p].read([record], owner).outputs, now_ms)
            offsets[p] += 1
    for later_ms in (10_000, 60_000, 200_000):
        now_ms = T0 + seconds * 1000 + later_ms
        for reader in readers:
            owner = Owner(now_ms=now_ms, generation=1, is_caught_up=True, heard_ms=T0, partitions={TOPIC: 2}, n_targets=1)
            pass_on(reader.tick(owner), now_ms)
    return senders, truth, published


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_window_of_restarting_processes_is_exact(seed: int) -> None:
    senders, truth, published = played(seed, 90)

    assert senders.n_restarts > 10
    assert truth.rejected > 50
    assert differences(truth, published) == []


def test_the_truth_finds_one_request_too_many() -> None:
    _, truth, published = played(1, 30)
    window = max(truth.requests)
    record = published.windows[window]
    published.windows[window] = msgspec.convert(record, dict) | {
        "traffic": record["traffic"] | {"requests": record["traffic"]["requests"] + 1}
    }

    assert len(differences(truth, published)) == 1
