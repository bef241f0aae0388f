"""Which action a policy asks for when an alert fires, and whether cooldown and cap let it pass now."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple

import msgspec
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.alerts import AlertEvent
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.config import PARAMS
from pipeline.contracts.ids import content_id
from pipeline.contracts.keys import service_key
from pipeline.contracts.remediation import Action

HOUR_MS = 3_600_000
MAX_CAP = 100
"""Highest cap that can be set: it bounds what is remembered of a service."""
DEPLOYMENT = "deployment"
"""The type of change that ``recent_deployment`` means."""

Ms = Annotated[int, Field(ge=0)]
Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class RemediationPolicy:
    """One rule: which alerts it is for, and what it asks a bot to do. Everything stated must match.

    Attributes
    ----------
    name
        Told in the request and in notes.
    service
        Shell pattern on ``environment/service``.
    condition, signal
        Shell patterns on the alert's condition (``saturation:cpu``) and golden signal.
    severity
        ``page`` or ``ticket``; ``None``: either.
    recent_deployment
        Whether a deployment shortly before the alert is known; ``None``: does not matter.
    min_firing_ms
        Event time for which the alert must have been firing, ms.
    action
        ``page_only`` publishes nothing: it keeps later policies from acting.
    parameters
        Handed to the bot as they are.
    dry_run
        The bot says what it would do, and does nothing. True unless the policy says otherwise.
    expires_after_ms
        After so long the request is void, ms after ``issued_at_ms``; at least 1000.
    cooldown_ms
        Least event time between two requests of this action for one service, ms.

    """

    name: str
    service: str = "*"
    condition: str = "*"
    signal: str = "*"
    severity: Severity | None = None
    recent_deployment: bool | None = None
    min_firing_ms: Ms = 0
    action: Action
    parameters: dict[str, Scalar] = field(default_factory=dict)
    dry_run: bool = True
    expires_after_ms: Annotated[int, Field(ge=1_000)] = 600_000
    cooldown_ms: Ms = 900_000


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class RemediationParams:
    """Everything that remediation is told.

    Attributes
    ----------
    dry_run
        Switch for all policies: true makes every request a dry run. A request is for real only where this *and* the
        policy's own ``dry_run`` are false.
    max_per_service_per_hour
        Requests for one service in any hour of event time, all actions and dry runs together, in [0, 100]; 0: none.
    policies
        In this order; the first that matches counts. Names are unique.

    """

    dry_run: bool = True
    max_per_service_per_hour: Annotated[int, Field(ge=0, le=MAX_CAP)] = 3
    policies: tuple[RemediationPolicy, ...] = ()

    def __post_init__(self) -> None:
        names = [policy.name for policy in self.policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"policies must have names of their own, these stand twice: {', '.join(twice)}")


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A request that was published, as its service remembers it."""

    id: str
    action: Action
    at_ms: int


class Outcome(StrEnum):
    """What remediation makes of a firing alert."""

    REQUESTED = "requested"
    NO_POLICY = "no_policy"
    PAGE_ONLY = "page_only"
    ALREADY_REQUESTED = "already_requested"
    TOO_YOUNG = "too_young"
    EXPIRED = "expired"
    COOLING_DOWN = "cooling_down"
    CAP_REACHED = "cap_reached"


class Ruling(NamedTuple):
    """An outcome, the policy behind it if there is one, and a note for people."""

    outcome: Outcome
    policy: RemediationPolicy | None
    note: str


def first_match(policies: Sequence[RemediationPolicy], event: AlertEvent) -> RemediationPolicy | None:
    """Return the first policy for this alert, or ``None``."""
    key = service_key(event.environment, event.service)
    has_deployment = event.change is not None and event.change.type == DEPLOYMENT
    for policy in policies:
        if (
            fnmatchcase(key, policy.service)
            and fnmatchcase(event.condition, policy.condition)
            and fnmatchcase(event.signal, policy.signal)
            and policy.severity in (None, event.severity)
            and policy.recent_deployment in (None, has_deployment)
        ):
            return policy
    return None


def rule(
    params: RemediationParams, event: AlertEvent, history: Sequence[Asked], done: Mapping[Action, Severity], now_ms: int
) -> Ruling:
    """Return what remediation makes of a firing alert.

    Cooldown and cap go by event time (``event.at_ms``), so a re-run rules as the first run did; only expiry
    looks at the clock, because a bot will.

    Parameters
    ----------
    params
        Policies and limits.
    event
        The alert, firing.
    history
        Requests for the same service so far; see :func:`remembered`.
    done
        Actions asked for in this life of the alert, and its severity then: one action a life, and one more
        when it becomes more severe.
    now_ms
        The clock.

    """
    policy = first_match(params.policies, event)
    if policy is None:
        return Ruling(Outcome.NO_POLICY, None, "no policy is for this alert")
    action = policy.action
    if action is Action.PAGE_ONLY:
        return Ruling(Outcome.PAGE_ONLY, policy, f"policy {policy.name}: for people only")
    if action in done or (done and (event.severity is Severity.TICKET or Severity.PAGE in done.values())):
        return Ruling(Outcome.ALREADY_REQUESTED, policy, "")
    if request_id(event, action) in [asked.id for asked in history]:  # a re-run, after a crash between two rows
        return _requested(params, policy)
    firing_ms = event.at_ms - (event.at_ms if event.fired_at_ms is None else event.fired_at_ms)
    if firing_ms < policy.min_firing_ms:
        return _held(Outcome.TOO_YOUNG, policy, f"until it has been firing for {_seconds(policy.min_firing_ms)}")
    return _limited(params, policy, event, history, now_ms)


def _limited(
    params: RemediationParams, policy: RemediationPolicy, event: AlertEvent, history: Sequence[Asked], now_ms: int
) -> Ruling:
    """Return whether expiry, cooldown and cap let a request pass."""
    if now_ms >= event.at_ms + policy.expires_after_ms:
        return _held(Outcome.EXPIRED, policy, f"as Tocsin saw this {_seconds(now_ms - event.at_ms)} late, when it would be void")
    # Both directions of time: events of one service may be a little out of order.
    ages_ms = [abs(event.at_ms - asked.at_ms) for asked in history if asked.action is policy.action]
    if min(ages_ms, default=policy.cooldown_ms) < policy.cooldown_ms:
        ago = f"as it was asked for {_seconds(min(ages_ms))} ago (cooldown {_seconds(policy.cooldown_ms)})"
        return _held(Outcome.COOLING_DOWN, policy, ago)
    n_in_hour = sum(abs(event.at_ms - asked.at_ms) < HOUR_MS for asked in history)
    if n_in_hour >= params.max_per_service_per_hour:
        cap = f"as {n_in_hour} requests within an hour reach the cap of {params.max_per_service_per_hour} for this service"
        return _held(Outcome.CAP_REACHED, policy, cap)
    return _requested(params, policy)


def request_id(event: AlertEvent, action: Action) -> str:
    """Return the id of a request: one per life of an alert and action, however often it is published."""
    return content_id("remediation", event.alert_id, action)


def is_dry_run(params: RemediationParams, policy: RemediationPolicy) -> bool:
    """Tell whether a policy's requests are dry runs."""
    return params.dry_run or policy.dry_run


def remembered(history: Sequence[Asked], asked: Asked, max_per_hour: int) -> list[Asked]:
    """Return a service's history with one more request: what cooldown and cap can need, and no more.

    The last request of every action, and the last ``2 * max_per_hour`` of all, in order of asking.
    """
    everything = [*history, asked]
    last_of_action = {one.action: place for place, one in enumerate(everything)}
    newest = len(everything) - 2 * max_per_hour
    return [one for place, one in enumerate(everything) if place >= newest or last_of_action[one.action] == place]


def _requested(params: RemediationParams, policy: RemediationPolicy) -> Ruling:
    dry = ", dry run" if is_dry_run(params, policy) else ""
    return Ruling(Outcome.REQUESTED, policy, f"policy {policy.name}: {policy.action} was asked for{dry}")


def _held(outcome: Outcome, policy: RemediationPolicy, why: str) -> Ruling:
    return Ruling(outcome, policy, f"policy {policy.name}: {policy.action} is held back {why}")


def _seconds(length_ms: int) -> str:
    return f"{length_ms // 1000} s"
