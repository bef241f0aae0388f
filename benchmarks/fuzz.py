"""Feeds a decoder mutated messages: no exception escapes, none costs more time or memory than its limit.

`make fuzz DECODER=otlp_metrics [N=1000000] [SEED=1]`; ``auto`` is fuzzed with the messages of all. Prints an input that breaks
a rule in hexadecimal, and ends with 1. The last line is one JSON object.

Memory of an input is measured twice: how far the process rises above what it had, of every input; and the height of what Python
allocated (``traced``), of all that are given (of those of a megabyte in long runs) and of each eighth that is mutated.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from benchmarks.fuzz_memory import ResidentPeak, traced_peak
from benchmarks.fuzz_samples import HOSTILE, HUGE, NOW_MS, samples
from pipeline.contracts.codec import decode as decode_record
from pipeline.contracts.codec import encode
from pipeline.contracts.config import IngestConfig, TopicOrigin
from pipeline.contracts.partials import Bundle, Partial
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.ingest.reduce import PartialKey, fold
from pipeline.settings import load_settings

MAX_SECONDS = 1.0
"""Of one input, of its thread's own time: another program is no fault. A message of a megabyte that is sound takes a tenth of it,
one of nothing but counts of buckets half."""
MAX_INPUT_MB = 100
"""Of one input, above what the process had before it; the objects of a message of a megabyte take up to 60."""
TRACE_EVERY = 8
LONG_RUN = 20_000
"""Inputs, from which on the largest are traced, too: it takes half a minute."""
MAX_GROWTH_MB = 512
"""Of the process, over the whole run."""
TOPIC = "telemetry.metrics"
BLOCK = 2_000
"""Inputs whose partials are put together, encoded and read again."""
_TOKENS = (
    b"NaN", b"+Inf", b"-1", b"1e999", b"18446744073709551615", b"9" * 30, b"null", b'""', b"[]", b"{}", b"\x00", b"\xff" * 10,
    b"\n",
    b'"', b"\\", b"_", b"\x0a", b"\x12\x80\x80\x80\x80\x08", b"=", b" ", b"\xc3\x28", b"\xe2\x80\xae", b"true",
)  # fmt: skip


@dataclass(slots=True)
class Found:
    """What a run came to."""

    n: int = 0
    n_readings: int = 0
    n_rejections: int = 0
    slowest_s: float = 0.0
    most_traced: int = 0
    most_risen: int = 0
    problems: list[str] = field(default_factory=list)


def mutated(rng: random.Random, sample: bytes, other: bytes) -> bytes:
    """Return a message near to another: a few bytes changed, cut, doubled, joined, or a token put in."""
    value = bytearray(sample)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(value) + 1)
        choice = rng.randrange(8)
        if choice == 0 and value:
            value[at % len(value)] = rng.randrange(256)
        elif choice == 1 and value:
            value[at % len(value)] ^= 1 << rng.randrange(8)
        elif choice == 2:
            del value[at : at + rng.choice((1, 2, 8, 64))]
        elif choice == 3:
            value[at:at] = rng.choice(_TOKENS)
        elif choice == 4:
            value[at:at] = value[at : at + rng.choice((1, 4, 32, 256))]
        elif choice == 5:
            value = value[:at] + other[rng.randrange(len(other) + 1) :]
        elif choice == 6:
            end = min(at + rng.choice((1, 4, 16)), len(value))
            value[at:end] = rng.choice(_TOKENS)
        else:
            value[at:at] = rng.randbytes(rng.choice((1, 2, 4)))
    return bytes(value)


def fuzz(decoder: str, n: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Found:
    """Return what became of ``n`` inputs of a decoder; the same for the same seed, but for times."""
    rng, found = random.Random(seed), Found()
    config = _config(decoder)
    known = samples()
    own = [message for messages in known.values() for message in messages] if decoder == "auto" else known[decoder]
    inputs = [*own, *HOSTILE, *(b"[" + b",".join([message] * 50) + b"]" for message in own if message[:1] == b"{")]
    given = [*inputs, *HUGE]
    partials: dict[PartialKey, Partial] = {}
    memory_mb, resident = _memory_mb(), ResidentPeak()
    n_traced = len(given if n >= LONG_RUN else inputs)
    for i in range(n):
        value = given[i] if i < len(given) else mutated(rng, rng.choice(own if rng.random() < 0.98 else inputs), rng.choice(own))
        record = InRecord(i, NOW_MS, None, value)
        rise = resident.rise(partial(_try, found, config, partials, record))
        is_traced = not found.problems and (i < n_traced or (i >= len(given) and i % TRACE_EVERY == 0))
        _weigh(found, value, rise, traced_peak(partial(_folded, config, {}, record)) if is_traced else 0)
        if (i + 1) % BLOCK == 0 or i + 1 == n:
            _round_trip(found, partials)
        if found.problems:
            break
        if (i + 1) % 100_000 == 0:
            tell(f"{i + 1} inputs, {found.n_readings} read, {found.n_rejections} rejected, slowest {found.slowest_s * 1e3:.0f} ms")
    resident.close()
    if _memory_mb() - memory_mb > MAX_GROWTH_MB:
        found.problems.append(f"memory grew from {memory_mb:.0f} to {_memory_mb():.0f} MB")
    return found


def _try(found: Found, config: IngestConfig, partials: dict[PartialKey, Partial], record: InRecord) -> None:
    began = time.thread_time()
    try:
        decoded = _folded(config, partials, record)
    except Exception as problem:  # noqa: BLE001 - finding them is what this is for
        found.problems.append(f"{problem!r} from {_shown(record.value)}")
        return
    took = time.thread_time() - began
    found.n += 1
    found.n_readings += len(decoded.readings)
    found.n_rejections += len(decoded.rejections)
    found.slowest_s = max(found.slowest_s, took)
    if took > MAX_SECONDS:
        found.problems.append(f"took {took:.2f} s: {_shown(record.value)}")
    if any(not rejection.detail for rejection in decoded.rejections):
        found.problems.append(f"a rejection without a word: {_shown(record.value)}")


def _folded(config: IngestConfig, partials: dict[PartialKey, Partial], record: InRecord) -> Decoded:
    decoded = decode(config, TOPIC, record)
    for reading in decoded.readings:
        fold(partials, reading, config)
    return decoded


def _weigh(found: Found, value: bytes, rise: int, traced: int) -> None:
    found.most_risen, found.most_traced = max(found.most_risen, rise), max(found.most_traced, traced)
    for n_bytes, how in ((rise, "the process rose by"), (traced, "Python allocated")):
        if n_bytes > MAX_INPUT_MB * 1e6:
            found.problems.append(f"{how} {n_bytes / 1e6:.0f} MB: {_shown(value)}")


def _round_trip(found: Found, partials: dict[PartialKey, Partial]) -> None:
    """What was folded must be what analysis can read."""
    try:
        decode_record(encode(Bundle(source="t/0", chunk=0, through=0, partials=list(partials.values()))), Bundle)
    except Exception as problem:  # noqa: BLE001 - likewise
        found.problems.append(f"partials cannot be read again: {problem!r}")
    partials.clear()


def _config(decoder: str) -> IngestConfig:
    origins = {TOPIC: TopicOrigin(service="fuzz")}
    return replace(load_settings(env={}).ingest, decoders={TOPIC: decoder}, origins=origins)


def _shown(value: bytes | None) -> str:
    return (value or b"")[:2_000].hex()


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Run from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--decoder", required=True, choices=["auto", *samples()])
    arguments.add_argument("--n", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    began = time.perf_counter()
    found = fuzz(asked.decoder, asked.n, asked.seed, tell=lambda text: print(text, file=sys.stderr))
    for problem in found.problems:
        print(problem, file=sys.stderr)
    told = {
        "fuzz": asked.decoder, "inputs": found.n, "readings": found.n_readings, "rejections": found.n_rejections,
        "slowest_ms": round(found.slowest_s * 1e3, 1), "memory_mb": round(_memory_mb()),
        "input_traced_mb": round(found.most_traced / 1e6, 1), "input_risen_mb": round(found.most_risen / 1e6, 1),
        "seconds": round(time.perf_counter() - began, 1), "problems": len(found.problems),
    }  # fmt: skip
    print(json.dumps(told))
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
