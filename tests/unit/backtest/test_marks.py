"""Alerts against labels. Times are in seconds; every history here is one service-day."""

import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.shop import load_module
from pipeline.backtest.fired import Fired
from pipeline.backtest.labels import Label, Labels
from pipeline.backtest.marks import Worth, mark
from pipeline.contracts.anomalies import Severity

DAY_S = 86_400


def alert(service: str, at_s: float, *, environment: str = "prod") -> Fired:
    return Fired(
        environment=environment,
        service=service,
        condition="latency",
        severity=Severity.PAGE,
        at_ms=int(at_s * 1000),
        since_ms=int(at_s * 1000) - 10_000,
        alert_id=f"{service}{at_s}",
        is_escalation=False,
        sentence="",
    )


def label(service: str, start_s: int, end_s: int, **more: Any) -> Label:
    return Label(name=f"{service}{start_s}", service=service, start_ms=start_s * 1000, end_ms=end_s * 1000, **more)


def worths(labels: Labels, *alerts: Fired) -> list[Worth]:
    return [judged.worth for judged in mark(labels, alerts, service_days=1.0).judged]


@pytest.mark.parametrize(
    ("at_s", "worth"),
    [(999, Worth.FALSE), (1000, Worth.OWN), (2000, Worth.OWN), (2120, Worth.OWN), (2121, Worth.FALSE)],
)
def test_an_alert_finds_a_label_from_its_start_to_two_minutes_after_its_end(at_s: int, worth: Worth) -> None:
    assert worths(Labels(labels=(label("cart", 1000, 2000),)), alert("cart", at_s)) == [worth]


def test_without_affected_services_an_alert_elsewhere_is_false() -> None:
    assert worths(Labels(labels=(label("cart", 1000, 2000),)), alert("edge", 1500)) == [Worth.FALSE]


@pytest.mark.parametrize(
    ("service", "at_s", "worth"),
    [
        ("edge", 1500, Worth.NEUTRAL),
        ("edge", 2900, Worth.NEUTRAL),
        ("edge", 2901, Worth.FALSE),
        ("cart", 2500, Worth.NEUTRAL),
        ("other", 1500, Worth.FALSE),
    ],
)
def test_an_alert_on_an_affected_service_is_neutral_up_to_a_quarter_of_an_hour_later(service: str, at_s: int, worth: Worth) -> None:
    affected = frozenset({"cart", "edge"})

    assert worths(Labels(labels=(label("cart", 1000, 2000, affected=affected),)), alert(service, at_s)) == [worth]


def test_a_label_with_an_environment_is_found_only_there() -> None:
    labels = Labels(labels=(label("cart", 1000, 2000, environment="prod"),))

    assert worths(labels, alert("cart", 1500), alert("cart", 1500, environment="test")) == [Worth.OWN, Worth.FALSE]


def test_recall_precision_and_delay_follow() -> None:
    labels = Labels(
        labels=(
            label("cart", 1000, 2000, kind="slow", is_hard=True),
            label("cart", 9000, 9900, kind="slow", is_hard=False),
            label("edge", 5000, 6000, kind="errors", is_hard=True),
        )
    )
    alerts = [alert("cart", 1050), alert("cart", 1900), alert("cart", 9030), alert("edge", 7000)]

    figures = mark(labels, alerts, service_days=4.0).figures()

    assert figures["recall"] == 0.6667
    assert figures["precision"] == 0.6667  # two labels found, one false alert: further alerts on a found label cost nothing
    assert figures["false_alerts_per_service_day"] == 0.25
    assert (figures["median_delay_s"], figures["p90_delay_s"]) == (40.0, 48.0)
    assert figures["alerts"] == {"own": 3, "neutral": 0, "false": 1, "ignored": 0}
    assert figures["hard"] == {"labels": 2, "detected": 1, "recall": 0.5, "median_delay_s": 50.0, "p90_delay_s": 50.0}
    assert figures["kinds"]["errors"]["detected"] == 0  # type: ignore[index]


def test_before_the_scored_time_nothing_counts() -> None:
    labels = Labels(labels=(label("cart", 100, 200), label("cart", 1000, 2000)), scored_from_ms=500_000)

    marks = mark(labels, [alert("cart", 150), alert("cart", 500), alert("cart", 501)], service_days=1.0)

    assert [one.worth for one in marks.judged] == [Worth.IGNORED, Worth.IGNORED, Worth.FALSE]
    assert len(marks.labels) == 1


def test_a_label_behind_the_end_of_the_history_does_not_count() -> None:
    labels = Labels(labels=(label("cart", 1000, 2000), label("cart", 5000, 6000)))

    assert mark(labels, [], service_days=1.0, until_ms=4_000_000).figures()["labels"] == 1


def test_a_false_alert_is_put_down_to_the_shortest_harmless_event() -> None:
    labels = Labels(harmless=(label("cart", 0, 5000, kind="surge"), label("cart", 900, 950, kind="spike")))

    marks = mark(labels, [alert("cart", 1000), alert("cart", 4000), alert("cart", 9000)], service_days=1.0)

    assert [one.harmless.kind if one.harmless else None for one in marks.judged] == ["spike", "surge", None]


def test_without_labels_and_alerts_no_share_is_made_up() -> None:
    figures = mark(Labels(), [], service_days=0.0).figures()

    assert [figures[name] for name in ("recall", "precision", "false_alerts_per_service_day", "median_delay_s")] == [None] * 4


@pytest.mark.data
@pytest.mark.parametrize("seed", range(20))
def test_the_exams_own_scorer_agrees(seed: int, shared_dir: Path) -> None:
    score = load_module(shared_dir / "exam" / "score.py").score
    drawn = random.Random(seed)
    services = ["a", "b", "c", "d"]
    faults = []
    for i in range(8):
        service, start = drawn.choice(services), DAY_S + drawn.randrange(DAY_S)
        affected = sorted({service, *drawn.sample(services, 2)})
        faults.append(
            {"id": f"F{i}", "kind": drawn.choice("xy"), "hard": drawn.random() < 0.5, "service": service, "start": start}
            | {"end": start + drawn.randrange(300, 3000), "affected": affected}
        )
    truth = {"services": services, "calls": [], "window_s": 10, "warmup_until": DAY_S, "until": 2 * DAY_S}
    truth |= {"faults": faults, "benign": []}
    told = [alert(drawn.choice(services), drawn.randrange(0, 2 * DAY_S, 10)) for _ in range(40)]
    told += [alert(fault["service"], fault["start"] + drawn.randrange(400)) for fault in faults[:5]]
    labels = Labels(
        labels=tuple(
            label(fault["service"], fault["start"], fault["end"], affected=frozenset(fault["affected"]), is_hard=fault["hard"])
            for fault in faults
        ),
        scored_from_ms=DAY_S * 1000,
    )

    theirs = score(truth, [{"service": one.service, "fired_at": one.at_ms / 1000, "severity": "page"} for one in told])
    ours = mark(labels, told, service_days=4.0).figures()

    assert ours["alerts"] == theirs["alerts"]
    for name in ("recall", "precision", "false_alerts", "false_alerts_per_service_day"):
        assert ours[name] == theirs[name]
    assert ours["median_delay_s"] == pytest.approx(theirs["median_delay_windows"] * 10)
    assert ours["hard"]["recall"] == theirs["recall_hard"]  # type: ignore[index]
    assert ours["hard"]["p90_delay_s"] == pytest.approx(theirs["p90_delay_hard_windows"] * 10, abs=0.1)  # type: ignore[index]
