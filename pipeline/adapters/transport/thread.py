"""The consumer's own thread: takes runs out of the fetcher, seeks, and commits with metadata; each seek is counted."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from time import monotonic
from typing import Any, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import ensure_TP, ensure_TPset
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from pipeline.adapters.transport.batches import MAX_BYTES, MAX_RECORDS, Taken, take_run
from pipeline.adapters.transport.reading import reading_of

FETCH_MAX_WAIT_MS = 100
"""Faust has 1500 in its code: 400 ms of latency on Tansu, and longer rebalances on Kafka (design.md, section 5)."""
FETCH_MAX_BYTES = 16 * 1024 * 1024
"""Of one answer of a broker, all partitions together; 50 MiB, the default, are fresh pages from the kernel at every fetch."""
SHUTDOWN_TIMEOUT_S = 4.0
"""Without a broker a worker takes a minute to stop with Faust's 60."""
STOCK_RECORDS = 4_096
"""Single messages that one take brings at most, when Faust's ``broker_max_poll_records`` does not say."""
_REASSIGNING_S = 0.05


class BulkConsumerThread(stock.AIOKafkaConsumerThread):
    """Faust's consumer thread, with atomic takes and seeks.

    Everything that is called in the thread's loop between two awaits is atomic towards takes and seeks. So a take that
    carries the number of seeks that went before it can be told to be stale by comparing two numbers, wherever it is.
    """

    shutdown_timeout = SHUTDOWN_TIMEOUT_S

    def __post_init__(self) -> None:
        super().__post_init__()
        self._seeks: Counter[TP] = Counter()
        self.in_hand: frozenset[TP] = frozenset()
        """Partitions whose position may be past what was delivered: set before it moves, emptied by whoever has delivered."""
        self._reading = reading_of(self.app)  # type: ignore[arg-type] # AppT is the abstract side of App

    def n_seeks(self, tp: TP) -> int:
        """Return how often a partition has been sought."""
        return self._seeks[tp]

    def _create_worker_consumer(self, transport: stock.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001 - read by consumer.start(), after this
        consumer._fetch_max_bytes = FETCH_MAX_BYTES  # noqa: SLF001 - likewise
        return consumer

    # --- taking

    async def take(self, wanted: frozenset[TP], wait_s: float) -> list[Taken]:
        """Return what the fetcher has of the wanted partitions; waits up to ``wait_s`` seconds for something."""
        return cast(list[Taken], await self.call_thread(self._take, wanted, wait_s))

    async def _take(self, wanted: frozenset[TP], wait_s: float) -> list[Taken]:
        consumer = self._untyped()
        fetcher = consumer._fetcher  # noqa: SLF001 - the driver's own fetcher is what it drives
        until = monotonic() + wait_s
        while self.consumer.flow_active:
            if consumer._closed or fetcher._closed:  # noqa: SLF001
                raise ConsumerStoppedError
            if consumer._coordinator is not None:  # noqa: SLF001
                consumer._coordinator.check_errors()  # noqa: SLF001 - a refused group must not idle without a word
            if not wanted:
                return []
            if fetcher._subscriptions.reassignment_in_progress:  # noqa: SLF001
                await asyncio.sleep(_REASSIGNING_S)
                return []
            with fetcher._subscriptions.fetch_context():  # noqa: SLF001
                taken = self._take_now(fetcher, wanted)
                self.in_hand = frozenset(run.tp for run in taken)
                remaining = until - monotonic()
                if taken or remaining <= 0:
                    return taken
                waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
                done, _ = await asyncio.wait([waiter], timeout=remaining)
            if not done:
                waiter.cancel()
                return []
            waiter.result()  # raises what the coordinator has against us
        return []

    def _take_now(self, fetcher: Any, wanted: frozenset[TP]) -> list[Taken]:
        """Do what ``Fetcher.fetched_records`` does with what is there, and note positions and the number of seeks."""
        taken: list[Taken] = []
        self.in_hand = wanted & {ensure_TP(aiotp) for aiotp in fetcher._records}  # noqa: SLF001 - an empty one stays where it is
        left: int = self._untyped()._max_poll_records or STOCK_RECORDS  # noqa: SLF001
        for aiotp in list(fetcher._records):  # noqa: SLF001
            tp = ensure_TP(aiotp)
            if tp not in wanted:
                if not fetcher._subscriptions.is_assigned(aiotp):  # noqa: SLF001
                    del fetcher._records[aiotp]  # noqa: SLF001
                continue
            result = fetcher._records[aiotp]  # noqa: SLF001
            if isinstance(result, FetchError):
                if not taken:  # else it is raised by the next call
                    self._drop(fetcher, aiotp)
                    result.check_raise()
                return taken
            state = result._assignment.state_value(aiotp)  # noqa: SLF001
            begins_at = state.position if state is not None and state.has_valid_position else None
            limit = self._reading.batch_limit(tp)
            if tp.topic in self._reading.topics:
                records = take_run(tp, result, max_records=MAX_RECORDS, max_bytes=MAX_BYTES, max_batch_bytes=limit)
            elif left > 0:
                records = result.getall(left)
                left -= len(records)
            else:
                continue
            if not result.has_more():
                self._drop(fetcher, aiotp)
            if begins_at is None or not state.has_valid_position or state.position == begins_at:
                continue
            taken.append(Taken(tp, records, begins_at, state.position, state.highwater or 0, self._seeks[tp], limit))
        return taken

    def _drop(self, fetcher: Any, aiotp: Any) -> None:
        del fetcher._records[aiotp]  # noqa: SLF001
        fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001 - it may fetch there again

    # --- seeking

    async def seek_to(self, tp: TP, offset: int | None) -> bool:
        """Seek a partition, to where the reset policy says for ``None``; tell whether it was still assigned."""
        return cast(bool, await self.call_thread(self._seek_to, tp, offset, None))

    async def put_back(self, tp: TP, offset: int, n_seeks: int) -> None:
        """Read again from ``offset`` what was taken and cannot be delivered, unless it was sought since."""
        await self.call_thread(self._seek_to, tp, offset, n_seeks)

    async def _seek_to(self, tp: TP, offset: int | None, only_if_n_seeks: int | None) -> bool:
        if only_if_n_seeks is not None and self._seeks[tp] != only_if_n_seeks:
            return False
        if tp not in self.assignment():
            return False
        self._seek_now({tp: offset})
        return True

    async def _seek_wait(self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        for tp in partitions:
            self._seeks[ensure_TP(tp)] += 1
        await super()._seek_wait(consumer, partitions)

    def seek(self, partition: TP, offset: int) -> None:
        """Seek, from whatever thread, as the stock driver does."""
        self._seeks[ensure_TP(partition)] += 1
        super().seek(partition, offset)

    def _seek_now(self, offsets: Mapping[TP, int | None]) -> None:
        fetcher = self._untyped()._fetcher  # noqa: SLF001
        unknown = []
        for tp, offset in offsets.items():
            self._seeks[tp] += 1
            if offset is None:
                unknown.append(stock.ensure_aiokafka_TP(tp))
            else:
                fetcher.seek_to(stock.ensure_aiokafka_TP(tp), offset)
        if unknown:  # gathers futures that nobody has to wait for: the fetcher does
            fetcher.request_offset_reset(unknown, fetcher._default_reset_strategy)  # noqa: SLF001

    # --- committed offsets

    async def seek_to_commits(self, tps: Collection[TP]) -> dict[TP, OffsetAndMetadata | None]:
        """Seek partitions to the group's commits, all at the same moment, and return these; ``None``: there is none."""
        return cast(dict[TP, OffsetAndMetadata | None], await self.call_thread(self._seek_to_commits, tps))

    async def _seek_to_commits(self, tps: Collection[TP]) -> dict[TP, OffsetAndMetadata | None]:
        commits = await self._untyped()._coordinator.fetch_committed_offsets(  # noqa: SLF001 - the one way to metadata
            [stock.ensure_aiokafka_TP(tp) for tp in tps]
        )
        found = {ensure_TP(tp): commit for tp, commit in commits.items() if commit.offset >= 0}
        standing = {tp: found.get(tp) for tp in ensure_TPset(tps) & self.assignment()}
        self._seek_now({tp: None if commit is None else commit.offset for tp, commit in standing.items()})
        return standing

    async def commit_marks(self, commits: Mapping[TP, OffsetAndMetadata]) -> bool:
        """Commit offsets with metadata; ``False`` when the group has moved on without us."""
        return cast(bool, await self.call_thread(self._commit_marks, commits))

    async def _commit_marks(self, commits: Mapping[TP, OffsetAndMetadata]) -> bool:
        mine = {tp: commit for tp, commit in commits.items() if tp in self.assignment()}
        now = monotonic()
        self.tp_last_committed_at.update(dict.fromkeys(mine, now))
        try:
            await self._untyped().commit({stock.ensure_aiokafka_TP(tp): commit for tp, commit in mine.items()})
        except (CommitFailedError, IllegalStateError) as problem:
            self.log.info("Not committed, the group has moved on: %s", problem)
            return False
        return len(mine) == len(commits)

    def _untyped(self) -> Any:
        return self._ensure_consumer()  # aiokafka's annotations forget that start() sets what __init__ leaves None

    # --- what is known without asking the broker

    def position_now(self, tp: TP) -> int | None:
        """Return the fetch position of a partition; ``None`` while it has none, or is not assigned."""
        state = self._state(tp)
        return state.position if state is not None and state.has_valid_position else None

    def high_watermark_now(self, tp: TP) -> int | None:
        """Return the end of the log as told with the last fetch; ``None`` before the first."""
        state = self._state(tp)
        return None if state is None else state.highwater

    def heard_ms(self, tp: TP) -> int | None:
        """Return when the broker last told the end of the log, epoch ms; ``None`` before the first time."""
        state = self._state(tp)
        return None if state is None else state.timestamp

    def _state(self, tp: TP) -> Any:
        subscription = None if self._consumer is None else self._consumer._subscription.subscription  # noqa: SLF001
        if subscription is None or subscription.assignment is None:
            return None
        return subscription.assignment.state_value(stock.ensure_aiokafka_TP(tp))
