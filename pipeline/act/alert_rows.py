"""The rows of the alert stage: what is kept of a dedup key, of a service, and of the partition."""

from typing import TypeVar

import msgspec

from pipeline.act.remediation import Asked
from pipeline.contracts.alerts import Alert
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.remediation import Action
from pipeline.contracts.rows import read_row

SCHEMA = 1
"""Of the rows below."""
ALERT_ROW, SERVICE_ROW = "alert:", "service:"
"""Row names begin with one of them: a dedup key and a service key can look alike."""


class AlertRow(msgspec.Struct, kw_only=True, frozen=True):
    """One dedup key: its alert as published, and what was done in this life of it.

    ``event_ids`` are those seen with the alert's ``at_ms``; an earlier or a known event came twice.
    """

    schema: int = SCHEMA
    alert: Alert
    event_ids: list[str] = []
    told: Severity | None = None
    done: dict[Action, Severity] = {}

    @property
    def ended_ms(self) -> int | None:
        """When it ended; ``None``: it has not."""
        return self.alert.event.resolved_at_ms


class ServiceRow(msgspec.Struct, kw_only=True, frozen=True):
    """What was asked for one service, as far as cooldown and cap can need it."""

    schema: int = SCHEMA
    asked: list[Asked] = []


class Head(msgspec.Struct, kw_only=True, frozen=True):
    """``stream_ms``: the latest event time; ended alerts older than ``tombstone_after_ms`` by it are gone."""

    schema: int = SCHEMA
    stream_ms: int = -1
    alerts_gone_through: int = -1
    services_gone_through: int = -1


R = TypeVar("R", AlertRow, ServiceRow, Head)


def read_own(name: str, row: bytes, kind: type[R], partition: int) -> tuple[int, R]:
    """Return the offset applied in one of these rows, and its body.

    Raises
    ------
    StateError
        If it cannot be read, or is of another version.

    """
    return read_row(name, row, kind, of=f"alerts, partition {partition}", schema=SCHEMA)
