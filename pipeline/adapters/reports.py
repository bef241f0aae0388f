"""How far a worker's partitions are, told to its health board and its metrics."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.adapters import kafka
from pipeline.adapters.faust_apps import TocsinApp
from pipeline.adapters.health import HealthBoard
from pipeline.adapters.metrics import Telemetry
from pipeline.adapters.transport import end_by_partition
from pipeline.errors import BrokerError, ConfigError

TopicPartition = tuple[str, int]


class Positioned(Protocol):
    """A shell that knows how far it is."""

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to fold, by owned (topic, partition)."""
        ...


class Reporter:
    """Reports of one app."""

    def __init__(
        self, *, app: TocsinApp, role: str, shells: Sequence[Positioned], board: HealthBoard, telemetry: Telemetry
    ) -> None:
        self._app = app
        self._role = role
        self._shells = shells
        self._board = board
        self._telemetry = telemetry
        self._is_recovered = False

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
        for topic, partition in partitions:
            self._telemetry.input_revoked(self._role, topic, partition)

    def report(self) -> None:
        """Tell positions and lag; called by a timer while the app runs."""
        recovery = self._app.tables.recovery  # type: ignore[attr-defined] # TableManager has it, its abstract side not
        if not self._is_recovered and not self._app.rebalancing and recovery.completed.is_set():
            self._is_recovered = True
            self._board.recovered(self._role)
        ends = end_by_partition(self._app)
        for shell in self._shells:
            for tp, position in shell.positions().items():
                end = ends.get(tp)
                if end is not None:
                    self._telemetry.lag(self._role, *tp, max(end - position, 0))
                    self._board.progress(self._role, *tp, position=position, end=end)
        owned = {tp for shell in self._shells for tp in shell.positions()}
        for tp, end in ends.items():
            if tp not in owned:  # nothing has been read of it yet
                self._board.progress(self._role, *tp, position=end, end=end)

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
