"""When models learn: not while a change is open, and what people say of an alert decides what becomes of it."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from pipeline.analyse.calendar import CalendarEntry, CalendarParams
from pipeline.analyse.detection import DetectionParams, Surroundings, restore
from pipeline.analyse.learning import Count, Discipline, LearningParams
from pipeline.contracts.anomalies import Judgement, Severity, Verdict
from pipeline.contracts.partials import ChangeNote, FeedbackNote, FeedbackVerdict
from pipeline.contracts.signals import Signals
from tests.unit.analyse.test_detection import PARAMS, START_MS, Feed, finding, signals

DAY_MS = 86_400_000


def trained(n: int = 400, **around: Any) -> Feed:
    feed = Feed(restore(PARAMS, 3, {}, Surroundings(**around)))
    for i in range(n):
        feed(signals(i))
    return feed


def said(i: int, verdict: str, condition: str = "", **fault: Any) -> Signals:
    """A window in which a person says something of the service's alerts."""
    window = signals(i, **fault)
    note = FeedbackNote(verdict=FeedbackVerdict(verdict), time_ms=window.window_start_ms, condition=condition)
    return msgspec.structs.replace(window, feedback=[note])


def changed(i: int, kind: str, minutes: float | None = None, **fault: Any) -> Signals:
    """A window in which a change begins, and how long it says that it lasts."""
    window = signals(i, **fault)
    until_ms = None if minutes is None else window.window_start_ms + round(minutes * 60_000)
    return msgspec.structs.replace(window, changes=[ChangeNote(type=kind, time_ms=window.window_start_ms, until_ms=until_ms)])


def n_seen(verdict: Verdict | None, condition: str = "latency") -> int:
    return finding(verdict, condition).n_seen


@pytest.mark.parametrize(
    ("kind", "minutes", "frozen_windows"),
    [("deployment", None, 90), ("deployment", 5, 30), ("experiment", 10, 60), ("maintenance", 20, 120), ("incident", 1, 6)],
)
def test_learning_stops_while_a_change_is_open_and_goes_on_when_it_is_over(
    kind: str, minutes: float | None, frozen_windows: int
) -> None:
    feed = trained()
    before = n_seen(feed(signals(400)))

    opened = feed(changed(401, kind, minutes))
    verdicts = [feed(signals(i)) for i in range(402, 540)]

    frozen = [opened, *verdicts][:frozen_windows]
    assert {n_seen(verdict) for verdict in frozen} == {before}
    assert {verdict and verdict.not_learned for verdict in frozen} == {kind}
    assert n_seen(verdicts[-1]) == before + len(verdicts) + 1 - frozen_windows


def test_another_kind_of_change_stops_nothing() -> None:
    feed = trained()

    feed(changed(400, "config"))

    verdict = feed(signals(401))
    assert verdict is not None
    assert verdict.not_learned == ""
    assert n_seen(verdict) == 402


def test_a_later_change_of_the_same_type_ends_the_one_before() -> None:
    feed = trained()
    feed(changed(400, "incident"))

    feed(changed(401, "incident", 0))

    verdict = feed(signals(402))
    assert verdict is not None
    assert verdict.not_learned == ""


def test_a_forgotten_change_does_not_end_learning_for_good() -> None:
    discipline = Discipline(LearningParams())
    discipline.note_changes([ChangeNote(type="maintenance", time_ms=0, until_ms=300 * DAY_MS)])

    assert discipline.open_change(DAY_MS, DAY_MS + 1) == "maintenance"
    assert discipline.open_change(2 * DAY_MS, 2 * DAY_MS + 1) is None


def test_a_change_that_a_revision_brings_is_heard() -> None:
    feed = trained()
    late = msgspec.structs.replace(changed(399, "maintenance"), revision=2)

    assert feed(late) is None

    verdict = feed(signals(400))
    assert verdict is not None
    assert verdict.not_learned == "maintenance"


@pytest.mark.parametrize("kind", ["deployment", "experiment", "maintenance", "incident"])
@pytest.mark.parametrize(
    ("condition", "fault"), [("latency", {"ms": 400.0}), ("errors", {"errors": 15}), ("silence", {"silent": True})]
)
def test_what_breaks_things_while_learning_is_stopped_is_told_all_the_same(
    kind: str, condition: str, fault: dict[str, Any]
) -> None:
    frozen, free = trained(), trained()
    frozen(changed(400, kind))
    free(signals(400))

    first, usual = frozen(signals(401, **fault)), free(signals(401, **fault))

    assert finding(first, condition).score == pytest.approx(finding(usual, condition).score, rel=0.02)
    assert finding(first, condition).judgement is Judgement.ANOMALOUS
    assert finding(first, condition).severity is Severity.PAGE


@pytest.mark.parametrize(
    ("condition", "fault"), [("latency", {"ms": 250.0}), ("errors", {"errors": 8}), ("traffic", {"requests": 9})]
)
def test_a_second_outage_of_the_same_shape_scores_as_high_as_the_first(condition: str, fault: dict[str, Any]) -> None:
    feed, scores = trained(), list[float]()
    for begin in (400, 800):
        outage = [finding(feed(signals(i, **fault)), condition) for i in range(begin, begin + 120)]
        scores.append(max(abs(one.score or 0.0) for one in outage[:6]))
        for i in range(begin + 120, begin + 400):
            feed(signals(i))

    first, second = scores
    assert second >= 0.9 * first


def test_what_was_seen_in_an_incident_is_discarded_when_it_closes() -> None:
    feed = trained()
    expected = finding(feed(signals(400)), "latency").expected
    feed(changed(401, "incident", 60))
    for i in range(402, 740):
        feed(signals(i, ms=125.0))

    after = finding(feed(signals(800)), "latency")

    assert after.expected == pytest.approx(expected, rel=0.02)


def test_a_new_normal_is_learned_anew_and_ends_the_alarm() -> None:
    feed = trained()
    for i in range(400, 420):
        during = feed(signals(i, ms=250.0))

    told = feed(said(420, "new_normal", "latency", ms=250.0))
    for i in range(421, 600):
        later = feed(signals(i, ms=250.0))

    assert finding(during, "latency").judgement is Judgement.ANOMALOUS
    assert finding(told, "latency").is_recovered
    assert finding(later, "latency").judgement is Judgement.NORMAL
    assert finding(later, "latency").expected == pytest.approx(250 * 1.083, rel=0.2)
    assert n_seen(later, "errors") > 500


def test_a_false_positive_raises_the_condition_s_threshold_for_a_while_and_not_beyond_its_bound() -> None:
    discipline = Discipline(LearningParams(raise_times=1.5, raise_most=2.0, raise_s=100))

    for at_ms in (0, 1, 2):
        discipline.raise_threshold("latency", at_ms)

    assert discipline.thresholds(3) == {"latency": 2.0}
    assert discipline.thresholds(100_002) == {}


def test_after_a_false_positive_the_same_again_is_no_news_and_twice_as_much_is() -> None:
    around = {"learning": LearningParams(raise_times=3.0, raise_most=10.0)}
    feed, other = trained(**around), trained(**around)
    mild = {"errors": 5}
    assert finding(feed(signals(400, **mild)), "errors").judgement is Judgement.ANOMALOUS
    other(signals(400, **mild))

    feed(said(401, "false_positive", "errors"))
    other(signals(401))

    assert finding(feed(signals(440, **mild)), "errors").judgement is Judgement.NORMAL
    assert finding(other(signals(440, **mild)), "errors").judgement is Judgement.ANOMALOUS
    assert finding(feed(signals(441, errors=40)), "errors").judgement is Judgement.ANOMALOUS


def test_what_is_expected_is_told_by_day_until_it_is_over_and_then_pages_again() -> None:
    feed = trained()
    for i in range(400, 410):
        paged = feed(signals(i, ms=400.0))

    told = feed(said(410, "expected", "", ms=400.0))
    for i in range(411, 520):
        feed(signals(i))
    again = feed(signals(520, ms=400.0))

    assert finding(paged, "latency").severity is Severity.PAGE
    assert finding(told, "latency").judgement is Judgement.ANOMALOUS
    assert finding(told, "latency").severity is Severity.TICKET
    assert finding(again, "latency").severity is Severity.PAGE


def test_alarms_and_feedback_are_counted_by_condition_and_a_note_that_comes_twice_counts_once() -> None:
    feed = trained()
    for i in range(400, 404):
        feed(signals(i, errors=20))
    note = said(404, "false_positive", "errors")
    feed(note)
    feed(msgspec.structs.replace(note, revision=2))
    feed(said(405, "expected", "no-such-condition"))

    assert feed.stage.counts() == {"errors": Count(alarms=1, false_positive=1)}


def entry(**given: Any) -> CalendarEntry:
    return CalendarEntry(**{"name": "sale", "start": date(2026, 1, 5), "end": date(2026, 1, 5), **given})


def test_on_a_calendar_day_traffic_is_no_news_nothing_is_learned_and_errors_are_told() -> None:
    start = datetime.fromtimestamp(START_MS / 1000 + 4_000, UTC)
    feed = trained(calendar=CalendarParams(events=(entry(match="prod/*", start=start, end=start + timedelta(hours=1)),)))

    verdict = feed(signals(400, requests=4, errors=3))
    frozen = feed(signals(410))
    free = feed(signals(800))

    assert finding(verdict, "traffic").judgement is Judgement.NORMAL
    assert finding(verdict, "errors").judgement is Judgement.ANOMALOUS
    assert (verdict and verdict.not_learned, frozen and frozen.not_learned, free and free.not_learned) == (
        "calendar",
        "calendar",
        "",
    )


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        ({}, "2026-01-05T00:00+00:00", "2026-01-06T00:00+00:00"),
        ({"timezone": "Europe/Berlin"}, "2026-01-04T23:00+00:00", "2026-01-05T23:00+00:00"),
        (
            {"start": datetime(2026, 1, 5, 9), "end": datetime(2026, 1, 5, 10), "timezone": "Europe/Berlin"},  # noqa: DTZ001 - as YAML has it
            "2026-01-05T08:00+00:00",
            "2026-01-05T09:00+00:00",
        ),
        (
            {"start": datetime(2026, 1, 5, 9, tzinfo=timezone(timedelta(hours=2))), "end": date(2026, 1, 5)},
            "2026-01-05T07:00+00:00",
            "2026-01-06T00:00+00:00",
        ),
    ],
)
def test_dates_and_times_of_the_calendar(given: dict[str, Any], start: str, end: str) -> None:
    made = entry(**given)

    assert made.start_ms == datetime.fromisoformat(start).timestamp() * 1000
    assert made.end_ms == datetime.fromisoformat(end).timestamp() * 1000


def test_an_entry_concerns_the_services_that_it_matches() -> None:
    calendar = CalendarParams(events=(entry(match="prod/cart"), entry(match="staging/*")))
    noon = START_MS // DAY_MS * DAY_MS

    assert calendar.of("prod/cart").open_entry(noon, noon + 1) is not None
    assert calendar.of("prod/pay").open_entry(noon, noon + 1) is None


def test_discipline_survives_its_state() -> None:
    discipline = Discipline(LearningParams())
    discipline.note_changes([ChangeNote(type="deployment", time_ms=5)])
    discipline.raise_threshold("errors", 5)
    discipline.count_alarm("errors")
    note = FeedbackNote(verdict=FeedbackVerdict.EXPECTED, time_ms=1)
    discipline.heard([note])

    again = Discipline(LearningParams()).from_state(msgspec.msgpack.decode(msgspec.msgpack.encode(discipline.to_state())))

    assert again.to_state() == discipline.to_state()
    assert again.heard([note]) == []


def test_a_service_with_only_people_s_words_in_its_window_is_silent() -> None:
    window = said(0, "expected", silent=True)
    window = msgspec.structs.replace(window, completeness=msgspec.structs.replace(window.completeness, readings=1))

    assert window.is_silent
    assert DetectionParams().ready_windows
