"""Which policy an alert meets, and what holds a request back."""

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.act.remediation import (
    HOUR_MS,
    Asked,
    Outcome,
    RemediationParams,
    RemediationPolicy,
    first_match,
    remembered,
    request_id,
    rule,
)
from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.partials import ChangeNote
from pipeline.contracts.remediation import Action
from tests.alert_samples import ORIGIN_MS, deployment, event

RESTART = RemediationPolicy(name="restart", action=Action.RESTART, expires_after_ms=600_000, cooldown_ms=900_000)
PARAMS = RemediationParams(policies=(RESTART,), max_per_service_per_hour=2)


def asked(before_ms: int, action: Action = Action.RESTART) -> Asked:
    return Asked(f"{action}-{before_ms}", action, ORIGIN_MS - before_ms)


@pytest.mark.parametrize(
    ("policy", "matches"),
    [
        ({}, True),
        ({"service": "prod/*"}, True),
        ({"service": "staging/*"}, False),
        ({"service": "*/cart"}, True),
        ({"condition": "saturation:*"}, True),
        ({"condition": "saturation"}, False),
        ({"signal": "saturation"}, True),
        ({"signal": "latency"}, False),
        ({"severity": "page"}, True),
        ({"severity": "ticket"}, False),
        ({"recent_deployment": True}, True),
        ({"recent_deployment": False}, False),
        ({"service": "prod/*", "condition": "latency"}, False),
    ],
)
def test_everything_that_a_policy_states_must_fit(policy: dict[str, str | bool], matches: bool) -> None:
    alert = event(condition="saturation:cpu", change=deployment(60_000))
    stated = TypeAdapter(RemediationPolicy).validate_python({"name": "p", "action": "restart", **policy})

    assert (first_match([stated], alert) is stated) is matches


def test_an_experiment_is_no_deployment() -> None:
    policy = RemediationPolicy(name="p", action=Action.ROLL_BACK, recent_deployment=True)
    experiment = ChangeNote(type="experiment", time_ms=ORIGIN_MS)

    assert first_match([policy], event(change=experiment)) is None


def test_the_first_policy_that_fits_counts() -> None:
    first = RemediationPolicy(name="first", action=Action.PAGE_ONLY, service="prod/cart")

    assert first_match([first, RESTART], event()) is first
    assert first_match([first, RESTART], event(service="other")) is RESTART


@pytest.mark.parametrize(
    ("history", "late_ms", "outcome", "note"),
    [
        ([], 0, Outcome.REQUESTED, "policy restart: restart was asked for, dry run"),
        ([asked(900_000)], 0, Outcome.REQUESTED, "policy restart: restart was asked for, dry run"),
        (
            [asked(899_000)],
            0,
            Outcome.COOLING_DOWN,
            "policy restart: restart is held back as it was asked for 899 s ago (cooldown 900 s)",
        ),
        ([asked(1_000, Action.SCALE_OUT)], 0, Outcome.REQUESTED, "policy restart: restart was asked for, dry run"),
        (
            [asked(HOUR_MS - 1), asked(1_000, Action.SCALE_OUT)],
            0,
            Outcome.CAP_REACHED,
            "policy restart: restart is held back as 2 requests within an hour reach the cap of 2 for this service",
        ),
        (
            [asked(HOUR_MS), asked(1_000, Action.SCALE_OUT)],
            0,
            Outcome.REQUESTED,
            "policy restart: restart was asked for, dry run",
        ),
        ([], 599_999, Outcome.REQUESTED, "policy restart: restart was asked for, dry run"),
        (
            [],
            600_000,
            Outcome.EXPIRED,
            "policy restart: restart is held back as Tocsin saw this 600 s late, when it would be void",
        ),
    ],
)
def test_cooldown_cap_and_expiry_hold_a_request_back_and_say_so(
    history: list[Asked], late_ms: int, outcome: Outcome, note: str
) -> None:
    ruling = rule(PARAMS, event(), history, {}, ORIGIN_MS + late_ms)

    assert (ruling.outcome, ruling.note) == (outcome, note)


def test_no_policy_and_page_only_ask_for_nothing() -> None:
    page_only = RemediationParams(policies=(RemediationPolicy(name="people", action=Action.PAGE_ONLY),))

    assert rule(RemediationParams(), event(), [], {}, ORIGIN_MS).outcome is Outcome.NO_POLICY
    assert rule(page_only, event(), [], {}, ORIGIN_MS).outcome is Outcome.PAGE_ONLY


def test_a_cap_of_zero_asks_for_nothing() -> None:
    params = RemediationParams(policies=(RESTART,), max_per_service_per_hour=0)

    assert rule(params, event(), [], {}, ORIGIN_MS).outcome is Outcome.CAP_REACHED


@pytest.mark.parametrize(("firing_ms", "outcome"), [(59_999, Outcome.TOO_YOUNG), (60_000, Outcome.REQUESTED)])
def test_a_policy_waits_until_the_alert_has_been_firing_for_long_enough(firing_ms: int, outcome: Outcome) -> None:
    params = RemediationParams(policies=(RemediationPolicy(name="p", action=Action.SCALE_OUT, min_firing_ms=60_000),))
    alert = event(Transition.STILL_FIRING, fired_at_ms=ORIGIN_MS - firing_ms)

    assert rule(params, alert, [], {}, ORIGIN_MS).outcome is outcome


@pytest.mark.parametrize(
    ("alert", "done", "outcome"),
    [
        (event(severity=Severity.PAGE), {Action.RESTART: Severity.TICKET}, Outcome.ALREADY_REQUESTED),
        (event(severity=Severity.PAGE), {Action.SHED_LOAD: Severity.PAGE}, Outcome.ALREADY_REQUESTED),
        (event(severity=Severity.TICKET), {Action.SHED_LOAD: Severity.TICKET}, Outcome.ALREADY_REQUESTED),
        (event(severity=Severity.PAGE), {Action.SHED_LOAD: Severity.TICKET}, Outcome.REQUESTED),
    ],
)
def test_one_action_a_life_and_one_more_when_it_becomes_a_page(
    alert: AlertEvent, done: dict[Action, Severity], outcome: Outcome
) -> None:
    assert rule(PARAMS, alert, [], done, ORIGIN_MS).outcome is outcome


def test_a_request_that_the_service_remembers_is_not_held_back_by_itself() -> None:
    again = Asked(request_id(event(), Action.RESTART), Action.RESTART, ORIGIN_MS)

    assert rule(PARAMS, event(), [again], {}, ORIGIN_MS).outcome is Outcome.REQUESTED


def test_history_keeps_the_last_of_every_action_and_as_many_as_the_cap_can_need() -> None:
    history: list[Asked] = []
    for i in range(50):
        history = remembered(history, asked(-i, Action.ROLL_BACK if i == 3 else Action.RESTART), 2)

    assert [one.at_ms - ORIGIN_MS for one in history] == [3, 46, 47, 48, 49]


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="these stand twice: restart"):
        RemediationParams(policies=(RESTART, RESTART))
