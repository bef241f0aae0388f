"""The rows of the alert stage: what is kept of a dedup key, of a service, and of the partition."""

from typing import TypeVar

import msgspec

from pipeline.act.remediation import Asked
from pipeline.contracts.alerts import Alert
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.codec import decode
from pipeline.contracts.remediation import Action
from pipeline.contracts.rows import unpack
from pipeline.errors import RecordInvalid, StateError

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


def read_row(name: str, row: bytes, kind: type[R], partition: int) -> tuple[int, R]:
    """Return (offset applied, state) of a row.

    Raises
    ------
    StateError
        If it cannot be read, or is of another version.

    """
    applied, body = unpack(row)
    try:
        state = decode(body, kind)
    except RecordInvalid as problem:
        raise StateError(f"alerts, partition {partition}: row {name!r} cannot be read: {problem}") from problem
    if state.schema != SCHEMA:
        raise StateError(f"alerts, partition {partition}: row {name!r} has schema {state.schema}, not {SCHEMA}")
    return applied, state
