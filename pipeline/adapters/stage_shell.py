"""Runs a stage over one topic: feeds it, publishes for it, checkpoints it; decides nothing about the domain."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.outbox import Outbox
from pipeline.adapters.precedence import EQUAL, Turns
from pipeline.adapters.transport import Batch, batches
from pipeline.contracts.dead_letters import dead_letter
from pipeline.contracts.limits import LIMIT_BY_REASON, Bound
from pipeline.contracts.readings import Rejection, RejectReason
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.stage import InTwoParts, Stage
from pipeline.errors import BrokerError, RecordInvalid, StateError

YIELD_EVERY = 32
"""Records between two moments in which another stage may go first, or the event loop do something else (some ms)."""
OVERDUE = 3
"""Checkpoints wait for what goes first until they are this many times as old as they may be."""
SLICE = 32
"""Records that are made and sent before the event loop may do something else (some ms) ..."""
TURNS = 4
"""... so many times, because an answer of the broker, and the next request, take as many."""
GATHER_MS = 5
"""Fewer records than a slice wait so long for what the next steps say: less than the producer waits for more of them."""


class Checkpoints(Protocol):
    """Where a stage's rows are kept: a Faust table."""

    def rows_of(self, partition: int) -> Mapping[str, bytes]:
        """Return the recovered rows of one partition, by name."""
        ...

    async def write(self, event: Any, partition: int, changes: Mapping[str, bytes | None]) -> None:
        """Write rows in order; done when the changelog has acknowledged them all."""
        ...


class Observer(Protocol):
    """What the shell tells about itself."""

    def stage_stepped(self, topic: str, partition: int, n_records: int) -> None:
        """``n_records`` were folded in."""
        ...

    def checkpointed(self, topic: str, partition: int, n_rows: int, seconds: float) -> None:
        """Rows were written and acknowledged."""
        ...

    def published(self, record: OutRecord) -> None:
        """A record was queued."""
        ...

    def bounds_reached(self, topic: str, counts: Mapping[Bound, int]) -> None:
        """Bounds of a stage's state were reached so often, since this was said last."""
        ...

    def discontinued(self, topic: str, partition: int, expected: int, got: int) -> None:
        """A batch did not go on from where the stage stands, and is read again."""
        ...


@runtime_checkable
class Hastening(Protocol):
    """A stage whose next checkpoint can be made to hold all that a successor needs."""

    def hasten(self) -> None:
        """Have the next checkpoint take snapshots."""
        ...


@dataclass(slots=True)
class _Owned:
    """One partition that this worker owns, from the first batch to its revocation."""

    stage: Stage
    outbox: Outbox
    position: int
    finished: int
    checkpointed_ms: int
    n_sent: int = 0
    unsent: list[OutRecord] = field(default_factory=list)
    """What steps of the batch in work have said, less than a slice, and since when it waits."""
    unsent_ms: int = 0
    later: Iterable[OutRecord] | None = None
    """What the last step says that may wait: said before the next one, and before rows are taken."""
    is_in_turn: bool = False
    """Somebody stands back to do what can wait."""
    event: Any = None
    writing: "asyncio.Task[None] | None" = None
    """The checkpoint that was begun and is not written; one that fails stays, so that none is written behind it."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class StageShell:
    """One stage per owned partition of ``topic``; see docs/architecture.md, "Stages".

    A checkpoint takes a stage's rows in one go, between two batches, and writes them while the stage goes on: first it
    waits for the outputs of all that is in the rows, not for later ones. One at a time of each partition. Checkpoints wait for
    calm, in which the stage that goes first has nothing to do, for twice their time at most. So does what a batch's last record
    says that may wait, for half a second, or until the partition's next batch.
    """

    def __init__(
        self,
        *,
        topic: str,
        ledger: Ledger,
        checkpoints: Checkpoints,
        restore: Callable[[int, Mapping[str, bytes]], Stage],
        outbox: Callable[[], Outbox],
        seek: Callable[[str, int], Any],
        now_ms: Callable[[], int],
        monotonic_ms: Callable[[], int],
        checkpoint_ms: int,
        observer: Observer,
        turns: Turns = EQUAL,
    ) -> None:
        self.topic = topic
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._restore = restore
        self._outbox = outbox
        self._seek = seek
        self._now_ms = now_ms
        self._monotonic_ms = monotonic_ms
        self._checkpoint_ms = checkpoint_ms
        self._observer = observer
        self._turns = turns
        self._owned: dict[int, _Owned] = {}
        self._refused: dict[int, int] = {}
        self._is_stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._failure: BaseException | None = None

    def stages(self) -> dict[int, Stage]:
        """Return the stage of each owned partition, for metrics."""
        return {partition: owned.stage for partition, owned in self._owned.items()}

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the next offset to fold, by owned (topic, partition)."""
        return {(self.topic, partition): owned.position for partition, owned in self._owned.items()}

    def work(self) -> dict[tuple[str, int], int]:
        """Return what was sent by owned (topic, partition): it grows while one record has very much to say."""
        return {(self.topic, partition): owned.n_sent for partition, owned in self._owned.items()}

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        """Forget partitions: whoever owns them next restores them from the table."""
        for topic, partition in partitions:
            if topic == self.topic:
                self._owned.pop(partition, None)
                self._refused.pop(partition, None)

    async def on_batch(self, event: Any, batch: Batch) -> None:
        """Fold a batch in, publish, and begin a checkpoint when it is time."""
        self._raise_failure()
        if self._is_stopping or not self._ledger.owns((batch.topic, batch.partition)):
            return  # whoever comes next reads it again; or it was fetched before the partition was given up
        owned = self._owned.get(batch.partition) or self._take_over(batch)
        async with owned.lock:
            if self._is_stopping or not self._is_mine(batch.partition, owned):
                return
            if batch.begins_at != owned.position and not self._is_gap(owned, batch):
                if owned.writing is not None:  # else its rows could overwrite those of whoever takes over
                    await asyncio.wait({owned.writing})
                self._observer.discontinued(self.topic, batch.partition, owned.position, batch.begins_at)
                self._owned.pop(batch.partition, None)
                await self._seek(self.topic, batch.partition)
                return
            owned.event = event
            try:
                with self._turns.at_work:
                    await self._fold(owned, batch)
            except BaseException:  # the stage has folded in what it has not said: nothing of it may be written
                self._give_up(batch.partition, owned)
                raise
            if self._is_mine(batch.partition, owned):
                self._begin_what_can_wait(batch.partition, owned)

    async def tick(self) -> None:
        """Checkpoint partitions that have gone quiet with rows still unwritten."""
        self._raise_failure()
        if self._is_stopping:
            return
        begun: list[asyncio.Task[None]] = []
        for partition, owned in list(self._owned.items()):
            if self._is_quiet(partition, owned) and self._is_due(owned):
                begun.append(self._begin_checkpoint(partition, owned))
                await asyncio.sleep(0)  # a batch may have come meanwhile
        if begun:
            await asyncio.wait(begun)
            self._raise_failure()

    async def hand_over(self) -> None:
        """Checkpoint every partition before the worker stops; a stage that takes snapshots takes them now.

        Nothing is folded or checkpointed afterwards: what this one had in hand when it was cut off may be half written.
        """
        self._is_stopping = True
        for partition, owned in list(self._owned.items()):
            async with owned.lock:
                if owned.writing is not None:  # waited for even if done: what it failed with is known a turn of the loop later
                    await asyncio.wait({owned.writing})
                self._raise_failure()
                await self._say_later(partition, owned)
                if isinstance(owned.stage, Hastening):
                    owned.stage.hasten()
                await asyncio.wait([self._begin_checkpoint(partition, owned)])
                self._raise_failure()

    def _take_over(self, batch: Batch) -> _Owned:
        tp = (batch.topic, batch.partition)
        standing = self._ledger.standing(tp)
        if standing is None:  # no commit yet: the log's beginning is where this app begins
            standing = Standing(batch.begins_at, "")
            self._ledger.began(tp, standing)
        position = standing.next_offset
        try:
            stage = self._restore(batch.partition, self._checkpoints.rows_of(batch.partition))
        except StateError as problem:
            raise StateError(f"the state of {self.topic}/{batch.partition} cannot be read: {problem}") from problem
        owned = _Owned(
            stage=stage,
            outbox=self._outbox(),
            position=position,
            finished=position,
            checkpointed_ms=self._monotonic_ms(),
        )
        self._owned[batch.partition] = owned
        return owned

    def _give_up(self, partition: int, owned: _Owned) -> None:
        """Forget a stage that has failed: nothing of it is written any more."""
        if self._is_mine(partition, owned):
            del self._owned[partition]

    def _is_gap(self, owned: _Owned, batch: Batch) -> bool:
        """Tell whether the log itself has nothing between the stage's position and the batch: asked for, not given.

        Raises
        ------
        StateError
            If the log begins again below what was read before: the topic is not the one this state is of.

        """
        if self._refused.get(batch.partition) != batch.begins_at:
            self._refused[batch.partition] = batch.begins_at
            return False
        if batch.begins_at < owned.position:
            raise StateError(
                f"{self.topic}/{batch.partition} starts again at offset {batch.begins_at}, this app stands at {owned.position}: "
                "the topic was created anew; start with a fresh app id (TOCSIN_APP_ID)"
            )
        owned.position = batch.begins_at
        return True

    def _is_mine(self, partition: int, owned: _Owned) -> bool:
        return self._owned.get(partition) is owned

    def _is_quiet(self, partition: int, owned: _Owned) -> bool:
        """Tell whether a partition has rows still unwritten, and nothing in work."""
        is_behind = owned.finished < owned.position and not owned.lock.locked()
        return is_behind and self._is_mine(partition, owned) and not self._is_stopping

    def _is_ripe(self, owned: _Owned, times: int = 1) -> bool:
        """Tell whether a checkpoint could be begun, the last one being so many times as old as it may be."""
        age_ms = self._monotonic_ms() - owned.checkpointed_ms
        return owned.writing is None and owned.later is None and age_ms >= times * self._checkpoint_ms

    def _is_due(self, owned: _Owned) -> bool:
        return self._is_ripe(owned) and (self._turns.is_calm() or self._is_ripe(owned, OVERDUE))

    async def _fold(self, owned: _Owned, batch: Batch) -> None:
        stage, now_ms = owned.stage, self._now_ms()
        before = dict(stage.bounds_reached)
        for i, record in enumerate(batch.records):
            if record.offset > stage.applied:
                if owned.later is not None:
                    await self._say_later(batch.partition, owned)
                outputs = self._stepped(stage, batch, record, now_ms)
                if isinstance(outputs, InTwoParts):
                    owned.later = outputs.later
                    outputs = outputs.first
                await self._say(batch.partition, owned, outputs)
            if i % YIELD_EVERY == YIELD_EVERY - 1:
                await self._send(batch.partition, owned)
                await self._turns.give_way()
            if not self._is_mine(batch.partition, owned):
                return
        await self._send(batch.partition, owned)
        if not self._is_mine(batch.partition, owned):
            return
        owned.position = batch.next_offset
        if self._refused.get(batch.partition, owned.position) < owned.position:
            del self._refused[batch.partition]  # what was refused has been read since, so that it may be refused again
        reached = {bound: n - before.get(bound, 0) for bound, n in stage.bounds_reached.items() if n > before.get(bound, 0)}
        if reached:
            self._observer.bounds_reached(self.topic, reached)
        self._observer.stage_stepped(self.topic, batch.partition, len(batch.records))

    def _begin_what_can_wait(self, partition: int, owned: _Owned) -> None:
        """After a batch, see to what may be said later and to a checkpoint; the partition's lock is held."""
        if self._is_ripe(owned, OVERDUE):
            self._begin_checkpoint(partition, owned)
        elif not owned.is_in_turn and (owned.later is not None or self._is_ripe(owned)):
            owned.is_in_turn = True
            self._begin(self._do_in_turn(partition, owned))

    async def _do_in_turn(self, partition: int, owned: _Owned) -> None:
        """Say what may wait, and checkpoint, when nothing goes first, unless other batches have seen to it.

        One partition after the other is checkpointed: together they would be in the way of the windows that close next.
        """
        try:
            if owned.later is not None:
                await self._turns.stand_back()
                async with owned.lock:
                    if not self._is_stopping and self._is_mine(partition, owned):
                        await self._say_later(partition, owned)
            async with self._turn:
                await self._turns.stand_back()
                writing = await self._checkpoint_if_due(partition, owned)
                if writing is not None:
                    await asyncio.wait({writing})
        finally:
            owned.is_in_turn = False

    async def _checkpoint_if_due(self, partition: int, owned: _Owned) -> "asyncio.Task[None] | None":
        async with owned.lock:
            if self._is_stopping or not self._is_mine(partition, owned):
                return None
            await self._say_later(partition, owned)
            is_due = self._is_mine(partition, owned) and self._is_due(owned)
            return self._begin_checkpoint(partition, owned) if is_due else None

    async def _say_later(self, partition: int, owned: _Owned) -> None:
        """Say what may wait; the partition's lock is held."""
        later, owned.later = owned.later, None
        if later is None:
            return
        try:
            await self._say(partition, owned, later)
            await self._send(partition, owned)
        except BaseException:  # it may be said in part, and is not said again
            self._give_up(partition, owned)
            raise

    async def _say(self, partition: int, owned: _Owned, outputs: Iterable[OutRecord]) -> None:
        """Send what a step says, piece by piece: after an outage that is every window since, of every service.

        Less than a piece waits for what the next steps say, not for long. Whoever takes the partition over says the rest.
        """
        left, unsent = iter(outputs), owned.unsent
        while piece := list(islice(left, SLICE - len(unsent))):
            if not unsent:
                owned.unsent_ms = self._monotonic_ms()
            unsent += piece
            if len(unsent) < SLICE:
                break
            await self._send(partition, owned)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if not self._is_mine(partition, owned):
                return
        if unsent and self._monotonic_ms() - owned.unsent_ms >= GATHER_MS:
            await self._send(partition, owned)

    async def _send(self, partition: int, owned: _Owned) -> None:
        """Send what was said and is not sent."""
        unsent = owned.unsent
        if unsent and self._is_mine(partition, owned):
            await owned.outbox.send(unsent)
            for output in unsent:
                self._observer.published(output)
            owned.n_sent += len(unsent)
            unsent.clear()

    def _stepped(self, stage: Stage, batch: Batch, record: InRecord, now_ms: int) -> Iterable[OutRecord]:
        """Return what a stage says of a record; what does not belong on the topic becomes a dead letter."""
        try:
            if record.refused is None:
                return stage.step(record, now_ms)
            refused = Rejection(reason=record.refused.reason, detail=record.refused.detail)
            if refused.reason in LIMIT_BY_REASON:
                self._observer.bounds_reached(self.topic, {LIMIT_BY_REASON[refused.reason]: 1})
        except RecordInvalid as problem:
            refused = Rejection(reason=RejectReason.BROKEN_CONTRACT, detail=str(problem)[:500])
        return [dead_letter(topic=batch.topic, partition=batch.partition, record=record, rejections=[refused], n_records=1)]

    def _begin_checkpoint(self, partition: int, owned: _Owned) -> "asyncio.Task[None]":
        """Take the rows of all that is folded so far, and begin to write them; no batch of the partition is in work."""
        try:
            changes = owned.stage.take_changes()
        except BaseException:  # what it has let go by halves may not be written later
            self._give_up(partition, owned)
            raise
        owned.writing = self._begin(self._checkpoint(partition, owned, changes, owned.position, owned.outbox.mark()))
        return owned.writing

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _checkpoint(
        self, partition: int, owned: _Owned, changes: Mapping[str, bytes | None], position: int, mark: int
    ) -> None:
        began_ms = self._monotonic_ms()
        await owned.outbox.acknowledged(mark)
        if not self._is_mine(partition, owned):
            return
        await self._checkpoints.write(owned.event, partition, changes)
        if not self._is_mine(partition, owned):
            return
        self._ledger.finish((self.topic, partition), position)
        owned.finished, owned.checkpointed_ms, owned.writing = position, self._monotonic_ms(), None
        self._observer.checkpointed(self.topic, partition, len(changes), (owned.checkpointed_ms - began_ms) / 1000)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if self._failure is None:  # one that was cut off has written nobody knows what, and its rows are not taken again
            self._failure = (
                BrokerError("a checkpoint, or what was to be said before it, was cut off") if task.cancelled() else task.exception()
            )

    def _raise_failure(self) -> None:
        """Raise what a checkpoint, or what was said later, has failed with: the worker cannot go on as if it had been done."""
        if self._failure is not None:
            raise self._failure


async def run_stage(stream: Any, shell: StageShell) -> None:
    """Hand a Faust stream's batches to the shell."""
    async for event in batches(stream):
        await shell.on_batch(event, event.message.value)
