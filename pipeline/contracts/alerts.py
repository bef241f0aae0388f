"""The life of an alert as events (`tocsin.alert-events`) and its current state (`tocsin.alerts`)."""

from enum import StrEnum
from typing import Annotated

import msgspec

from pipeline.contracts.anomalies import LogNote, Severity
from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.partials import ChangeNote

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class AlertState(StrEnum):
    """Where a condition stands."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Transition(StrEnum):
    """What an alert event reports."""

    PENDING = "pending"
    FIRED = "fired"
    STILL_FIRING = "still_firing"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"
    """It was pending, and was over before it fired."""


class ResolveReason(StrEnum):
    """Why an alert ended."""

    RECOVERED = "recovered"
    RETIRED = "retired"
    NOT_CONFIRMED = "not_confirmed"
    """It did not last long enough to fire; or nothing has been heard of it for so long that nobody can say."""
    FORGOTTEN = "forgotten"
    """Tocsin's own bound on state was reached, and this one gave way: whether it goes on is not known."""


class AlertEvent(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One step in the life of an alert, with all that a person needs to judge it.

    Attributes
    ----------
    id
        Of this event: same alert, same transition, same window.
    alert_id
        Of this life of the condition, from pending to resolved; made of dedup key and ``since_ms``.
    dedup_key
        ``environment/service/condition``: the same problem has the same key, today and next month.
    since_ms
        Start of the first window that was bad.
    at_ms
        End of the window that caused this event.
    fired_at_ms, resolved_at_ms
        End of the window that fired it, or resolved it; ``None`` before.
    observed, expected, lower, upper, score
        As in the finding behind it; ``worst_score`` is the furthest outside so far.
    times_expected
        observed / expected, where that makes sense.
    sentence
        What is wrong, for a tired person, plain text, one sentence.
    suggested_action
        What to do first, one sentence.
    recent_change, change
        What people did to the service shortly before it began, in words (``deployment of 1.4.3 3 minutes before``), and
        as a record.
    also_firing
        Other conditions of the service that are firing.
    exemplars
        Few of the requests that it is about, by their trace ids: the slowest so far; of ``errors``, failed ones.
    callees
        What the service calls, as far as its spans say: names as `tocsin.topology` has them.
    trace_url
        Link to the first of them, where the configuration says how one is made.
    log
        The log lines that it is about, with an example.

    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    id: str
    alert_id: str
    dedup_key: str
    transition: Transition
    state: AlertState
    environment: str
    service: str
    version: str
    condition: str
    signal: str
    severity: Severity
    since_ms: int
    at_ms: int
    fired_at_ms: int | None = None
    resolved_at_ms: int | None = None
    resolve_reason: ResolveReason | None = None
    n_windows: int = 1
    unit: str = ""
    observed: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    score: float | None = None
    worst_score: float | None = None
    times_expected: float | None = None
    confidence: Share = 0.0
    owner: str = ""
    runbook: str = ""
    suggested_action: str = ""
    sentence: str = ""
    recent_change: str = ""
    change: ChangeNote | None = None
    also_firing: list[str] = []
    explanation: dict[str, float] = {}
    exemplars: list[Exemplar] = []
    trace_url: str = ""
    callees: list[str] = []
    log: LogNote | None = None


class Delivery(StrEnum):
    """Whether an alert was sent to people and bots."""

    PENDING = "pending"
    """Not firing yet."""
    NOTIFIED = "notified"
    MUTED = "muted"
    """What it calls was in alarm before: that one was told, or is."""
    RECORDED = "recorded"
    """Old news: it began while Tocsin could not see, and is kept without paging, unless it still goes on."""


class Alert(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Current state of one dedup key on the compacted `tocsin.alerts`: its last event, and whether people were told.

    ``muted_by`` is the dedup key of the alert that stands for it: of what it calls, open shortly before it began.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    environment: str
    service: str
    version: str
    delivery: Delivery
    event: AlertEvent
    notified_at_ms: int | None = None
    remediation_id: str = ""
    remediation_note: str = ""
    muted_by: str = ""
