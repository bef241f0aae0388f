"""Where each source of a target partition stands, and the partition's own watermark: the head row."""

from functools import lru_cache

import msgspec

from pipeline.analyse.contributions import Chunk
from pipeline.contracts.partials import Bundle

SCHEMA = 1


class Head(msgspec.Struct, kw_only=True, frozen=True):
    """The partition's own row, written last at a checkpoint.

    Attributes
    ----------
    applied
        Offset of the last bundle folded in; -1: none.
    chunks
        Newest (epoch, chunk) by source.
    watermark_by_source
        Highest watermark heard of each, epoch ms.
    generation
        Newest of the ingest group that was seen; ``partitions`` are the telemetry topics that it knows.
    idle
        Sources called idle in that generation.
    low_ms
        The partition's watermark; never goes back, whoever wakes up. ``None`` until every source was heard.
    behind_since_ms
        Record time of the bundle with which a source was first seen to hold the others back.
    left_behind
        Sources that have done so for too long: they do not count until they have caught up.
    over_limit_hour
        Hour (of event time, since the epoch) in which it was last announced that there are too many services.

    """

    schema: int = SCHEMA
    applied: int = -1
    chunks: dict[str, Chunk] = {}
    watermark_by_source: dict[str, int] = {}
    generation: int = 0
    partitions: dict[str, int] = {}
    idle: frozenset[str] = frozenset()
    low_ms: int | None = None
    behind_since_ms: dict[str, int] = {}
    left_behind: frozenset[str] = frozenset()
    over_limit_hour: int = -1

    def refuses(self, bundle: Bundle) -> bool:
        """Return whether a bundle is of an old owner, or a second reading of what is final."""
        return (bundle.epoch, bundle.chunk) < self.chunks.get(bundle.source, (0, -1))

    def is_finished(self, source: str, chunk: Chunk) -> bool:
        """Return whether a chunk of a source can get no more."""
        return chunk < self.chunks.get(source, (0, -1))

    def has_passed(self, time_ms: int) -> bool:
        """Return whether the partition's watermark has reached a time."""
        return self.low_ms is not None and time_ms <= self.low_ms


def advanced(head: Head, bundle: Bundle, *, offset: int, record_ms: int, grace_ms: int, max_hold_ms: int) -> Head:
    """Return the head with a bundle's header in it.

    Parameters
    ----------
    head, bundle
        The bundle is not refused.
    offset, record_ms
        The bundle's offset and Kafka timestamp on ``tocsin.partials``: the only time that a hold is measured with, so
        that a second run decides the same.
    grace_ms, max_hold_ms
        See :class:`pipeline.analyse.params.WindowParams`.

    """
    source = bundle.source
    watermarks = head.watermark_by_source
    if bundle.watermark_ms is not None and bundle.watermark_ms > watermarks.get(source, bundle.watermark_ms - 1):
        watermarks = {**watermarks, source: bundle.watermark_ms}
    generation = max(head.generation, bundle.generation)
    is_current = bundle.generation == generation
    idle = head.idle if generation == head.generation else frozenset()  # a claim does not outlive its generation
    idle = idle | {source} if bundle.idle and is_current else idle - {source}
    partitions = bundle.partitions if is_current and bundle.partitions else head.partitions
    sources = _sources(tuple(sorted(partitions.items()))) or tuple(sorted({*watermarks, source}))
    behind, left = _held(head, sources, watermarks, idle, record_ms=record_ms, grace_ms=grace_ms, max_hold_ms=max_hold_ms)
    return Head(
        applied=offset,
        chunks={**head.chunks, source: (bundle.epoch, bundle.chunk)},
        watermark_by_source=watermarks,
        generation=generation,
        partitions=partitions,
        idle=idle,
        low_ms=_low(
            head.low_ms, [watermarks.get(s) for s in sources if s not in left and s not in idle], sources, watermarks, left
        ),
        behind_since_ms=behind,
        left_behind=left,
        over_limit_hour=head.over_limit_hour,
    )


@lru_cache(maxsize=64)
def _sources(partitions: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return tuple(f"{topic}/{partition}" for topic, n in partitions for partition in range(n))


def _low(
    low_ms: int | None,
    busy: list[int | None],
    sources: tuple[str, ...],
    watermarks: dict[str, int],
    left: frozenset[str],
) -> int | None:
    """Return the lowest watermark of the busy sources; when nobody is busy, the highest of all; never less than before."""
    if busy:
        heard = [watermark for watermark in busy if watermark is not None]
        if len(heard) < len(busy):
            return low_ms
        lowest = min(heard)
    else:
        idle = [watermarks[s] for s in sources if s in watermarks and s not in left]
        if not idle:
            return low_ms
        lowest = max(idle)
    return lowest if low_ms is None else max(low_ms, lowest)


def _held(
    head: Head,
    sources: tuple[str, ...],
    watermarks: dict[str, int],
    idle: frozenset[str],
    *,
    record_ms: int,
    grace_ms: int,
    max_hold_ms: int,
) -> tuple[dict[str, int], frozenset[str]]:
    """Return since when which sources hold the others back, and which have done so for too long.

    A source holds back while its watermark is more than the grace behind the highest. It is left behind when that has
    lasted, and its watermark is behind, by more than ``max_hold_ms``; it is back when it is behind by less.
    """
    highest = max((watermarks[s] for s in sources if s in watermarks), default=None)
    if highest is None:
        return {}, frozenset()
    behind: dict[str, int] = {}
    left: set[str] = set()
    for source in sources:
        watermark = watermarks.get(source)
        if source in idle or (watermark is not None and highest - watermark <= grace_ms):
            continue
        since = behind[source] = head.behind_since_ms.get(source, record_ms)
        if (watermark is None or highest - watermark > max_hold_ms) and (
            source in head.left_behind or record_ms - since > max_hold_ms
        ):
            left.add(source)
    return behind, frozenset(left)
