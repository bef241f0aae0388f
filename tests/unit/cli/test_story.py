"""What `explain` tells: seen, expected, decided and why, asked; of a service, and of one alert's life."""

import msgspec
import pytest

from pipeline.cli.story import Evidence, Story, find_alert, tell
from pipeline.contracts.alerts import Alert, AlertEvent, Delivery, ResolveReason, Transition
from pipeline.contracts.anomalies import Judgement, LogNote
from pipeline.contracts.remediation import RemediationResult, ResultStatus
from pipeline.contracts.signals import Completeness
from tests.cli_samples import START_MS, WINDOW_MS, deployment, event, request, verdict, window

PENDING, FIRED = event(1, Transition.PENDING), event(2, Transition.FIRED)
RESOLVED = event(9, Transition.RESOLVED, resolve_reason=ResolveReason.RECOVERED, n_windows=10)


def evidence(*events: AlertEvent, **changes: object) -> Evidence:
    values: dict[str, object] = {"key": "demo/cart", "signals": [window(i) for i in range(-20, 20)], "events": events}
    return Evidence(**{**values, **changes})  # type: ignore[arg-type]


def chapters(story: Story) -> dict[str, str]:
    return {chapter.heading: "\n".join(chapter.lines) for chapter in story.chapters}


def current(last: AlertEvent, delivery: Delivery, note: str = "") -> Alert:
    return Alert(
        environment="demo", service="cart", version="1.2.0", delivery=delivery, event=last, remediation_note=note
    )  # fmt: skip


@pytest.mark.parametrize("name", ["cart-1", FIRED.id, "demo/cart/latency"])
def test_an_alert_is_found_by_its_id_its_event_and_its_dedup_key(name: str) -> None:
    assert find_alert(name, [PENDING, FIRED]) is not None
    assert find_alert(name + "x", [PENDING, FIRED]) is None


def test_a_dedup_key_means_the_newest_life() -> None:
    again = event(30, Transition.PENDING, life="2")

    assert find_alert("demo/cart/latency", [FIRED, RESOLVED, again]) is again


def test_a_quiet_service_has_its_windows_and_nothing_firing() -> None:
    judged = [verdict(i, Judgement.NORMAL, observed=10.0, lower=0.0, upper=40.0, score=0.4) for i in range(20)]

    story = tell(evidence(verdicts=judged))

    told = chapters(story)
    assert "14 windows from 2023-11-14 22:14:20 to 22:16:40 UTC." in told["What was seen"]
    assert told["What was expected"] == ("latency: up to 40 ms; was 10 ms, +0.4 standard deviations: normal (500 windows learned).")
    assert told["What was decided, and why"] == "Nothing is firing now."
    assert told["What was asked of bots"] == "Nothing."
    assert {row[-1] for row in story.rows} == {"normal"}


def test_windows_that_nobody_could_judge_are_not_called_normal() -> None:
    story = tell(evidence(verdicts=[verdict(19, Judgement.NOT_READY, n_seen=1), verdict(18, Judgement.ANOMALOUS)]))

    assert [row[-1] for row in story.rows[-3:]] == ["not judged", "latency", "learning"]
    learning = tell(evidence(verdicts=[verdict(19, Judgement.NOT_READY, n_seen=1)]))
    assert chapters(learning)["What was expected"] == "latency: still learning, 1 window so far."


def test_silence_and_late_readings_are_seen() -> None:
    nothing = Completeness(readings=0, late=3, sources=0, delay_ms=0)
    silent = window(19, p95_ms=None, completeness=nothing, most_constrained=None, saturation={})

    told = chapters(tell(evidence(signals=[window(18), silent])))["What was seen"]

    assert "In 1 of them nothing at all was heard of it." in told
    assert "3 readings of it came too late" in told


def test_an_alert_is_told_with_the_windows_around_it_and_each_of_its_steps() -> None:
    change = {"change": deployment(60_000), "recent_change": "deployment of 1.4.3 1 minute before"}
    resolved = msgspec.structs.replace(RESOLVED, **change)

    story = tell(evidence(PENDING, FIRED, resolved), resolved)

    told = chapters(story)
    assert story.title == "latency of demo/cart, resolved"
    assert "19 windows from 2023-11-14 22:12:20 to 22:15:30 UTC." in told["What was seen"]
    assert "deployment 1.4.3 at 22:12:20." in told["What was seen"]
    decided = told["What was decided, and why"]
    assert [word for word in ("PENDING", "FIRED", "RESOLVED") if word in decided] == ["PENDING", "FIRED", "RESOLVED"]
    assert "97% sure, after 10 windows." in decided
    assert "It lasted 1 min 40 s (recovered)." in decided
    assert "Shortly before: deployment of 1.4.3 1 minute before." in decided


@pytest.mark.parametrize(
    ("delivery", "words"),
    [
        (Delivery.PENDING, "Nobody was told yet."),
        (Delivery.NOTIFIED, "People were told."),
        (Delivery.RECORDED, "Old news: recorded, nobody was told."),
    ],
)
def test_an_alert_says_who_was_told(delivery: Delivery, words: str) -> None:
    told = chapters(tell(evidence(FIRED, alerts=[current(FIRED, delivery, "cooldown until 22:20")]), FIRED))

    assert words in told["What was decided, and why"]
    assert "Remediation: cooldown until 22:20." in told["What was decided, and why"]


def test_what_another_life_was_told_is_not_said_of_this_one() -> None:
    other = event(30, Transition.FIRED, life="2")

    told = chapters(tell(evidence(FIRED, other, alerts=[current(other, Delivery.NOTIFIED)]), FIRED))

    assert "People were told." not in told["What was decided, and why"]


def test_what_fired_beside_an_alert_that_is_over_is_told_in_the_past() -> None:
    firing, over = (msgspec.structs.replace(e, also_firing=["errors"]) for e in (FIRED, RESOLVED))

    assert "Also firing: errors." in chapters(tell(evidence(firing), firing))["What was decided, and why"]
    assert "Also firing then: errors." in chapters(tell(evidence(over), over))["What was decided, and why"]


def test_requests_and_their_results_belong_to_their_alert() -> None:
    result = RemediationResult(
        idempotency_key="k1", status=ResultStatus.SUCCEEDED, environment="demo", service="cart", at_ms=START_MS + 5 * WINDOW_MS
    )
    other = msgspec.structs.replace(request(key="k2"), alert_id="cart-2")

    story = tell(evidence(FIRED, requests=[request(), other], results=[result]), FIRED)

    assert chapters(story)["What was asked of bots"].splitlines() == [
        "22:13:40 restart (dry run), policy restart-slow, expires 22:23:40: it is slow",
        "22:14:10 succeeded (k1)",
    ]


def test_machines_get_the_same_evidence_without_histograms() -> None:
    data = msgspec.json.decode(msgspec.json.encode(tell(evidence(FIRED), FIRED).data))

    assert data["service"] == "demo/cart"
    assert [window["id"] for window in data["windows"]][:2] == ["cart--6", "cart--5"]
    assert data["alert"]["alert_id"] == "cart-1"
    assert all("histogram" not in window for window in data["windows"])


def test_an_alert_about_log_lines_shows_one_of_them_escaped() -> None:
    log = LogNote(template="no route to <*>", severity="error", n=4, example="no route to \x1b[31m10.0.0.1")
    fired = msgspec.structs.replace(FIRED, log=log)

    told = chapters(tell(evidence(PENDING, fired, RESOLVED), RESOLVED))

    assert r"Log lines: no route to <*> (error), such as: no route to \x1b[31m10.0.0.1" in told["What was decided, and why"]
