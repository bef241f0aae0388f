"""What `make bench-ingest` reads out of topics afterwards: whether all is accounted for, and how long windows took to close."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.contracts.window_times import BASE_SIZE_MS

BATCH_BYTES = 65_536
COLD_ENDS = 2


class _Partial(msgspec.Struct):
    environment: str
    service: str
    start_ms: int
    size_ms: int
    readings: int = 0


class _Bundle(msgspec.Struct):
    source: str
    chunk: int
    through: int
    watermark_ms: int | None = None
    idle: bool = False
    partitions: dict[str, int] = {}
    partials: list[_Partial] = []


class _Signals(msgspec.Struct):
    kind: str
    service: str = ""
    window_end_ms: int = 0
    revision: int = 1
    rollup: bool = False


_bundle, _signals = msgspec.json.Decoder(_Bundle).decode, msgspec.json.Decoder(_Signals).decode


@dataclass(frozen=True, slots=True)
class Stored:
    """One record: where it is, when the broker had it (ms), what it holds."""

    partition: int
    at_ms: int
    value: bytes


async def stored(bootstrap: str, topic: str, partitions: int) -> list[Stored]:
    """Return all that a topic holds now, in the order of each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    found: list[Stored] = []
    try:
        tps = [TopicPartition(topic, p) for p in range(partitions)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        left = {tp for tp, end in ends.items() if end > 0}
        await consumer.seek_to_beginning(*tps)
        while left:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [Stored(tp.partition, r.timestamp, r.value or b"") for r in records]
                if records and records[-1].offset + 1 >= ends[tp]:
                    left.discard(tp)
    finally:
        await consumer.stop()
    return found


def n_accounted(partials: Iterable[Stored]) -> int:
    """Return how many readings bundles hold: of each chunk, service and window the last word."""
    last: dict[tuple[str, int, str, int, int], tuple[int, int]] = {}
    for record in partials:
        bundle = _bundle(record.value)
        for partial in bundle.partials:
            key = (bundle.source, bundle.chunk, f"{partial.environment}/{partial.service}", partial.start_ms, partial.size_ms)
            last[key] = max(last.get(key, (-1, 0)), (bundle.through, partial.readings))
    return sum(readings for _, readings in last.values())


def close_delays_ms(partials: Sequence[Stored], signals: Sequence[Stored], delay_ms: int) -> list[int]:
    """Return, for each first publication of a window, ms from the bundle that took the watermark past its end and delay.

    The first ``COLD_ENDS`` ends are left out: there every service is new to a worker that has done nothing yet.
    """
    delays: dict[int, list[int]] = {}
    for partition in {record.partition for record in signals}:
        crossed = _crossings([record for record in partials if record.partition == partition], delay_ms)
        for record in signals:
            if record.partition == partition:
                said = _signals(record.value)
                end_ms = said.window_end_ms
                if said.kind == "signals" and said.revision == 1 and not said.rollup and end_ms in crossed:
                    delays.setdefault(end_ms, []).append(max(0, record.at_ms - crossed[end_ms]))
    return sorted(delay for end_ms in sorted(delays)[COLD_ENDS:] for delay in delays[end_ms])


def _crossings(partials: Sequence[Stored], delay_ms: int) -> dict[int, int]:
    """Return when each window's end plus delay was passed in one target partition, ms by window end."""
    watermark: dict[str, int | None] = {}
    idle: dict[str, bool] = {}
    crossed: dict[int, int] = {}
    done: int | None = None
    for record in partials:
        bundle = _bundle(record.value)
        watermark[bundle.source], idle[bundle.source] = bundle.watermark_ms, bundle.idle
        sources = [f"{topic}/{p}" for topic, n in bundle.partitions.items() for p in range(n)]
        awake = [watermark.get(source) for source in sources if not idle.get(source, False)]
        if not awake or None in awake:
            continue
        low = min(mark for mark in awake if mark is not None) - delay_ms
        over = low - low % BASE_SIZE_MS
        for end in range(over if done is None else done + BASE_SIZE_MS, over + 1, BASE_SIZE_MS):
            crossed[end] = record.at_ms
        done = over if done is None else max(done, over)
    return crossed


async def verdict_counter(bootstrap: str, topic: str) -> "VerdictCounter":
    """Return what counts verdicts as they come."""
    counter = VerdictCounter(AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest"))
    await counter.consumer.start()
    return counter


@dataclass
class VerdictCounter:
    """Counts first verdicts of base windows that end by a time."""

    consumer: AIOKafkaConsumer
    n: int = 0

    async def count(self, ends_by_ms: int) -> int:
        """Read what there is, and return how many there were so far."""
        for records in (await self.consumer.getmany(timeout_ms=100)).values():
            for record in records:
                said = msgspec.json.decode(record.value or b"", type=_VerdictHead)
                self.n += not said.rollup and said.window_end_ms <= ends_by_ms
        return self.n


class _VerdictHead(msgspec.Struct):
    window_end_ms: int = 0
    rollup: bool = False


async def record_batches(bootstrap: str, topic: str, each: int, producer: AIOKafkaProducer) -> dict[int, list[object]]:
    """Return the first ``each`` records of every partition of a filled topic, built as batches that are ready to be sent."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    built: dict[int, list[object]] = {}
    n: dict[int, int] = {}
    try:
        while not built or any(count < each for count in n.values()):
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                batches = built.setdefault(tp.partition, [])
                for record in records[: each - n.get(tp.partition, 0)]:
                    if not batches or batches[-1].append(key=record.key, value=record.value, timestamp=record.timestamp) is None:  # type: ignore[attr-defined]
                        batches.append(producer.create_batch())
                        batches[-1].append(key=record.key, value=record.value, timestamp=record.timestamp)  # type: ignore[attr-defined]
                n[tp.partition] = min(each, n.get(tp.partition, 0) + len(records))
    finally:
        await consumer.stop()
    return built
