"""Novelty of five-minute series in the stage: what is told, what is learned, and that a shadow alerts nobody."""

import random
from typing import Any

import msgspec
import pytest

from pipeline.analyse.detection import Surroundings, restore
from pipeline.analyse.learning import LearningParams
from pipeline.analyse.lifecycle import AlertingParams
from pipeline.analyse.lifecycle import restore as restore_lifecycle
from pipeline.analyse.lives import ConditionRule
from pipeline.analyse.novelty_params import NoveltyParams
from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.partials import ChangeNote, FeedbackNote, FeedbackVerdict
from pipeline.contracts.records import InRecord
from pipeline.contracts.signals import Completeness, Errors, Latency, Saturation, Signals, Traffic
from tests.unit.analyse.test_detection import PARAMS, START_MS

ROLLUP_MS = 300_000
DAYS_3 = 3 * 288


def rollup(i: int, *, ms: float = 100.0, requests: int = 3000, errors: int = 6, cpu: float = 0.4, service: str = "cart") -> Signals:
    draw = random.Random(i)
    wobble = draw.uniform(0.97, 1.03)
    return Signals(
        id=str(i),
        environment="prod",
        service=service,
        version="1",
        window_start_ms=START_MS + i * ROLLUP_MS,
        window_end_ms=START_MS + (i + 1) * ROLLUP_MS,
        revision=1,
        rollup=True,
        latency=Latency(count=requests, mean_ms=ms * wobble, p50_ms=ms * wobble, p95_ms=3 * ms * wobble),
        traffic=Traffic(requests=requests, requests_per_second=requests * wobble / 300),
        errors=Errors(count=errors + draw.randint(0, 3)),
        saturation={"cpu": Saturation(mean=cpu * wobble, max=cpu)},
        completeness=Completeness(readings=requests, late=0, sources=1, delay_ms=0),
    )


class Feed:
    def __init__(self, mode: Any = "alert", **novelty: Any) -> None:
        around = Surroundings(novelty=NoveltyParams(mode=mode, **novelty), learning=LearningParams(raise_times=3, raise_most=10))
        self.stage = restore(PARAMS, 0, {}, around)
        self.offset = 0

    def __call__(self, signals: Signals) -> Verdict | None:
        outputs = self.stage.step(InRecord(offset=self.offset, timestamp_ms=0, key=None, value=encode(signals)), 0)
        self.offset += 1
        return decode(outputs[0].value or b"", Verdict) if outputs else None


def trained(mode: Any = "alert", **novelty: Any) -> Feed:
    feed = Feed(mode, **novelty)
    for i in range(DAYS_3):
        feed(rollup(i))
    return feed


def of(verdict: Verdict | None, name: str) -> Finding:
    assert verdict is not None
    return next(one for one in verdict.findings if one.condition == f"novelty:{name}")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("latency", {"ms": 180.0}),
        ("latency_p95", {"ms": 180.0}),
        ("errors", {"errors": 90}),
        ("traffic", {"requests": 600}),
        ("saturation", {"cpu": 0.7}),
    ],
)
def test_what_was_never_seen_is_told_with_band_rarity_and_confidence(name: str, fault: dict[str, Any]) -> None:
    feed = trained()

    usual, odd = of(feed(rollup(DAYS_3)), name), of(feed(rollup(DAYS_3 + 1, **fault)), name)

    assert usual.judgement is Judgement.NORMAL
    assert odd.judgement is Judgement.ANOMALOUS
    assert odd.observed is not None
    assert odd.lower is not None
    assert odd.upper is not None
    assert not odd.lower <= odd.observed <= odd.upper
    assert odd.lower <= (odd.expected or 0.0) <= odd.upper
    assert odd.explanation["one_in"] >= 100
    assert 2.5 < odd.explanation["days"] < 3.5
    assert odd.explanation.get("above_all" if name != "traffic" else "below_all") == 1.0
    assert 0.5 < odd.confidence < 1


def test_a_deviation_below_the_least_effect_is_no_alarm_however_rare() -> None:
    feed = trained()

    found = of(feed(rollup(DAYS_3, ms=110.0)), "latency")

    assert (found.score or 0.0) > found.explanation["threshold"]
    assert found.judgement is Judgement.NORMAL


def test_the_alarm_goes_on_while_it_is_hot_and_ends_when_it_is_calm() -> None:
    feed = trained()
    hot = [of(feed(rollup(DAYS_3 + i, ms=300.0)), "latency") for i in range(6)]
    calm = [of(feed(rollup(DAYS_3 + 6 + i)), "latency") for i in range(8)]

    assert {one.judgement for one in hot} == {Judgement.ANOMALOUS}
    assert {one.severity for one in hot} <= {Severity.PAGE, Severity.TICKET}
    assert not calm[0].is_recovered
    assert calm[-1].is_recovered
    assert {one.judgement for one in calm[-2:]} == {Judgement.NORMAL}


def test_the_second_outage_of_the_same_shape_scores_as_high_as_the_first() -> None:
    feed, scores = trained(), list[float]()
    for begin in (DAYS_3, DAYS_3 + 200):
        scores.append(max(of(feed(rollup(begin + i, ms=300.0)), "latency").score or 0.0 for i in range(24)))
        for i in range(24, 200):
            feed(rollup(begin + i))

    assert scores[1] >= 0.9 * scores[0]


def test_nothing_is_learned_while_a_change_is_open() -> None:
    feed = trained()
    before = of(feed(rollup(DAYS_3)), "latency").n_seen
    start_ms = START_MS + (DAYS_3 + 1) * ROLLUP_MS
    note = ChangeNote(type="maintenance", time_ms=start_ms, until_ms=start_ms + 3 * ROLLUP_MS)

    seen = [of(feed(msgspec.structs.replace(rollup(DAYS_3 + 1), changes=[note])), "latency").n_seen]
    seen += [of(feed(rollup(DAYS_3 + i)), "latency").n_seen for i in range(2, 6)]

    assert seen == [before] * 5


def test_learning_goes_on_when_the_curve_holds_no_trouble_any_more() -> None:
    feed = trained()
    before = of(feed(rollup(DAYS_3)), "latency").n_seen
    for i in range(1, 4):
        feed(rollup(DAYS_3 + i, ms=300.0))

    seen = [of(feed(rollup(DAYS_3 + i)), "latency").n_seen for i in range(4, 60)]

    assert seen[23] == before
    assert seen[-1] == before + len(seen) - 25


def test_feedback_ends_the_alarm_and_raises_the_threshold() -> None:
    feed = trained()
    first = of(feed(rollup(DAYS_3, errors=40)), "errors")
    said = FeedbackNote(verdict=FeedbackVerdict.FALSE_POSITIVE, time_ms=START_MS + DAYS_3 * ROLLUP_MS, condition="novelty:errors")

    told = of(feed(msgspec.structs.replace(rollup(DAYS_3 + 1), feedback=[said])), "errors")

    assert first.judgement is Judgement.ANOMALOUS
    assert told.is_recovered
    assert told.explanation["threshold"] > 2 * first.explanation["threshold"]
    assert feed.stage.counts()["novelty:errors"].marks() == {"opened": 1, "false_positive": 1, "expected": 0, "new_normal": 0}


@pytest.mark.parametrize(("mode", "events"), [("alert", [Transition.FIRED]), ("shadow", [])])
def test_a_shadow_alerts_nobody(mode: Any, events: list[Transition]) -> None:
    feed = trained(mode)
    params = AlertingParams(rules=(ConditionRule(match="novelty:*", pending_windows=1, recovery_windows=1),))
    lives = restore_lifecycle(params, Directory(), 0, {})

    verdict = feed(rollup(DAYS_3, ms=300.0, errors=6))

    assert verdict is not None
    assert verdict.rollup
    assert verdict.shadow is (mode == "shadow")
    outputs = lives.step(InRecord(offset=0, timestamp_ms=0, key=None, value=encode(verdict)), 0)
    told = [decode(output.value or b"", AlertEvent) for output in outputs]
    assert {event.transition for event in told} == set(events)
    if told:
        assert "higher than anything in 3 days; 1 in " in told[0].sentence


def test_off_means_no_verdict_and_past_the_limit_services_are_not_watched_and_counted() -> None:
    assert Feed("disabled")(rollup(0)) is None

    feed = Feed("shadow", max_services=1)

    assert feed(rollup(0, service="a")) is not None
    assert feed(rollup(0, service="b")) is None
    assert feed(rollup(1, service="a")) is not None
    assert feed.stage.n_unwatched == 1


def test_a_five_minute_window_gets_both_verdicts() -> None:
    feed = Feed()
    outputs = feed.stage.step(
        InRecord(offset=0, timestamp_ms=0, key=None, value=encode(msgspec.structs.replace(rollup(0), rollup=False))), 0
    )

    verdicts = [decode(output.value or b"", Verdict) for output in outputs]

    assert [verdict.rollup for verdict in verdicts] == [False, True]
    assert verdicts[0].id != verdicts[1].id


def test_few_requests_say_nothing_of_latency_and_errors() -> None:
    verdict = Feed()(rollup(0, requests=5, errors=0))

    assert verdict is not None
    assert {one.condition for one in verdict.findings} == {"novelty:traffic", "novelty:saturation"}
