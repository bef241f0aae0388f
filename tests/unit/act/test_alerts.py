"""The alert stage: current alerts, who is told, requests, tombstones, bounds, restarts."""

import json
from collections.abc import Iterable

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.act.alerts import OLD_NEWS_NOTE, ActStage, restore
from pipeline.act.params import ActParams
from pipeline.act.remediation import RemediationParams, RemediationPolicy
from pipeline.contracts.alerts import Alert, AlertEvent, Delivery, Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.codec import decode
from pipeline.contracts.records import OutRecord
from pipeline.contracts.remediation import Action
from pipeline.contracts.rows import pack
from pipeline.errors import RecordInvalid, StateError
from tests.alert_samples import ORIGIN_MS, event, record

MINUTE_MS, DAY_MS = 60_000, 86_400_000
PARAMS = ActParams(old_news_ms=300_000, tombstone_after_ms=7 * DAY_MS)
REMEDIATION = RemediationParams(
    dry_run=False,
    max_per_service_per_hour=2,
    policies=(
        RemediationPolicy(name="people", service="*/payments", action=Action.PAGE_ONLY),
        RemediationPolicy(name="full", condition="saturation:*", action=Action.SCALE_OUT, cooldown_ms=0, dry_run=False),
        RemediationPolicy(name="restart", action=Action.RESTART, cooldown_ms=900_000),
    ),
)
SINCE = ORIGIN_MS - 20_000


def new_stage(params: ActParams = PARAMS, remediation: RemediationParams = REMEDIATION) -> ActStage:
    return restore(params, remediation, 0, {})


def life(*moments: tuple[Transition, int], condition: str = "latency", severity: Severity = Severity.PAGE) -> list[AlertEvent]:
    """Return the events of one life: each a transition and its minute."""
    fired = next((ORIGIN_MS + minute * MINUTE_MS for transition, minute in moments if transition is Transition.FIRED), None)
    return [
        event(t, at_ms=ORIGIN_MS + m * MINUTE_MS, since_ms=SINCE, fired_at_ms=fired, condition=condition, severity=severity)
        for t, m in moments
    ]


def feed_live(stage: ActStage, events: Iterable[AlertEvent], *, late_ms: int = 0, first_offset: int = 0) -> list[OutRecord]:
    """Return what the stage says when each event is read so long after it happened."""
    return [out for i, e in enumerate(events) for out in stage.step(record(first_offset + i, e), e.at_ms + late_ms)]


def alerts(outputs: Iterable[OutRecord]) -> list[Alert]:
    return [decode(out.value, Alert) for out in outputs if out.topic == "alerts" and out.value is not None]


def requests(outputs: Iterable[OutRecord]) -> list[dict[str, object]]:
    return [json.loads(out.value or b"")["data"] for out in outputs if out.topic == "remediation.requests"]


WHOLE = ((Transition.PENDING, 0), (Transition.FIRED, 1), (Transition.STILL_FIRING, 2), (Transition.RESOLVED, 3))


def test_an_alert_is_pending_then_notified_and_stays_so_to_its_end() -> None:
    outputs = feed_live(new_stage(), life(*WHOLE))

    assert [alert.delivery for alert in alerts(outputs)] == [Delivery.PENDING, *[Delivery.NOTIFIED] * 3]
    assert [alert.notified_at_ms for alert in alerts(outputs)] == [None, *[ORIGIN_MS + MINUTE_MS] * 3]
    assert {out.key for out in outputs if out.topic == "alerts"} == {"prod/cart/latency"}


def test_what_began_and_ended_during_an_outage_is_recorded_and_asks_for_nothing() -> None:
    outputs = feed_live(new_stage(), life(*WHOLE), late_ms=DAY_MS)

    assert [alert.delivery for alert in alerts(outputs)][1:] == [Delivery.RECORDED] * 3
    assert alerts(outputs)[-1].remediation_note == OLD_NEWS_NOTE
    assert requests(outputs) == []


def test_what_began_during_an_outage_and_goes_on_is_told_and_mended_once_tocsin_has_caught_up() -> None:
    stage = new_stage()
    old = feed_live(stage, life(*WHOLE)[:2], late_ms=DAY_MS)
    now = feed_live(stage, life(*WHOLE)[2:], first_offset=2)

    assert requests(old) == []
    assert [alert.delivery for alert in alerts(now)] == [Delivery.NOTIFIED] * 2
    assert [request["issued_at_ms"] for request in requests(now)] == [ORIGIN_MS + 2 * MINUTE_MS]


def test_an_end_alone_tells_nobody() -> None:
    (alert,) = alerts(feed_live(new_stage(), [event(Transition.RESOLVED)]))

    assert (alert.delivery, alert.notified_at_ms) == (Delivery.RECORDED, None)


def test_people_are_told_again_when_a_ticket_becomes_a_page() -> None:
    ticket = life((Transition.FIRED, 0), (Transition.STILL_FIRING, 1), severity=Severity.TICKET)
    page = life((Transition.STILL_FIRING, 2), (Transition.STILL_FIRING, 3), severity=Severity.PAGE)

    outputs = feed_live(new_stage(), [*ticket, *page])

    assert [alert.notified_at_ms for alert in alerts(outputs)] == [ORIGIN_MS + minute * MINUTE_MS for minute in (0, 0, 2, 2)]


def test_the_next_life_of_a_condition_starts_afresh() -> None:
    stage = new_stage()
    feed_live(stage, life(*WHOLE))

    (alert,) = alerts(feed_live(stage, [event(Transition.PENDING, at_ms=ORIGIN_MS + DAY_MS)], first_offset=4))

    assert (alert.delivery, alert.notified_at_ms, alert.remediation_id, alert.remediation_note) == (Delivery.PENDING, None, "", "")


def test_a_firing_alert_asks_once_and_names_the_request() -> None:
    outputs = feed_live(new_stage(), life(*WHOLE))

    (request,) = requests(outputs)
    assert (request["action"], request["policy"], request["dry_run"]) == ("restart", "restart", True)
    assert {alert.remediation_id for alert in alerts(outputs)[1:]} == {request["idempotency_key"]}
    assert alerts(outputs)[-1].remediation_note == "policy restart: restart was asked for, dry run"


@pytest.mark.parametrize(("switch", "dry_run"), [(True, True), (False, False)])
def test_a_request_is_real_only_when_switch_and_policy_say_so(switch: bool, dry_run: bool) -> None:
    remediation = RemediationParams(dry_run=switch, policies=REMEDIATION.policies)

    (request,) = requests(feed_live(new_stage(remediation=remediation), life((Transition.FIRED, 0), condition="saturation:cpu")))

    assert request["dry_run"] is dry_run


def test_a_request_held_back_says_so_and_follows_when_the_cooldown_is_over() -> None:
    stage = new_stage()
    feed_live(stage, life((Transition.FIRED, 0)))
    errors = life((Transition.FIRED, 1), (Transition.STILL_FIRING, 2), (Transition.STILL_FIRING, 15), condition="errors")

    outputs = feed_live(stage, errors, first_offset=1)

    assert [alert.remediation_note for alert in alerts(outputs)] == [
        "policy restart: restart is held back as it was asked for 60 s ago (cooldown 900 s)",
        "policy restart: restart is held back as it was asked for 120 s ago (cooldown 900 s)",
        "policy restart: restart was asked for, dry run",
    ]
    assert len(requests(outputs)) == 1


def test_the_cap_counts_all_actions_of_one_service_and_no_other() -> None:
    stage = new_stage()
    resources = [event(condition=f"saturation:{i}", at_ms=ORIGIN_MS + i) for i in range(5)]

    cart = feed_live(stage, resources)
    other = feed_live(stage, [event(service="other", at_ms=ORIGIN_MS + 9)], first_offset=5)

    assert (len(requests(cart)), len(requests(other))) == (2, 1)


def test_a_page_only_policy_keeps_later_ones_from_acting() -> None:
    outputs = feed_live(new_stage(), [event(service="payments")])

    assert requests(outputs) == []
    assert alerts(outputs)[0].remediation_note == "policy people: for people only"


def test_an_event_that_comes_twice_or_too_late_says_nothing_more() -> None:
    stage = new_stage()
    events = life(*WHOLE)
    feed_live(stage, events)

    assert feed_live(stage, events, first_offset=4) == []


def test_two_events_of_one_moment_are_both_taken() -> None:
    at = ORIGIN_MS
    moments = [event(Transition.RESOLVED, at_ms=at), event(Transition.PENDING, at_ms=at, since_ms=at - 10_000)]

    stage = new_stage()

    assert [alert.event.transition for alert in alerts(feed_live(stage, moments))] == [Transition.RESOLVED, Transition.PENDING]
    assert feed_live(stage, moments, first_offset=2) == []


def test_an_alert_leaves_the_compacted_topic_seven_days_after_its_end() -> None:
    stage = new_stage()
    feed_live(stage, life(*WHOLE))
    end_ms = ORIGIN_MS + 3 * MINUTE_MS

    before = feed_live(stage, [event(service="other", at_ms=end_ms + 7 * DAY_MS - 1)], first_offset=4)
    after = feed_live(stage, [event(Transition.STILL_FIRING, service="other", at_ms=end_ms + 7 * DAY_MS)], first_offset=5)

    assert [out for out in before if out.value is None] == []
    assert [out.key for out in after if out.value is None] == ["prod/cart/latency"]
    assert stage.take_changes()["alert:prod/cart/latency"] is None


def test_an_alert_that_fires_again_keeps_its_place() -> None:
    stage = new_stage()
    feed_live(stage, [*life(*WHOLE), event(Transition.FIRED, at_ms=ORIGIN_MS + DAY_MS)])

    later = feed_live(stage, [event(service="other", at_ms=ORIGIN_MS + 30 * DAY_MS)], first_offset=5)

    assert [out for out in later if out.value is None] == []


def test_rows_come_back_from_the_changelog_and_gone_ones_stay_gone() -> None:
    stage = new_stage()
    changelog: dict[str, bytes] = {}
    for i, e in enumerate([*life(*WHOLE), event(service="other", at_ms=ORIGIN_MS + 8 * DAY_MS)]):
        feed_live(stage, [e], first_offset=i)
        changelog |= {name: row for name, row in stage.take_changes().items() if row is not None}  # tombstones are ignored

    again = restore(PARAMS, REMEDIATION, 0, changelog)

    later = feed_live(again, [event(Transition.RESOLVED, service="other", at_ms=ORIGIN_MS + 9 * DAY_MS)], first_offset=5)
    assert [out.key for out in later] == ["prod/other/latency"]


def test_a_restored_stage_knows_how_late_it_is() -> None:
    stage = new_stage()
    feed_live(stage, [event(service="other", at_ms=ORIGIN_MS + 8 * DAY_MS)])
    rows = {name: row for name, row in stage.take_changes().items() if row is not None}

    outputs = feed_live(restore(PARAMS, REMEDIATION, 0, rows), [event(Transition.RESOLVED)], first_offset=1)

    assert [(out.key, out.value is None) for out in outputs] == [("prod/cart/latency", False), ("prod/cart/latency", True)]


def test_past_the_bound_the_alert_heard_of_longest_ago_goes() -> None:
    stage = new_stage(ActParams(max_alerts=2))
    moments = [event(Transition.RESOLVED, service="a"), event(service="b"), event(service="c"), event(service="d")]

    outputs = feed_live(stage, moments)

    assert [out.key for out in outputs if out.value is None] == ["prod/a/latency"]  # it had ended; b had not
    assert stage.n_forgotten == 1
    assert [name for name, row in stage.take_changes().items() if row is None] == ["alert:prod/a/latency", "alert:prod/b/latency"]


def test_the_rows_of_services_are_written_before_those_of_alerts_and_the_head_last() -> None:
    stage = new_stage()
    feed_live(stage, [event()])

    assert list(stage.take_changes()) == ["service:prod/cart", "alert:prod/cart/latency", "head"]


def test_a_crash_between_the_two_rows_does_not_hold_a_request_back_by_itself() -> None:
    stage = new_stage()
    feed_live(stage, [event()])
    rows = {name: row for name, row in stage.take_changes().items() if name.startswith("service:") and row is not None}

    again = restore(PARAMS, REMEDIATION, 0, rows)
    outputs = feed_live(again, [event(), event(condition="errors", at_ms=ORIGIN_MS + 1)])

    first, second = alerts(outputs)
    assert first.remediation_id
    assert first.remediation_note == "policy restart: restart was asked for, dry run"
    assert "held back" in second.remediation_note


@pytest.mark.parametrize("value", [None, b"", b"{", b"7", b'{"id": "x"}', b"\xff"])
def test_a_record_that_is_no_alert_event_is_refused_and_counts_as_read(value: bytes | None) -> None:
    stage = new_stage()

    with pytest.raises(RecordInvalid):
        stage.step(record(3, value), 0)

    assert stage.applied == 3


@pytest.mark.parametrize(
    ("name", "row", "complaint"),
    [
        ("alert:x", pack(0, b"{}"), "row 'alert:x' cannot be read"),
        ("service:x", pack(0, b'{"schema": 9}'), "has schema 9, not 1"),
        ("prod/cart", pack(0, b"{}"), "is of no known kind"),
        ("head", b"\0", "at least 8 bytes"),
    ],
)
def test_a_row_that_cannot_be_read_stops_the_stage(name: str, row: bytes, complaint: str) -> None:
    with pytest.raises(StateError, match=complaint):
        restore(PARAMS, REMEDIATION, 0, {name: row})


@pytest.mark.parametrize("wrong", [{"old_news_ms": -1}, {"max_alerts": 0}, {"source": "not a uri"}, {"sauce": "/x"}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ActParams).validate_python(wrong)
