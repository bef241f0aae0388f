"""The demonstration: breaks, waits to be noticed, mends, waits to be told that all is well."""

import msgspec

from pipeline.cli.demo import Demo, DemoParams, Outcome, Phase, Seen, alert_windows
from pipeline.contracts.alerts import AlertEvent, AlertState, Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.remediation import Action, RemediationRequest

LIVE_MS = 1_700_000_000_000
BEFORE = Seen(events=[], requests=[], live_since_ms=LIVE_MS)


def fired(service: str, at_ms: int) -> AlertEvent:
    return AlertEvent(
        id=f"{service}-fired",
        alert_id=f"{service}-1",
        dedup_key=f"demo/{service}/latency",
        transition=Transition.FIRED,
        state=AlertState.FIRING,
        environment="demo",
        service=service,
        version="1",
        condition="latency",
        signal="latency",
        severity=Severity.PAGE,
        since_ms=at_ms - 20_000,
        at_ms=at_ms,
        fired_at_ms=at_ms,
    )


def resolved(event: AlertEvent, at_ms: int) -> AlertEvent:
    return msgspec.structs.replace(
        event, id=f"{event.id}-resolved", transition=Transition.RESOLVED, state=AlertState.RESOLVED, at_ms=at_ms
    )


def request(service: str) -> RemediationRequest:
    return RemediationRequest(
        idempotency_key="k",
        action=Action.RESTART,
        environment="demo",
        service=service,
        version="1",
        alert_id=f"{service}-1",
        dedup_key=f"demo/{service}/latency",
        condition="latency",
        signal="latency",
        policy="p",
        reason="r",
        issued_at_ms=LIVE_MS,
        expires_at_ms=LIVE_MS + 1,
        dry_run=True,
    )


def broken() -> Demo:
    """A demonstration whose fault has begun."""
    demo = Demo(params=DemoParams(settle_ms=15_000, least_fault_ms=30_000))
    demo.step(BEFORE, LIVE_MS + 15_000)
    return demo


def test_nothing_breaks_before_live_signals_have_come_for_a_while() -> None:
    demo = Demo(params=DemoParams(settle_ms=15_000, least_fault_ms=30_000))

    assert demo.step(Seen(events=[], requests=[], live_since_ms=None), LIVE_MS + 900_000) == []
    assert demo.step(BEFORE, LIVE_MS + 14_999) == []
    assert demo.faults == ()


def test_the_fault_begins_with_a_window_that_is_not_drawn_yet() -> None:
    demo = broken()

    assert {fault.start_ms for fault in demo.faults} == {LIVE_MS + 20_000}
    assert {fault.service for fault in demo.faults} == {"payments"}
    assert demo.phase is Phase.FAULT


def test_it_is_mended_when_alert_and_request_were_seen_and_the_least_time_is_over() -> None:
    demo = broken()
    event = fired("payments", demo.start_ms + 20_000)

    only_alert = demo.step(Seen(events=[event], requests=[], live_since_ms=LIVE_MS), demo.start_ms + 35_000)
    both = demo.step(Seen(events=[event], requests=[request("payments")], live_since_ms=LIVE_MS), demo.start_ms + 36_000)

    assert only_alert == ["Demo: Tocsin noticed, 2 windows into the fault"]
    assert both == ["Demo: mending payments"]
    assert demo.first_alert_windows == 2
    assert {fault.end_ms for fault in demo.faults} == {demo.start_ms + 40_000}


def test_it_is_mended_at_the_latest_when_nobody_notices_and_goes_on_to_the_next_scene() -> None:
    demo = broken()

    assert demo.step(BEFORE, demo.start_ms + 60_000) == ["Demo: mending payments"]
    assert demo.step(BEFORE, demo.start_ms + 119_999) == []
    assert demo.step(BEFORE, demo.start_ms + 120_000) == ["Demo: Tocsin did not notice"]
    assert (demo.phase, demo.is_resolved, demo.first_alert_windows) == (Phase.WAITING, False, None)


def test_it_is_over_only_when_every_alert_of_the_service_is_resolved() -> None:
    demo = broken()
    first, second = (
        fired("payments", demo.start_ms + 20_000),
        msgspec.structs.replace(fired("payments", demo.start_ms + 20_000), id="other", alert_id="other"),
    )
    events = [first, second]
    demo.step(Seen(events=events, requests=[request("payments")], live_since_ms=LIVE_MS), demo.start_ms + 40_000)

    half = demo.step(
        Seen(events=[*events, resolved(first, demo.start_ms + 90_000)], requests=[], live_since_ms=LIVE_MS), demo.start_ms + 91_000
    )
    assert (half, demo.is_resolved) == ([], False)
    all_events = [*events, resolved(first, demo.start_ms + 90_000), resolved(second, demo.start_ms + 95_000)]
    whole = demo.step(Seen(events=all_events, requests=[], live_since_ms=LIVE_MS), demo.start_ms + 96_000)

    assert whole == ["Demo: payments is well again, its alerts are resolved"]
    assert demo.is_resolved


def test_an_alert_of_another_service_is_not_the_one_that_was_asked_for() -> None:
    demo = broken()

    demo.step(Seen(events=[fired("cart", demo.start_ms + 20_000)], requests=[], live_since_ms=LIVE_MS), demo.start_ms + 30_000)

    assert demo.first_alert_windows is None


def test_windows_are_counted_from_the_fault_s_first() -> None:
    assert [alert_windows(fired("payments", at_ms), 0) for at_ms in (10_000, 20_000, 30_001)] == [1, 2, 4]


def test_a_run_fails_for_each_thing_that_did_not_happen() -> None:
    good = Outcome(first_signal_s=41.0, first_alert_windows=3, alerts=1, remediations=1, resolved=1, is_resolved=True)
    bad = Outcome(first_signal_s=61.0, first_alert_windows=4, alerts=1, remediations=0, resolved=0, is_resolved=False)
    nothing = Outcome(first_signal_s=None, first_alert_windows=None, alerts=0, remediations=0, resolved=0, is_resolved=False)

    assert good.failures() == []
    assert len(bad.failures()) == len(nothing.failures()) == 4
    assert list(good.as_json()) == ["bench", "first_signal_s", "first_alert_windows", "alerts", "remediations", "resolved"]
