"""The consumer: hands bulk partitions over in batches, commits them by the ledger, and never delivers what a seek overtook."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, cast

from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as stock
from faust.types import TP, ConsumerMessage, Message
from faust.types.transports import TPorTopicSet

from pipeline.adapters import clock
from pipeline.adapters.ledger import Standing
from pipeline.adapters.transport.batches import MAX_WAITING, Batch, Taken, as_batch
from pipeline.adapters.transport.reading import BulkReading, reading_of
from pipeline.adapters.transport.thread import BulkConsumerThread

IDLE_S = 0.05
"""Pause when no partition may be read."""
HELD_WAIT_S = 0.02
"""Longest wait for other partitions while one is held back: its agent may take the next batch any moment."""
TAKE_WAIT_S = 0.5
FRESH_MS = 2_000
"""So long an answer to a fetch tells the log's end: a worker that was frozen is not caught up until it has asked again."""
HEARD_MS = 10_000
"""A fetch is answered within FETCH_MAX_WAIT_MS, data or not; one that is not for so long is no longer asked."""
LAST_COMMIT_S = 3.0
"""Longest wait for the commit before partitions are given up: without it, work is only repeated."""


class BulkConsumer(stock.Consumer):
    """Faust's consumer; topics that are not bulk topics go their stock way, but for the two remedies (docs/adr/0003)."""

    _thread: BulkConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reading: BulkReading = reading_of(self.app)  # type: ignore[arg-type] # AppT is the abstract side of App
        self._expected: dict[TP, int | None] = {}

    def _new_consumer_thread(self) -> BulkConsumerThread:
        return BulkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def is_bulk(self, tp: TP) -> bool:
        """Tell whether a partition is read in batches."""
        return tp.topic in self.reading.topics

    # --- reading

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's signature
        """Yield what was fetched of the active partitions: batches of bulk topics, single messages of others."""
        self._thread.in_hand = frozenset()
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type] # mode's stubs want its own Event
        # Frozen: the live set turns empty in mid-call, and the fetcher takes empty for "all" (second remedy).
        active = frozenset(self._get_active_partitions())
        held = frozenset(tp for tp in active if self.is_bulk(tp) and self.n_waiting(tp) >= MAX_WAITING)
        taken = await self._thread.take(active - held, HELD_WAIT_S if held else min(timeout, TAKE_WAIT_S))
        if not taken:
            if not active - held:
                await self.sleep(HELD_WAIT_S if held else IDLE_S)
            return
        for run in taken:
            if self.is_bulk(run.tp) and await self._is_deliverable(run.tp, run.begins_at, run.n_seeks):
                self._note_delivery(run)
                yield run.tp, cast(Message, self._batch_message(run))
        async for tp, message in self._stock_messages([run for run in taken if not self.is_bulk(run.tp)]):
            yield tp, message
        self._thread.in_hand = frozenset()

    async def _stock_messages(self, taken: list[Taken]) -> AsyncIterator[tuple[TP, Message]]:
        runs = {run.tp: run for run in taken}
        for run in taken:
            if run.n_seeks == self._thread.n_seeks(run.tp):
                self._note_delivery(run)
        for tp, record in self.scheduler.iterate({run.tp: list(run.records) for run in taken}):
            if await self._is_deliverable(tp, record.offset, runs[tp].n_seeks):
                self._admit(tp, record.offset)
                yield tp, cast(Message, self._to_message(tp, record))

    async def _is_deliverable(self, tp: TP, offset: int, n_seeks: int) -> bool:
        """Tell whether what was taken may still be delivered; what may not, and is not sought anyway, is put back."""
        if self.should_stop or not self.flow_active:  # a rebalance, which ends with a seek, or the end
            return False
        if n_seeks != self._thread.n_seeks(tp):
            return False
        if tp in self._get_active_partitions() or tp in self._buffered_partitions:
            return True
        await self._thread.put_back(tp, offset, n_seeks)  # paused in the meantime: it would be lost
        self._expected[tp] = offset
        return False

    def _admit(self, tp: TP, offset: int) -> None:
        """Let a record pass Faust's own check, which a seek during a delivery misleads: it sets the read offset up again."""
        read_offset = self._read_offset[tp]
        if read_offset is not None and offset < read_offset:
            self._read_offset[tp] = offset

    def _note_delivery(self, run: Taken) -> None:
        expected = self._expected.get(run.tp)
        if expected is not None and expected != run.begins_at:
            self.reading.note_jump(run.tp, expected, run.begins_at)
        self._expected[run.tp] = run.next_offset
        self.app.monitor.track_tp_end_offset(run.tp, run.high_watermark)

    def _batch_message(self, run: Taken) -> ConsumerMessage:
        # Faust drops what is below its read offset; whether a batch is stale has been decided already.
        self._read_offset[run.tp] = run.begins_at
        timestamp_ms = run.records[-1].timestamp_ms if run.records else 0
        return ConsumerMessage(
            run.tp.topic,
            run.tp.partition,
            run.begins_at,
            timestamp_ms / 1000,
            0,
            [],
            None,
            as_batch(run),  # type: ignore[arg-type] # a batch where Faust has bytes: bulk_topic() passes it on untouched
            None,
            -1,
            -1,
            run.tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _queues(self, tp: TP) -> Iterator[asyncio.Queue[Any]]:
        return (channel.queue for channel in self.app.topics._tp_index.get(tp, ()))  # type: ignore[attr-defined] # noqa: SLF001 - Conductor's

    def n_waiting(self, tp: TP) -> int:
        """Return how many of a partition's messages wait for their agents."""
        return sum(event.message.tp == tp for queue in self._queues(tp) for event in queue._queue)  # type: ignore[attr-defined] # noqa: SLF001 - no public way to look

    # --- seeking

    async def perform_seek(self) -> None:
        """Seek all stream partitions to the group's commits, and let the ledger begin there."""
        tps = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        if not tps:
            return
        for tp, commit in (await self._thread.seek_to_commits(tps)).items():
            offset = None if commit is None else commit.offset
            self._read_offset[tp] = offset or None
            self._committed_offset[tp] = offset or None
            self._expected[tp] = offset
            if self.is_bulk(tp):
                self.reading.ledger.began(tp, None if commit is None else Standing(commit.offset, commit.metadata))

    async def seek_to_standing(self, tp: TP) -> bool:
        """Read a bulk partition again from where the ledger stands; what waits of it is dropped.

        Returns whether the partition is still assigned.
        """
        standing = self.reading.ledger.standing(tp)
        offset = None if standing is None else standing.next_offset
        if not await self._thread.seek_to(tp, offset):
            return False
        self._expected[tp] = offset
        self._drop_stale(tp)
        return True

    def _drop_stale(self, tp: TP) -> None:
        n_seeks = self._thread.n_seeks(tp)
        for queue in self._queues(tp):
            waiting = queue._queue  # type: ignore[attr-defined] # noqa: SLF001 - as FlowControlQueue.clear does
            kept = [event for event in waiting if event.message.tp != tp or _n_seeks(event.value) == n_seeks]
            waiting.clear()
            waiting.extend(kept)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._expected.pop(ensure_TP(partition), None)
        await super()._seek(partition, offset)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek partitions (Faust does so with changelogs), and expect nothing in particular."""
        for tp in partitions:
            self._expected.pop(ensure_TP(tp), None)
        await super().seek_wait(partitions)

    # --- committing

    def _filter_tps_with_pending_acks(self, topics: TPorTopicSet | None = None) -> Iterator[TP]:
        for tp in super()._filter_tps_with_pending_acks(topics):
            if not self.is_bulk(tp):
                yield tp
        for due in self.reading.ledger.due():
            tp = TP(*due)
            if self.is_bulk(tp) and (topics is None or tp in topics or tp.topic in topics):
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        if not self.is_bulk(tp):
            return super()._new_offset(tp)
        standing = self.reading.ledger.standing(tp)
        return None if standing is None else standing.next_offset

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return self.is_bulk(tp) or super()._should_commit(tp, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        ledger = self.reading.ledger
        standings = {tp: ledger.standing(tp) or Standing(offset) for tp, offset in offsets.items() if self.is_bulk(tp)}
        commits = {tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        commits |= {tp: OffsetAndMetadata(standing.next_offset, standing.metadata) for tp, standing in standings.items()}
        if not await self._thread.commit_marks(commits):
            return False
        for tp, standing in standings.items():
            ledger.committed(tp, standing)
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what the ledger holds, then give the partitions up."""
        bulk = {tp for tp in revoked if self.is_bulk(tp)}
        if bulk:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._commit_last(bulk), LAST_COMMIT_S)
        for tp in bulk:
            self.reading.ledger.forget(tp)
        for tp in revoked:
            self._expected.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def _commit_last(self, tps: set[TP]) -> None:
        await self.maybe_wait_for_commit_to_finish()
        await self.force_commit(cast(TPorTopicSet, tps))

    async def verify_all_partitions_active(self) -> None:
        """Leave stalls to our own health (adapters/health.py): Faust's check crashes while a partition waits for an offset."""

    # --- asked by agents and metrics

    def position_now(self, tp: TP) -> int | None:
        """Return the fetch position, as known here."""
        return self._thread.position_now(tp)

    def high_watermark_now(self, tp: TP) -> int | None:
        """Return the end of the log, as told with the last fetch."""
        return self._thread.high_watermark_now(tp)

    def is_heard(self, tp: TP) -> bool:
        """Tell whether the broker has answered a fetch of a partition lately; its end is old news otherwise."""
        heard_ms = self._thread.heard_ms(tp)
        return heard_ms is not None and clock.now_ms() - heard_ms <= HEARD_MS

    def is_caught_up(self, tp: TP) -> bool:
        """Tell whether all of a partition has been fetched and handed to its agent."""
        position, end, heard_ms = self.position_now(tp), self.high_watermark_now(tp), self._thread.heard_ms(tp)
        if position is None or end is None or heard_ms is None or clock.now_ms() - heard_ms > FRESH_MS:
            return False
        return position >= end and tp not in self._thread.in_hand and self.n_waiting(tp) == 0

    def is_current(self, batch: Batch) -> bool:
        """Tell whether a batch was taken after the last seek of its partition."""
        return batch.n_seeks == self._thread.n_seeks(TP(batch.topic, batch.partition))

    def reached(self, tp: TP, folded: int | None) -> int | None:
        """Return how far a partition is done, of which all before ``folded`` is folded."""
        fetched, delivered = self.position_now(tp), self._expected.get(tp)
        if fetched is None or tp in self._thread.in_hand or (delivered is not None and (folded or 0) < delivered):
            return folded
        return max(folded or 0, fetched)


def _n_seeks(value: object) -> int | None:
    return value.n_seeks if isinstance(value, Batch) else None
