"""The ingest agent: a Faust shell around one reader per telemetry partition."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.outbox import Outbox
from pipeline.adapters.transport import Batch, batches
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.limits import Bound
from pipeline.contracts.records import OutRecord
from pipeline.errors import StateError
from pipeline.ingest.source import ChunkEnd, Owner, ReadCounts, SourceParams, SourceReader

SLICE = 16_384
"""Records folded before the event loop may do something else (some tens of milliseconds)."""
_POLL_S = 0.05


class ChunkMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a commit's metadata says of the chunk that begins at its offset."""

    config: str
    epoch: int = 0
    watermark_ms: int | None = None


class Consumer(Protocol):
    """What the transport knows about a partition."""

    def assigned(self) -> set[tuple[str, int]]:
        """Return the telemetry partitions that this worker owns now."""
        ...

    def generation(self) -> int:
        """Return the consumer group's generation."""
        ...

    def is_caught_up(self, topic: str, partition: int) -> bool:
        """Tell whether everything in the partition has been delivered."""
        ...

    async def seek(self, topic: str, partition: int, *, max_batch_bytes: int | None = None) -> None:
        """Read the partition again from where the ledger stands, its record batches held to ``max_batch_bytes`` if that is said."""
        ...


class Observer(Protocol):
    """What the shell tells about itself."""

    def ingested(self, topic: str, counts: ReadCounts) -> None:
        """Records were read and their readings folded or rejected."""
        ...

    def published(self, record: OutRecord) -> None:
        """A record was queued."""
        ...

    def bounds_reached(self, topic: str, counts: Mapping[Bound, int]) -> None:
        """Limits of a chunk were reached so often, since this was said last."""
        ...

    def chunk_finished(self, topic: str, partition: int) -> None:
        """A chunk was acknowledged and may be committed."""
        ...

    def discontinued(self, topic: str, partition: int, expected: int, got: int) -> None:
        """A batch did not go on from where the reader stands, and is read again."""
        ...


@dataclass(slots=True)
class _Owned:
    """One telemetry partition that this worker owns."""

    reader: SourceReader
    outbox: Outbox
    heard_ms: int
    config_hash: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class IngestShell:
    """One reader per owned telemetry partition; commits at chunk ends only, by way of the ledger."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        consumer: Consumer,
        outbox: Callable[[], Outbox],
        config: IngestConfig,
        configs: Mapping[str, IngestConfig],
        read_configs: Callable[[], Awaitable[Mapping[str, IngestConfig]]],
        params: SourceParams,
        partitions: Callable[[], dict[str, int]],
        n_targets: int,
        now_ms: Callable[[], int],
        observer: Observer,
    ) -> None:
        self._ledger = ledger
        self._consumer = consumer
        self._outbox = outbox
        self._config = config
        self._configs = {**configs, config.hash: config}
        self._read_configs = read_configs
        self._params = params
        self._partitions = partitions
        self._n_targets = n_targets
        self._now_ms = now_ms
        self._observer = observer
        self._owned: dict[tuple[str, int], _Owned] = {}
        self._refused: dict[tuple[str, int], int] = {}
        self._seeking: set[tuple[str, int]] = set()

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the next offset to fold, by owned (topic, partition)."""
        return {tp: owned.reader.position for tp, owned in self._owned.items()}

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        """Forget partitions: their next owner begins where the ledger was committed."""
        for tp in partitions:
            self._owned.pop(tp, None)
            self._refused.pop(tp, None)

    async def on_batch(self, batch: Batch) -> None:
        """Fold a fetched batch in, chunk by chunk."""
        tp = (batch.topic, batch.partition)
        if not self._ledger.owns(tp):
            return  # fetched before the partition was given up
        if self._ledger.standing(tp) is None:  # no commit yet: the log's beginning is where the first chunk begins
            self._ledger.began(tp, Standing(batch.begins_at, ""))
            self._owned.pop(tp, None)
        await self._learn(tp)
        if not self._ledger.owns(tp):
            return
        owned = self._owned.get(tp) or self._take_over(tp)
        async with owned.lock:
            if self._owned.get(tp) is not owned:
                return
            if batch.begins_at != owned.reader.position:
                refound = await self._found_again(tp, owned, batch)
                if refound is None:
                    # perhaps the log holds what was read no more: what is held back would be in no bundle
                    await self._publish(tp[0], owned, owned.reader.rest(self._owner(tp, owned)))
                    await owned.outbox.acknowledged()
                    self._observer.discontinued(*tp, owned.reader.position, batch.begins_at)
                    await self._read_again(tp)
                    return
                owned = refound
            if await self._is_held_otherwise(tp, owned, batch):
                return
            if self._owned.get(tp) is owned:
                await self._fold(tp, owned, batch)

    async def tick(self) -> None:
        """Send headers, so that watermarks go on without data."""
        for tp in self._consumer.assigned():
            if not self._ledger.owns(tp) or tp in self._seeking:
                continue  # assigned, but not taken over yet
            await self._learn(tp)
            if not self._ledger.owns(tp):
                continue
            owned = self._owned.get(tp) or self._take_over(tp)
            if not owned.lock.locked():
                async with owned.lock:
                    await self._publish(tp[0], owned, owned.reader.tick(self._owner(tp, owned)))

    async def _learn(self, tp: tuple[str, int]) -> None:
        """Read the configurations again when a newer worker has left a chunk that begins under one we do not know."""
        if tp not in self._owned and _mark(self._ledger.standing(tp), self._config).config not in self._configs:
            self._configs.update(await self._read_configs())

    def _take_over(self, tp: tuple[str, int]) -> _Owned:
        standing = self._ledger.standing(tp)
        mark = _mark(standing, self._config)
        owned = self._owned[tp] = self._begin(tp, standing.next_offset if standing else 0, mark)
        return owned

    def _begin(self, tp: tuple[str, int], position: int, mark: ChunkMark) -> _Owned:
        config = self._configs.get(mark.config)
        if config is None:
            raise StateError(
                f"{tp[0]}/{tp[1]}: the chunk at offset {position} was begun with ingest configuration {mark.config}, "
                "which is not on tocsin.config: restore that topic, or reset the consumer group's offsets"
            )
        reader = SourceReader(
            config=config,
            params=self._params,
            source=f"{tp[0]}/{tp[1]}",
            epoch=mark.epoch,
            position=position,
            watermark_ms=mark.watermark_ms,
        )
        return _Owned(reader=reader, outbox=self._outbox(), heard_ms=self._now_ms(), config_hash=mark.config)

    async def _found_again(self, tp: tuple[str, int], owned: _Owned, batch: Batch) -> _Owned | None:
        """Return an owner that goes on at the batch when the log itself offers nothing else; ``None``: seek first."""
        if self._refused.get(tp) != batch.begins_at:
            self._refused[tp] = batch.begins_at
            return None
        standing = self._ledger.standing(tp)
        if standing is not None and standing.next_offset < owned.reader.position < batch.begins_at:
            return owned  # a hole inside the chunk: no reason to cut it here
        mark = _mark(standing, self._config)
        if batch.begins_at < owned.reader.position:  # the topic was created anew
            mark = ChunkMark(config=self._config.hash, epoch=mark.epoch + 1)
        again = self._owned[tp] = self._begin(tp, batch.begins_at, mark)
        again.lock = owned.lock
        self._ledger.begin_anew(tp, Standing(batch.begins_at, msgspec.json.encode(mark).decode()))
        await self._until_committed(tp)  # else whoever comes next may take what was begun here for something old
        return again

    async def _until_committed(self, tp: tuple[str, int]) -> None:
        while self._ledger.owns(tp) and not self._ledger.is_committed(tp):  # noqa: ASYNC110 - Faust commits, and tells nobody
            await asyncio.sleep(_POLL_S)

    async def _fold(self, tp: tuple[str, int], owned: _Owned, batch: Batch) -> None:
        done, reader = 0, owned.reader
        if batch.records:
            owned.heard_ms = self._now_ms()
        while done < len(batch.records):
            outcome = reader.read(batch.records[done : done + SLICE], self._owner(tp, owned))
            done += outcome.n_read
            self._observer.ingested(batch.topic, outcome.counts)
            await self._publish(batch.topic, owned, outcome.outputs)
            if outcome.chunk_end is not None:
                await self._finish(tp, owned, outcome.chunk_end)
                if self._owned.get(tp) is not owned or await self._is_held_otherwise(tp, owned, batch):
                    return
            await asyncio.sleep(0)
        reader.pass_over(batch.next_offset)
        if self._refused.get(tp, reader.position) < reader.position:
            del self._refused[tp]  # what was refused has been read since, so that it may be refused again

    async def _is_held_otherwise(self, tp: tuple[str, int], owned: _Owned, batch: Batch) -> bool:
        """Tell whether a batch was decompressed under another limit than its chunk's; it is read again then, under that."""
        limit = owned.reader.max_batch_bytes
        if batch.max_batch_bytes is None or batch.max_batch_bytes == limit:
            return False
        await self._read_again(tp, limit)
        return True

    async def _read_again(self, tp: tuple[str, int], max_batch_bytes: int | None = None) -> None:
        """Go back to where the ledger stands; until that is done a partition may look as if all of it were read."""
        self._owned.pop(tp, None)
        self._seeking.add(tp)
        try:
            await self._consumer.seek(*tp, max_batch_bytes=max_batch_bytes)
        finally:
            self._seeking.discard(tp)

    async def _finish(self, tp: tuple[str, int], owned: _Owned, end: ChunkEnd) -> None:
        await owned.outbox.acknowledged()
        mark = ChunkMark(config=self._config.hash, epoch=end.epoch, watermark_ms=end.watermark_ms)
        if self._owned.get(tp) is owned:
            self._ledger.finish(tp, end.next_offset, msgspec.json.encode(mark).decode())
            if owned.config_hash != self._config.hash:
                await self._until_committed(tp)  # a successor with another configuration must not cut differently from here
                owned.config_hash = self._config.hash
            owned.reader.begin_chunk(self._config)
            self._observer.chunk_finished(*tp)

    async def _publish(self, topic: str, owned: _Owned, outputs: list[OutRecord]) -> None:
        limits = owned.reader.take_limits()
        if limits:
            self._observer.bounds_reached(topic, limits)
        await owned.outbox.send(outputs)
        for output in outputs:
            self._observer.published(output)

    def _owner(self, tp: tuple[str, int], owned: _Owned) -> Owner:
        return Owner(
            now_ms=self._now_ms(),
            generation=self._consumer.generation(),
            is_caught_up=self._consumer.is_caught_up(*tp),
            heard_ms=owned.heard_ms,
            partitions=self._partitions(),
            n_targets=self._n_targets,
        )


def _mark(standing: Standing | None, config: IngestConfig) -> ChunkMark:
    """Return what the commit says of the next chunk; a broker that drops metadata (Tansu) leaves our own config."""
    if standing is None or not standing.metadata:
        return ChunkMark(config=config.hash)
    try:
        return msgspec.json.decode(standing.metadata, type=ChunkMark)
    except msgspec.DecodeError as problem:
        raise StateError(f"commit metadata is not ours: {standing.metadata!r}: {problem}") from problem


async def run(stream: Any, shell: IngestShell) -> None:
    """Feed the shell from a Faust stream of batches."""
    async for event in batches(stream):
        await shell.on_batch(event.message.value)
