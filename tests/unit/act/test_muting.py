"""A caller's alert is muted while what it calls was in alarm shortly before, and told when that is over."""

import pytest

from pipeline.act.alerts import ActStage, restore
from pipeline.act.params import ActParams
from pipeline.act.remediation import RemediationParams
from pipeline.contracts.alerts import Alert, AlertEvent, Delivery, Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.codec import decode
from pipeline.contracts.topology import CalleeKind, callee_name
from tests.alert_samples import ORIGIN_MS, event, feed

CALLS_DB = ("service:prod/db",)


def stage(mute_ms: int = 60_000) -> ActStage:
    return restore(ActParams(mute_ms=mute_ms, old_news_ms=2**60), RemediationParams(), 0, {})


def told(act: ActStage, *events: AlertEvent) -> dict[str, Alert]:
    alerts = [decode(out.value or b"", Alert) for out in feed(act, events) if out.topic == "alerts"]
    return {alert.service: alert for alert in alerts}


def of_db(at_s: int = 0, transition: Transition = Transition.FIRED) -> AlertEvent:
    at_ms = ORIGIN_MS + at_s * 1000
    return event(transition, at_ms=at_ms, since_ms=ORIGIN_MS - 20_000, service="db")


def of_cart(began_s: int, at_s: int | None = None, transition: Transition = Transition.FIRED) -> AlertEvent:
    since_ms = ORIGIN_MS - 20_000 + began_s * 1000
    at_ms = since_ms + 20_000 if at_s is None else ORIGIN_MS + at_s * 1000
    return event(transition, at_ms=at_ms, since_ms=since_ms, service="cart", callees=CALLS_DB)


@pytest.mark.parametrize(("began_s", "delivery"), [(0, Delivery.MUTED), (60, Delivery.MUTED), (61, Delivery.NOTIFIED)])
def test_a_caller_is_muted_when_its_callees_alarm_opened_at_most_six_windows_before(began_s: int, delivery: Delivery) -> None:
    alerts = told(stage(), of_db(), of_cart(began_s))

    assert alerts["db"].delivery is Delivery.NOTIFIED
    assert alerts["cart"].delivery is delivery
    assert alerts["cart"].muted_by == ("prod/db/latency" if delivery is Delivery.MUTED else "")


def test_a_caller_that_was_bad_first_is_told() -> None:
    assert told(stage(), of_db(30), of_cart(-10))["cart"].delivery is Delivery.NOTIFIED


def test_nobody_is_muted_by_a_service_that_it_does_not_call_or_when_muting_is_off() -> None:
    stranger = event(since_ms=ORIGIN_MS - 10_000, service="cart", callees=("service:prod/other", "service:prod/cart"))

    assert told(stage(), of_db(), stranger)["cart"].delivery is Delivery.NOTIFIED
    assert told(stage(0), of_db(), of_cart(0))["cart"].delivery is Delivery.NOTIFIED


@pytest.mark.parametrize("kind", CalleeKind)
def test_only_a_service_stands_for_its_caller_whatever_else_has_its_name(kind: CalleeKind) -> None:
    caller = event(since_ms=ORIGIN_MS - 10_000, service="cart", callees=(callee_name(kind, "prod", "db"),))

    delivery = Delivery.MUTED if kind is CalleeKind.SERVICE else Delivery.NOTIFIED

    assert told(stage(), of_db(), caller)["cart"].delivery is delivery


def test_a_muted_alert_that_goes_on_after_its_cause_is_told_then_and_one_that_ends_stays_muted() -> None:
    act = stage()
    muted = told(act, of_db(), of_cart(10), of_cart(10, 60, Transition.STILL_FIRING))
    assert muted["cart"].delivery is Delivery.MUTED
    assert "prod/db/latency stands for it" in muted["cart"].remediation_note

    later = feed(act, [of_db(70, Transition.RESOLVED), of_cart(10, 120, Transition.STILL_FIRING)], first_offset=3)

    assert decode(later[-1].value or b"", Alert).delivery is Delivery.NOTIFIED
    ended = told(stage(), of_db(), of_cart(10), of_cart(10, 60, Transition.RESOLVED))
    assert ended["cart"].delivery is Delivery.MUTED


def test_a_stage_that_was_restored_mutes_as_before() -> None:
    first = stage()
    told(first, of_db())
    rows = {name: row for name, row in first.take_changes().items() if row is not None}
    again = restore(ActParams(old_news_ms=2**60), RemediationParams(), 0, rows)

    outputs = feed(again, [of_cart(10)], first_offset=1)

    assert decode(outputs[0].value or b"", Alert).muted_by == "prod/db/latency"


def of(service: str, calls: tuple[str, ...], at_s: int, severity: Severity, transition: Transition) -> AlertEvent:
    callees = tuple(f"service:prod/{name}" for name in calls)
    at_ms, since_ms = ORIGIN_MS + at_s * 1000, ORIGIN_MS - 20_000
    return event(transition, at_ms=at_ms, since_ms=since_ms, service=service, callees=callees, severity=severity)


def test_services_that_call_each_other_do_not_mute_each_other_for_ever() -> None:
    page = Severity.PAGE
    before = (
        of("z", (), 0, page, Transition.FIRED),
        of("a", ("b", "z"), 1, page, Transition.FIRED),
        of("b", ("a", "z"), 2, page, Transition.FIRED),
    )
    both = told(stage(), *before)
    assert (both["a"].muted_by, both["b"].muted_by) == ("prod/z/latency", "prod/z/latency")

    after = told(
        stage(),
        *before,
        of("z", (), 30, page, Transition.RESOLVED),
        of("a", ("b", "z"), 60, page, Transition.STILL_FIRING),
        of("b", ("a", "z"), 61, page, Transition.STILL_FIRING),
    )

    assert after["a"].delivery is Delivery.NOTIFIED
    assert after["b"].muted_by == "prod/a/latency"  # whom a stands for: somebody was told of a


def test_what_nobody_was_told_of_stands_for_nothing() -> None:
    act = stage()
    old = restore(ActParams(old_news_ms=1), RemediationParams(), 0, {})
    feed(old, [of("db", (), 0, Severity.PAGE, Transition.FIRED)], now_ms=ORIGIN_MS + 60_000)
    rows = {name: row for name, row in old.take_changes().items() if row is not None}
    act = restore(ActParams(old_news_ms=2**60), RemediationParams(), 0, rows)

    outputs = feed(act, [of("cart", ("db",), 1, Severity.PAGE, Transition.FIRED)], first_offset=1)

    assert decode(outputs[0].value or b"", Alert).delivery is Delivery.NOTIFIED


def test_a_ticket_stands_for_no_page() -> None:
    ticket = of("db", (), 0, Severity.TICKET, Transition.FIRED)

    for severity, delivery in ((Severity.PAGE, Delivery.NOTIFIED), (Severity.TICKET, Delivery.MUTED)):
        assert told(stage(), ticket, of("cart", ("db",), 1, severity, Transition.FIRED))["cart"].delivery is delivery


def test_the_cause_of_a_muted_cause_is_named() -> None:
    page = Severity.PAGE
    chain = told(
        stage(),
        of("c", (), 0, page, Transition.FIRED),
        of("b", ("c",), 1, page, Transition.FIRED),
        of("a", ("b",), 2, page, Transition.FIRED),
    )

    assert (chain["b"].muted_by, chain["a"].muted_by) == ("prod/c/latency", "prod/c/latency")
