"""How far a worker's partitions are, told to its health board and its metrics."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pipeline.adapters import kafka
from pipeline.adapters.faust_apps import TocsinApp
from pipeline.adapters.health import HealthBoard
from pipeline.adapters.ledger import Ledger
from pipeline.adapters.metrics import Telemetry
from pipeline.adapters.tables import RowTable, changelog_name
from pipeline.adapters.transport import end_by_partition, is_heard, reached
from pipeline.errors import BrokerError, ConfigError

TopicPartition = tuple[str, int]
GAUGES_EVERY = 20
"""Reports between two looks at the state's size, which takes a walk over its rows."""


class Positioned(Protocol):
    """A shell that knows how far it is."""

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to fold, by owned (topic, partition)."""
        ...


Work = Callable[[], Mapping[TopicPartition, int]]
"""Tells a number by owned partition that changes while one long record is being worked on."""


class Reporter:
    """Reports of one app.

    Parameters
    ----------
    app, role, shells
        Whose progress it is.
    ledger
        Where partitions stand of which nothing was folded yet.
    gauges
        Called now and then for what only stages and tables know.
    board, telemetry
        Who is told.
    work
        Of the shells whose records may take long.
    tables, windows_of
        Whose gauges, and the topic of whose windows', go with a partition that is given up.

    """

    def __init__(
        self,
        *,
        app: TocsinApp,
        role: str,
        shells: Sequence[Positioned],
        ledger: Ledger,
        gauges: Sequence[Callable[[], None]],
        board: HealthBoard,
        telemetry: Telemetry,
        work: Sequence[Work] = (),
        tables: Sequence[RowTable] = (),
        windows_of: str | None = None,
    ) -> None:
        self._app = app
        self._role = role
        self._shells = shells
        self._ledger = ledger
        self._gauges = gauges
        self._board = board
        self._telemetry = telemetry
        self._work = work
        self._tables = tables
        self._windows_of = windows_of
        self._is_recovered = False
        self._n_reports = 0

    def assigned(self, partitions: set[TopicPartition]) -> None:
        """Note a new assignment."""
        self._is_recovered = False
        changelogs = self._app.tables.changelog_topics
        self._board.assigned(self._role, {tp for tp in partitions if tp[0] not in changelogs})
        for topic, partition in partitions:
            self._telemetry.input_assigned(topic, partition)

    def revoked(self, partitions: set[TopicPartition]) -> None:
        """Note partitions that were given up."""
        self._board.revoked(self._role)
        tables = {changelog_name(table): table.name for table in self._tables}
        for topic, partition in partitions:
            self._telemetry.input_revoked(self._role, topic, partition)
            if topic in tables:
                self._telemetry.state_revoked(tables[topic], partition)
            if topic == self._windows_of:
                self._telemetry.windows_revoked(partition)

    def report(self) -> None:
        """Tell positions and lag; called by a timer while the app runs."""
        recovery = self._app.tables.recovery  # type: ignore[attr-defined] # TableManager has it, its abstract side not
        if not self._is_recovered and not self._app.rebalancing and recovery.completed.is_set():
            self._is_recovered = True
            self._board.recovered(self._role)
        if not self._is_recovered:
            self._board.recovering(self._role, n_recovered=_n_recovered(recovery.active_offsets))
        positions = {tp: position for shell in self._shells for tp, position in shell.positions().items()}
        work = {tp: n for of_shell in self._work for tp, n in of_shell().items()}
        behind = 0
        for tp, end in end_by_partition(self._app).items():
            if not self._ledger.owns(tp):
                continue  # given up, though the consumer lists it until it is told what it has instead
            standing = self._ledger.standing(tp)
            position = reached(self._app, tp, positions.get(tp, standing.next_offset if standing else None)) or 0
            lag = max(end - position, 0)
            behind += lag
            self._telemetry.lag(self._role, *tp, lag)
            if position < end or is_heard(self._app, tp):  # a partition that nobody fetches looks idle: silence tells
                self._board.progress(self._role, *tp, position=position, end=end, work=work.get(tp, 0))
        self._telemetry.worker_lag(self._role, behind)
        if self._n_reports % GAUGES_EVERY == 0:
            for gauge in self._gauges:
                gauge()
        self._n_reports += 1

    def broker_answers(self, *, answers: bool) -> None:
        """Note whether the broker answered a probe."""
        if answers:
            self._board.broker_back(self._role)
        else:
            self._board.broker_away(self._role)


async def probe(connection: kafka.Connection) -> dict[str, int] | None:
    """Return the partition count of every topic; ``None`` when the broker does not answer."""
    try:
        return await kafka.partition_counts(connection)
    except (BrokerError, ConfigError):
        return None


def _n_recovered(offsets: Mapping[TopicPartition, int | None]) -> int:
    """Return how far recovery is in all; Faust has no offset of a changelog that was just assigned."""
    return sum(offset or 0 for offset in offsets.values())
