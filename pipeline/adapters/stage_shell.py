"""Runs a stage over one topic: feeds it, publishes for it, checkpoints it; decides nothing about the domain."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.outbox import Outbox
from pipeline.adapters.transport import Batch, batches
from pipeline.contracts.dead_letters import dead_letter
from pipeline.contracts.readings import Rejection, RejectReason
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.stage import Stage
from pipeline.errors import RecordInvalid, StateError

YIELD_EVERY = 64
"""Records between two moments in which the event loop may do something else."""


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
    event: Any = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class StageShell:
    """One stage per owned partition of ``topic``; see docs/architecture.md, "Stages"."""

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
        self._owned: dict[int, _Owned] = {}
        self._refused: dict[int, int] = {}
        self._is_stopping = False

    def stages(self) -> dict[int, Stage]:
        """Return the stage of each owned partition, for metrics."""
        return {partition: owned.stage for partition, owned in self._owned.items()}

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the next offset to fold, by owned (topic, partition)."""
        return {(self.topic, partition): owned.position for partition, owned in self._owned.items()}

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        """Forget partitions: whoever owns them next restores them from the table."""
        for topic, partition in partitions:
            if topic == self.topic:
                self._owned.pop(partition, None)
                self._refused.pop(partition, None)

    async def on_batch(self, event: Any, batch: Batch) -> None:
        """Fold a batch in, publish, and checkpoint when it is time."""
        if self._is_stopping or not self._ledger.owns((batch.topic, batch.partition)):
            return  # whoever comes next reads it again; or it was fetched before the partition was given up
        owned = self._owned.get(batch.partition) or self._take_over(batch)
        async with owned.lock:
            if self._is_stopping or not self._is_mine(batch.partition, owned):
                return
            if batch.begins_at != owned.position and not self._is_gap(owned, batch):
                self._observer.discontinued(self.topic, batch.partition, owned.position, batch.begins_at)
                self._owned.pop(batch.partition, None)
                await self._seek(self.topic, batch.partition)
                return
            owned.event = event
            await self._fold(owned, batch)
            if self._is_due(owned):
                await self._checkpoint(batch.partition, owned)

    async def tick(self) -> None:
        """Checkpoint partitions that have gone quiet with rows still unwritten."""
        for partition, owned in list(self._owned.items()):
            if self._is_stopping:
                return
            if owned.finished < owned.position and self._is_due(owned) and not owned.lock.locked():
                async with owned.lock:
                    await self._checkpoint(partition, owned)

    async def hand_over(self) -> None:
        """Checkpoint every partition before the worker stops; a stage that takes snapshots takes them now.

        Nothing is folded or checkpointed afterwards: what this one had in hand when it was cut off may be half written.
        """
        self._is_stopping = True
        for partition, owned in list(self._owned.items()):
            async with owned.lock:
                if isinstance(owned.stage, Hastening):
                    owned.stage.hasten()
                await self._checkpoint(partition, owned)

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

    def _is_due(self, owned: _Owned) -> bool:
        return self._monotonic_ms() - owned.checkpointed_ms >= self._checkpoint_ms

    async def _fold(self, owned: _Owned, batch: Batch) -> None:
        stage, now_ms = owned.stage, self._now_ms()
        for i, record in enumerate(batch.records):
            if record.offset > stage.applied:
                outputs = self._stepped(stage, batch, record, now_ms)
                await owned.outbox.send(outputs)
                for output in outputs:
                    self._observer.published(output)
            if i % YIELD_EVERY == YIELD_EVERY - 1:
                await asyncio.sleep(0)
        owned.position = batch.next_offset
        if self._refused.get(batch.partition, owned.position) < owned.position:
            del self._refused[batch.partition]  # what was refused has been read since, so that it may be refused again
        self._observer.stage_stepped(self.topic, batch.partition, len(batch.records))

    def _stepped(self, stage: Stage, batch: Batch, record: InRecord, now_ms: int) -> list[OutRecord]:
        """Return what a stage says of a record; what does not belong on the topic becomes a dead letter."""
        try:
            return stage.step(record, now_ms)
        except RecordInvalid as problem:
            refused = [Rejection(reason=RejectReason.BROKEN_CONTRACT, detail=str(problem)[:500])]
            return [dead_letter(topic=batch.topic, partition=batch.partition, record=record, rejections=refused, n_records=1)]

    async def _checkpoint(self, partition: int, owned: _Owned) -> None:
        began_ms, position = self._monotonic_ms(), owned.position
        await owned.outbox.acknowledged()
        if not self._is_mine(partition, owned):
            return
        changes = owned.stage.take_changes()
        await self._checkpoints.write(owned.event, partition, changes)
        if not self._is_mine(partition, owned):
            return
        self._ledger.finish((self.topic, partition), position)
        owned.finished, owned.checkpointed_ms = position, self._monotonic_ms()
        self._observer.checkpointed(self.topic, partition, len(changes), (owned.checkpointed_ms - began_ms) / 1000)


async def run_stage(stream: Any, shell: StageShell) -> None:
    """Hand a Faust stream's batches to the shell."""
    async for event in batches(stream):
        await shell.on_batch(event, event.message.value)
