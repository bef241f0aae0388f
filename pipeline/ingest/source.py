"""What one telemetry partition has to say: chunks of cumulative partials, watermarks, dead letters (docs/adr/0001)."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS, AtLeastOne, AtLeastZero, IngestConfig
from pipeline.contracts.limits import Bound, Limit
from pipeline.contracts.partials import Bundle
from pipeline.contracts.records import InRecord, InRecords, OutRecord
from pipeline.contracts.window_times import BASE_SIZE_MS
from pipeline.ingest.bundles import bundle_records
from pipeline.ingest.cardinality import ReachedLimits
from pipeline.ingest.chunks import records_before_end
from pipeline.ingest.dead_letters import letter_of
from pipeline.ingest.decoders import DecodedRun, decode_run
from pipeline.ingest.decoders.request_columns import SeriesIndex
from pipeline.ingest.reduce import PartialKey
from pipeline.ingest.reduce_columns import ChunkFold


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class SourceParams:
    """When a source speaks.

    Attributes
    ----------
    idle_ms
        A caught-up source without a record for longer is idle, ms, above 0; one that never had a record is idle at once.
    header_ms
        Longest silence between two headers, ms, above 0.
    delay_ms
        Waited after a window's end before it is published, ms; a flush is due when the watermark passes that.
    max_bundle_bytes
        A larger bundle is split, bytes.
    caps_watermark
        Whether the watermark is held at the owner's clock, against record times of the future.

    """

    idle_ms: AtLeastOne = 5_000
    header_ms: AtLeastOne = 1_000
    delay_ms: AtLeastZero = 3_000
    max_bundle_bytes: AtLeastOne = 524_288
    caps_watermark: bool = True


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """What the shell knows at this moment.

    Attributes
    ----------
    now_ms
        Its clock, epoch ms.
    generation
        Of the ingest consumer group.
    is_caught_up
        Nothing is left to read in this partition.
    heard_ms
        Clock time when a record last arrived, or when the partition was taken over.
    partitions
        Every configured telemetry topic and its partition count.
    n_targets
        Partitions of ``tocsin.partials``.

    """

    now_ms: int
    generation: int
    is_caught_up: bool
    heard_ms: int
    partitions: dict[str, int]
    n_targets: int


class ChunkEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What to commit once every output is acknowledged: where the next chunk begins, and the watermark for the metadata."""

    next_offset: int
    watermark_ms: int | None
    epoch: int


class ReadCounts(msgspec.Struct, kw_only=True):
    """What became of the records of one read: ``n_records`` messages; readings, ignored and rejected inside them."""

    n_records: int = 0
    n_readings: int = 0
    n_ignored: int = 0
    n_rejected_by_reason: dict[str, int] = {}
    n_unmapped_by_metric: dict[str, int] = {}

    def add(self, n_records: int, run: DecodedRun) -> None:
        """Count the messages of a run, and what they hold."""
        self.n_records += n_records
        self.n_readings += run.n_readings + run.n_merged
        self.n_ignored += run.n_ignored
        for metric, n in run.unmapped.items():
            self.n_unmapped_by_metric[metric] = self.n_unmapped_by_metric.get(metric, 0) + n
        for _, decoded in run.refused:
            for rejection in decoded.rejections:
                reason = rejection.reason.value
                self.n_rejected_by_reason[reason] = self.n_rejected_by_reason.get(reason, 0) + 1


class ReadOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one read did: ``n_read`` records are done; after a ``chunk_end`` the rest waits for :meth:`SourceReader.begin_chunk`."""

    n_read: int
    outputs: list[OutRecord]
    chunk_end: ChunkEnd | None
    counts: ReadCounts


class SourceReader:
    """The owner's state of one source partition.

    Its only durable state is the committed offset, with the watermark and the epoch beside it: all else is read again.
    The shell sees to it that a chunk's commit follows the acknowledgement of all its outputs, and that only then the
    next chunk begins.

    Parameters
    ----------
    config
        What decides the content of the chunk at hand.
    params
        When to speak.
    source
        ``topic/partition``.
    epoch
        Raised when the topic was created anew.
    position
        Committed offset: where the chunk begins, and its name.
    watermark_ms
        As committed; ``None`` when nothing was.

    """

    def __init__(
        self,
        *,
        config: IngestConfig,
        params: SourceParams,
        source: str,
        epoch: int,
        position: int,
        watermark_ms: int | None,
    ) -> None:
        self.position = position
        self._params = params
        self._source = source
        self._topic = source.rsplit("/", 1)[0]
        self._epoch = epoch
        self._watermark_ms = watermark_ms
        self._sent_watermark_ms = watermark_ms
        self._idle_in: int | None = None
        self._flushed_ms: int | None = None
        self._is_over = False
        self._series = SeriesIndex(config.max_text_length)
        self._limits: Counter[Bound] = Counter()
        self._open_chunk(config)

    def read(self, records: Sequence[InRecord], owner: Owner) -> ReadOutcome:
        """Fold records in, up to the end of the chunk.

        A record below ``position`` is in already, and is passed over.

        Raises
        ------
        ValueError
            If the chunk is over and :meth:`begin_chunk` was not called.

        """
        if self._is_over:
            raise ValueError(f"the chunk {self._chunk} of {self._source} is over: begin the next one before reading on")
        run = InRecords.of(records)
        first = int(np.searchsorted(run.offsets, self.position))
        end = first + records_before_end(
            self._config, n_records=self._n_records, began_ms=self._began_ms, timestamps_ms=run.timestamps_ms[first:]
        )
        counts = ReadCounts()
        outputs, n_taken = self._take(run[first:end], owner, counts) if end > first else ([], 0)
        end = first + n_taken
        if end == len(run):
            if self._is_flush_due(owner.now_ms, self._watermark_ms):
                outputs += self._flush(owner, watermark_ms=self._watermark_ms)
            return ReadOutcome(n_read=end, outputs=outputs, chunk_end=None, counts=counts)
        next_offset = int(run.offsets[end])
        self._is_over, self.position = True, next_offset
        if self._fold.has_too_many_services:
            self._limits[Limit.SERVICES] += 1
        outputs += self._flush(owner, watermark_ms=self._watermark_ms, whole=True)
        chunk_end = ChunkEnd(next_offset=next_offset, watermark_ms=self._watermark_ms, epoch=self._epoch)
        return ReadOutcome(n_read=end, outputs=outputs, chunk_end=chunk_end, counts=counts)

    def begin_chunk(self, config: IngestConfig) -> None:
        """Begin the next chunk where the one before ended, now that its end is committed; a new config takes effect."""
        self._open_chunk(config)

    def pass_over(self, next_offset: int) -> None:
        """Note that the log holds no record before ``next_offset`` any more: offsets of transaction marks, or a hole."""
        self.position = max(self.position, next_offset)

    def tick(self, owner: Owner) -> list[OutRecord]:
        """Return what is due by the clock; between reads, about four times a second."""
        if self._is_over:
            return []
        idle_for_ms = owner.now_ms - owner.heard_ms
        watermark_ms = self._watermark_ms
        was_never_heard = watermark_ms is None  # an empty partition: nobody has to wait until it has been silent for a while
        idle = owner.is_caught_up and (was_never_heard or idle_for_ms > self._params.idle_ms)
        if idle and watermark_ms is not None:
            watermark_ms = self._capped(watermark_ms + idle_for_ms, owner.now_ms)
        is_news = idle and self._idle_in != owner.generation  # others wait for it until they hear of it
        if not is_news and not self._is_flush_due(owner.now_ms, watermark_ms):
            return []
        return self._flush(owner, watermark_ms=watermark_ms, idle=idle, whole=idle)

    @property
    def max_batch_bytes(self) -> int:
        """What record batches of the chunk at hand are held to when they are decompressed, bytes."""
        return self._config.max_batch_bytes

    @property
    def holds_back(self) -> bool:
        """Whether something is folded in that no flush has carried yet, because its window is not over."""
        return bool(self._fold.dirty)

    def rest(self, owner: Owner) -> list[OutRecord]:
        """Return a flush of all that is held back: the log that it is of is gone, and will not be read again."""
        return self._flush(owner, watermark_ms=self._watermark_ms, whole=True) if self.holds_back else []

    def take_limits(self) -> Counter[Bound]:
        """Return how often limits were reached since the last call, as of the last flush."""
        taken, self._limits = self._limits, Counter()
        return taken

    def _open_chunk(self, config: IngestConfig) -> None:
        if config.max_text_length != self._series.max_text_length:
            self._series = SeriesIndex(config.max_text_length)
        self._config = config
        self._config_hash = config.hash
        self._chunk = self.position
        self._n_records = 0
        self._began_ms: int | None = None
        self._is_over = False
        self._fold = ChunkFold(config, self._series)
        self._reached = ReachedLimits(config)

    def _take(self, run: InRecords, owner: Owner, counts: ReadCounts) -> tuple[list[OutRecord], int]:
        """Fold records in that the chunk has room for, and return the dead letters among them, and how many that were.

        The chunk is over before the first record that finds it full of partials, or of services where that ends it. A run that
        may fill it goes in halves.
        """
        if self._series.is_full:
            self._series = SeriesIndex(self._config.max_text_length)
            self._fold.use(self._series)
        room = self._config.chunk_partials - len(self._fold.partials)
        if self._is_full(room) and self._n_records:
            return [], 0
        if 1 < len(run) >= room:
            return self._take_halves(run, owner, counts)
        decoded = decode_run(self._config, self._topic, run, self._series)
        may_fill = decoded.n_readings + len(decoded.sampled) >= room or self._fold.would_end(decoded.requests, decoded.others)
        if len(run) > 1 and may_fill:
            return self._take_halves(run, owner, counts)
        counts.add(len(run), decoded)
        self._fold.add(decoded.requests, decoded.others)
        self._fold.add_sampled(decoded.sampled)
        self._note_read(run, owner)
        return self._letters(run, decoded), len(run)

    def _is_full(self, room: int) -> bool:
        return room <= 0 or self._fold.has_too_many_services

    def _take_halves(self, run: InRecords, owner: Owner, counts: ReadCounts) -> tuple[list[OutRecord], int]:
        half = len(run) // 2
        letters, n_taken = self._take(run[:half], owner, counts)
        if n_taken < half:
            return letters, n_taken
        more, n_more = self._take(run[half:], owner, counts)
        return letters + more, half + n_more

    def _note_read(self, run: InRecords, owner: Owner) -> None:
        if self._began_ms is None:
            self._began_ms = int(run.timestamps_ms[0])
        self._n_records += len(run)
        self.position = int(run.offsets[-1]) + 1
        time_ms = self._capped(int(run.timestamps_ms.max()), owner.now_ms)
        if self._watermark_ms is None or time_ms > self._watermark_ms:
            self._watermark_ms = time_ms

    def _letters(self, run: InRecords, decoded: DecodedRun) -> list[OutRecord]:
        return [
            letter_of(source=self._source, record=run[at], decoded=refused, config=self._config, config_hash=self._config_hash)
            for at, refused in decoded.refused
        ]

    def _capped(self, time_ms: int, now_ms: int) -> int:
        return min(time_ms, now_ms) if self._params.caps_watermark else time_ms

    def _is_flush_due(self, now_ms: int, watermark_ms: int | None) -> bool:
        if self._flushed_ms is None or now_ms - self._flushed_ms >= self._params.header_ms:
            return True
        if not self._fold.dirty or watermark_ms is None:
            return False
        return self._windows_over(watermark_ms) > self._windows_over(self._sent_watermark_ms)

    def _windows_over(self, watermark_ms: int | None) -> int:
        """Return how many base windows since the epoch are over at this watermark, their delay included."""
        return -1 if watermark_ms is None else (watermark_ms - self._params.delay_ms) // BASE_SIZE_MS

    def _flush(self, owner: Owner, *, watermark_ms: int | None, idle: bool = False, whole: bool = False) -> list[OutRecord]:
        """Return a header for every target, with the partials of windows that are over at this watermark; or with all.

        A window that is not over cannot close: the watermark of its target is no higher, unless this source is idle. So
        what it holds waits, because it would only be replaced; and goes when its chunk ends, or the source becomes idle.
        """
        header = Bundle(
            source=self._source,
            epoch=self._epoch,
            chunk=self._chunk,
            through=self.position - 1,
            watermark_ms=watermark_ms,
            idle=idle,
            generation=owner.generation,
            config=self._config_hash,
            partitions=owner.partitions,
        )
        dirty = self._fold.dirty
        due = list(dirty) if whole else [key for key in dirty if self._is_over_at(key, watermark_ms)]
        records = bundle_records(
            header,
            [self._fold.partials[key] for key in due],
            n_targets=owner.n_targets,
            max_bundle_bytes=self._params.max_bundle_bytes,
            sent_watermark_ms=self._sent_watermark_ms,
        )
        self._limits += self._reached.news(self._fold.partials, due, self._fold.services)
        for key in due:
            del dirty[key]
        self._sent_watermark_ms = watermark_ms
        self._idle_in = owner.generation if idle else None
        self._flushed_ms = owner.now_ms
        return records

    def _is_over_at(self, key: PartialKey, watermark_ms: int | None) -> bool:
        _, start_ms, size_ms = key
        return watermark_ms is not None and start_ms + size_ms + self._params.delay_ms <= watermark_ms
