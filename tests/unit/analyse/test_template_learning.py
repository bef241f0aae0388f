"""Log lines beside the other detectors: who stops whom from learning, and what people say of them."""

from dataclasses import replace

import msgspec
import pytest

from pipeline.analyse.detection import Surroundings, restore
from pipeline.analyse.detection_params import TemplateParams
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.limits import Evicted
from pipeline.contracts.partials import FeedbackNote, FeedbackVerdict
from pipeline.contracts.signals import LogLines, Signals
from tests.unit.analyse.test_detection import PARAMS, Feed, finding, signals

QUICK = replace(PARAMS, templates=TemplateParams(ready_s=600, max_kinds=10))
N = 300


def logged(i: int, verdict: str = "", **lines: int) -> Signals:
    """A window with what is always logged, so many lines of other kinds, and what a person says of the new ones."""
    templates = {"served <*>": LogLines(n=50, severity="info")}
    templates |= {f"{word} broke": LogLines(n=n, severity="error", example=word) for word, n in lines.items()}
    window = signals(i)
    said = (
        [FeedbackNote(verdict=FeedbackVerdict(verdict), time_ms=window.window_start_ms, condition="template_new")]
        if verdict
        else []
    )
    return msgspec.structs.replace(window, templates=templates, feedback=said)


@pytest.fixture
def feed() -> Feed:
    trained = Feed(restore(QUICK, 3, {}, Surroundings()))
    for i in range(N):
        trained(logged(i))
    return trained


def new(verdict: Verdict | None) -> Finding:
    return finding(verdict, "template_new")


def test_a_service_that_logs_nothing_has_no_findings_about_it() -> None:
    feed = Feed(restore(QUICK, 3, {}, Surroundings()))

    verdict = feed(signals(0))

    assert verdict is not None
    assert not [found for found in verdict.findings if found.condition.startswith("template_")]


def test_an_alarm_about_log_lines_does_not_stop_the_others_from_learning(feed: Feed) -> None:
    verdicts = [feed(logged(i, disk=9)) for i in range(N, N + 5)]

    assert [new(verdict).judgement for verdict in verdicts] == [Judgement.ANOMALOUS] * 5
    assert [verdict and verdict.not_learned for verdict in verdicts] == [""] * 5
    assert finding(verdicts[4], "latency").n_seen == finding(verdicts[0], "latency").n_seen + 4


@pytest.mark.parametrize("verdict", ["false_positive", "new_normal"])
def test_what_a_person_calls_normal_ends_the_alarm(feed: Feed, verdict: str) -> None:
    feed(logged(N, disk=9))

    after = [feed(logged(N + 1, verdict, disk=9)), feed(logged(N + 2, disk=9))]

    assert [new(one).judgement for one in after] == [Judgement.NORMAL] * 2
    assert feed.stage.counts()["template_new"].marks()[verdict] == 1


def test_a_kind_that_comes_after_a_false_alarm_needs_more_lines(feed: Feed) -> None:
    feed(logged(N, disk=9))
    feed(logged(N + 1, "false_positive", disk=9))

    assert new(feed(logged(N + 2, net=3))).judgement is Judgement.NORMAL
    assert new(feed(logged(N + 3, net=3))).judgement is Judgement.ANOMALOUS


def test_what_is_expected_stays_a_ticket_and_says_so(feed: Feed) -> None:
    feed(logged(N, disk=9))

    told = new(feed(logged(N + 1, "expected", disk=9)))

    assert (told.judgement, told.severity, told.explanation["expected"]) == (Judgement.ANOMALOUS, Severity.TICKET, 1.0)


def test_kinds_that_go_for_want_of_room_are_counted(feed: Feed) -> None:
    for i in range(20):
        feed(logged(N + i, **{chr(97 + i) * 3: 1}))

    assert feed.stage.bounds_reached[Evicted.LOG_TEMPLATES] == 11
