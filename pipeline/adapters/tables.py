"""A stage's rows in a Faust table: what recovery keeps, which rows a partition has, and when a write is safe."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from faust.stores import memory
from faust.tables.table import Table
from faust.types import TP, EventT, StoreT

from pipeline.adapters.transport import BulkProducer, RunRecord
from pipeline.contracts.models import rank_of
from pipeline.contracts.rows import HEAD, SNAPSHOTS, applied_of
from pipeline.errors import BrokerError, StateError

SEGMENT_MS = 600_000
"""Faust leaves the broker's 7 days, in which a changelog hardly compacts; only closed segments are compacted."""
MIN_CLEANABLE_RATIO = 0.2
MIN_COMPACTION_LAG_MS = 900_000
"""Longer than rows stay unrefreshed (300 s) plus a zombie's life (a session, 30 s in production) plus a checkpoint: see
docs/adr/0001; until then recovery must see every row."""
MAX_ROW_BYTES = 4 * 1024 * 1024

CHANGELOG_CONFIG = {
    "segment.ms": str(SEGMENT_MS),
    "min.cleanable.dirty.ratio": str(MIN_CLEANABLE_RATIO),
    "min.compaction.lag.ms": str(MIN_COMPACTION_LAG_MS),
    "max.message.bytes": str(MAX_ROW_BYTES),
}


class RowStore(memory.Store[bytes, bytes]):
    """Rows of the owned partitions, in memory.

    Recovery keeps the highest applied offset per key, whoever wrote last (a zombie may); it ignores tombstones, because
    the head row says what is gone; a row that cannot be read is kept above all others, so that its stage stops at it.
    """

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]], to_key: Any, to_value: Any) -> None:  # noqa: ARG002 - raw bytes
        """Merge recovered rows."""
        for event in batch:
            key, row = event.message.key, event.message.value
            if key is None or row is None:
                continue
            known = self.data.get(key)
            if known is None or self.rank(row) >= self.rank(known):
                self.data[key] = row
                self._key_partition[key] = event.message.partition

    def rank(self, row: bytes) -> tuple[float, float]:
        """Return how good a row is: the best of a key's is kept."""
        return _rank(row), 0.0

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,
    ) -> None:
        """Drop what is no longer ours, and what is new: recovery brings it from the beginning of its changelog."""
        changelog = self.table.changelog_topic.get_topic_name()
        gone = {tp.partition for tp in (*revoked, *newly_assigned) if tp.topic == changelog}
        kept = {tp.partition for tp in assigned if tp.topic == changelog} - gone
        self.keep_partitions(kept)
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def keep_partitions(self, partitions: set[int]) -> None:
        """Drop the rows of all other partitions."""
        for key in [key for key, partition in self._key_partition.items() if partition not in partitions]:
            self.drop(key)

    def put(self, key: bytes, partition: int, row: bytes) -> None:
        """Keep a row that is being written."""
        self.data[key] = row
        self._key_partition[key] = partition

    def drop(self, key: bytes) -> None:
        """Forget a row."""
        self.data.pop(key, None)
        self._key_partition.pop(key, None)

    def sizes(self) -> dict[int, tuple[int, int]]:
        """Return how many rows, and bytes, each owned partition has."""
        found: dict[int, tuple[int, int]] = {}
        for key, partition in self._key_partition.items():
            n_rows, n_bytes = found.get(partition, (0, 0))
            found[partition] = (n_rows + 1, n_bytes + len(key) + len(self.data[key]))
        return found

    def of_partition(self, partition: int) -> dict[bytes, bytes]:
        """Return the rows of one partition."""
        return {key: self.data[key] for key, owner in self._key_partition.items() if owner == partition}


class SnapshotStore(RowStore):
    """Snapshots of models: this app's before another's, the highest applied, and one that can be read before one that cannot.

    Its keys are the services' own, because others read the topic too.
    """

    def rank(self, row: bytes) -> tuple[float, float]:
        """Return how good a snapshot is."""
        return rank_of(row, cast(SnapshotTable, self.table).owner)


class RowTable(Table[bytes, bytes]):
    """A Faust table over a :class:`RowStore`, written row by row outside of Faust's dictionary protocol."""

    def _new_store(self) -> StoreT[bytes, bytes]:
        return RowStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    @property
    def rows(self) -> RowStore:
        """The store, by its own type."""
        return cast(RowStore, self.data)


class SnapshotTable(RowTable):
    """A table whose changelog is a topic of its own name, ``tocsin.models``: made and compacted as config/topics.yaml says."""

    topic_name: str
    owner: str
    """``app_id`` whose snapshots count before all others."""

    def _new_store(self) -> StoreT[bytes, bytes]:
        return SnapshotStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    def _changelog_topic_name(self) -> str:
        return self.topic_name


def make_snapshot_table(app: faust.App, name: str, partitions: int, *, topic_name: str, owner: str) -> SnapshotTable:
    """Declare a table of snapshots over a topic that exists."""
    table = SnapshotTable(
        app,
        name=name,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        recovery_buffer_size=1_000,
        beacon=app.tables.beacon,
    )
    table.topic_name, table.owner = topic_name, owner
    app.tables.add(table)
    return table


def make_table(app: faust.App, name: str, partitions: int) -> RowTable:
    """Declare a table of raw rows, with a compacted changelog of ``partitions`` partitions."""
    table = RowTable(
        app,
        name=name,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        recovery_buffer_size=1_000,
        extra_topic_configs=CHANGELOG_CONFIG,
        beacon=app.tables.beacon,
    )
    app.tables.add(table)
    return table


def changelog_name(table: RowTable) -> str:
    """Return the name of a table's changelog topic."""
    return str(table.changelog_topic.get_topic_name())


def rows_of(table: RowTable, partition: int) -> dict[str, bytes]:
    """Return the rows of one partition, by name."""
    prefix = _prefix(table, partition)
    return {key.decode().removeprefix(prefix): row for key, row in table.rows.of_partition(partition).items()}


async def write_rows(table: RowTable, event: EventT[Any] | None, partition: int, changes: Mapping[str, bytes | None]) -> None:
    """Write rows to the table and its changelog, the head row last; done when the changelog has acknowledged all.

    The head row is sent only when the others are acknowledged, because it vouches for them.

    Parameters
    ----------
    table
        As :func:`make_table` made it.
    event
        The event in work; its topic must have as many partitions as the changelog. ``None``: not looked at.
    partition
        Whose rows these are.
    changes
        Row bytes by name; ``None`` deletes.

    Raises
    ------
    BrokerError
        If the broker refuses a row: nobody may rely on this checkpoint.
    faust.exceptions.PartitionsMismatch
        If topic and changelog differ in their number of partitions.

    """
    if event is not None:
        table._verify_source_topic_partitions(event.message.topic)  # noqa: SLF001 - what partition_for_key does
    prefix, rows = _prefix(table, partition), table.rows
    others: list[RunRecord] = []
    head: list[RunRecord] = []
    for name, row in changes.items():
        key = (prefix + name).encode()
        if row is None:
            rows.drop(key)
        else:
            rows.put(key, partition, row)
        (head if name == HEAD else others).append(RunRecord(key, row))
    try:
        await _send(table, partition, others)
        await _send(table, partition, head)
    except (KafkaError, ProducerSendError) as problem:
        raise BrokerError(f"{changelog_name(table)}/{partition} does not take a checkpoint: {problem!r}") from problem


class TableRows:
    """A table as a stage's shell sees it."""

    def __init__(self, table: RowTable) -> None:
        self._table = table

    def rows_of(self, partition: int) -> dict[str, bytes]:
        """Return the recovered rows of one partition, by name."""
        return rows_of(self._table, partition)

    async def write(self, event: EventT[Any] | None, partition: int, changes: Mapping[str, bytes | None]) -> None:
        """Write rows; see :func:`write_rows`."""
        await write_rows(self._table, event, partition, changes)


class SnapshottedRows(TableRows):
    """A table whose stage keeps snapshots on a topic beside it: what its row names begin with says where a row goes.

    Rows go in the order given: what goes to one of the two is acknowledged before the next row for the other is sent.
    """

    def __init__(self, table: RowTable, snapshots: SnapshotTable) -> None:
        super().__init__(table)
        self._snapshots = snapshots

    def rows_of(self, partition: int) -> dict[str, bytes]:
        """Return the recovered rows of one partition, by name, snapshots among them."""
        snapshots = {SNAPSHOTS + name: row for name, row in rows_of(self._snapshots, partition).items()}
        return super().rows_of(partition) | snapshots

    async def write(self, event: EventT[Any] | None, partition: int, changes: Mapping[str, bytes | None]) -> None:
        """Write rows in order, the head row last; see :func:`write_rows`."""
        for is_snapshot, group in groupby(changes.items(), key=lambda change: change[0].startswith(SNAPSHOTS)):
            if is_snapshot:
                snapshots = {name.removeprefix(SNAPSHOTS): row for name, row in group}
                await write_rows(self._snapshots, event, partition, snapshots)
            else:
                await super().write(event, partition, dict(group))


async def _send(table: RowTable, partition: int, run: Sequence[RunRecord]) -> None:
    if run:
        producer = cast(BulkProducer, table.app.producer)
        sent = await producer.send_run(changelog_name(table), partition, run)
        await asyncio.gather(*(batch.acknowledged for batch in sent))


def _prefix(table: RowTable, partition: int) -> str:
    """Return what the keys of a partition's rows begin with, before their names."""
    return "" if isinstance(table, SnapshotTable) else f"{partition}|"


def _rank(row: bytes) -> float:
    try:
        return applied_of(row)
    except StateError:
        return float("inf")
