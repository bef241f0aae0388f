"""Alerts and remediation under random verdicts, duplicates, restarts and crashes: what must hold whatever happens."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.act.alerts import restore as restore_act
from pipeline.act.params import ActParams
from pipeline.act.remediation import HOUR_MS, RemediationParams, RemediationPolicy
from pipeline.analyse.lifecycle import AlertingParams
from pipeline.analyse.lifecycle import restore as restore_life_cycle
from pipeline.analyse.lives import ConditionRule, Patience
from pipeline.contracts.alerts import Alert, AlertEvent, Delivery, Transition
from pipeline.contracts.anomalies import Severity, Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.directory import Directory
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.remediation import Action
from pipeline.contracts.stage import Stage
from tests.alert_samples import ORIGIN_MS, WINDOW_MS, alert_events, deployment, event, record, verdict

Restore = Callable[[Mapping[str, bytes]], Stage]
FEW = settings(max_examples=40, deadline=None)
CONDITIONS = ("latency", "errors", "saturation:cpu")
CAP, COOLDOWN_MS, OLD_NEWS_MS = 3, 600_000, 300_000


def life_cycle(rows: Mapping[str, bytes], *, max_services: int = 100) -> Stage:
    params = AlertingParams(
        rules=(ConditionRule(match="errors", pending_windows=1, recovery_windows=2),),
        patience=Patience(reminder_ms=30_000, max_pending_windows=4, give_up_ms=80_000),
        max_services=max_services,
        max_conditions=2,
    )
    return restore_life_cycle(params, Directory(), 0, rows)


def act(rows: Mapping[str, bytes], *, max_alerts: int = 1_000) -> Stage:
    params = ActParams(old_news_ms=OLD_NEWS_MS, tombstone_after_ms=120_000, max_alerts=max_alerts)
    policies = (
        RemediationPolicy(name="full", condition="saturation:*", action=Action.SCALE_OUT, cooldown_ms=0),
        RemediationPolicy(name="page", severity=Severity.PAGE, action=Action.RESTART, cooldown_ms=COOLDOWN_MS),
        RemediationPolicy(name="ticket", action=Action.SHED_LOAD, cooldown_ms=COOLDOWN_MS),
    )
    return restore_act(params, RemediationParams(max_per_service_per_hour=CAP, policies=policies), 0, rows)


@st.composite
def verdicts(draw: st.DrawFn, n_services: int = 2) -> list[Verdict]:
    """Return the verdicts of some services, window by window, as a partition would hold them."""
    made: list[Verdict] = []
    for window in range(draw(st.integers(1, 25))):
        for service in range(n_services):
            letters = {condition: draw(st.sampled_from(" AAPnNN-?")) for condition in CONDITIONS}
            changes = [deployment(-window * WINDOW_MS)] if draw(st.integers(0, 9)) == 0 else []
            retired = draw(st.integers(0, 30)) == 0
            made.append(verdict(window, letters, service=f"s{service}", changes=changes, retired=retired))
    return made


@st.composite
def events(draw: st.DrawFn) -> list[AlertEvent]:
    """Return firing alerts of one service, more or less in order of time."""
    at_ms = ORIGIN_MS
    made = []
    for _ in range(draw(st.integers(1, 60))):
        at_ms += draw(st.sampled_from([0, 10_000, 300_000, 900_000, 1_800_000]))
        made.append(
            event(
                draw(st.sampled_from([Transition.FIRED, Transition.STILL_FIRING])),
                at_ms=at_ms - draw(st.sampled_from([0, 0, 60_000])),
                condition=draw(st.sampled_from([*CONDITIONS, "saturation:disk"])),
                severity=draw(st.sampled_from(list(Severity))),
            )
        )
    return made


def records(values: Iterable[Verdict | AlertEvent]) -> list[InRecord]:
    return [record(offset, value) for offset, value in enumerate(values)]


def run(stage: Stage, incoming: Iterable[InRecord], late_ms: int = 0) -> list[list[OutRecord]]:
    """Return what a stage says to each record, read so long after the time that its event bears."""
    return [stage.step(one, _time_of(one) + late_ms) for one in incoming]


def _time_of(one: InRecord) -> int:
    return int(json.loads(one.value or b"{}").get("at_ms", 0))


def run_restarted(restore: Restore, incoming: list[InRecord], restarts: set[int]) -> list[list[OutRecord]]:
    """Return the same, when the stage is checkpointed and restored from its changelog after some records."""
    changelog: dict[str, bytes] = {}
    stage, said = restore({}), []
    for one in incoming:
        said += run(stage, [one])
        if one.offset in restarts:
            changelog |= {name: row for name, row in stage.take_changes().items() if row is not None}
            stage = restore(changelog)
            assert stage.applied == one.offset
    return said


def chain(values: list[Verdict]) -> list[InRecord]:
    """Return the alert events that the life-cycle stage makes of verdicts, as the next topic would hold them."""
    return records(alert_events(out for said in run(life_cycle({}), records(values)) for out in said))


@FEW
@given(values=verdicts(), restarts=st.sets(st.integers(0, 80)), max_services=st.sampled_from([1, 2, 100]))
def test_a_restored_life_cycle_says_what_an_uninterrupted_one_says(
    values: list[Verdict], restarts: set[int], max_services: int
) -> None:
    def restore(rows: Mapping[str, bytes]) -> Stage:
        return life_cycle(rows, max_services=max_services)

    incoming = records(values)

    assert run_restarted(restore, incoming, restarts) == run(restore({}), incoming)


@FEW
@given(values=verdicts(), restarts=st.sets(st.integers(0, 80)), max_alerts=st.sampled_from([1, 2, 100]))
def test_a_restored_alert_stage_says_what_an_uninterrupted_one_says(
    values: list[Verdict], restarts: set[int], max_alerts: int
) -> None:
    def restore(rows: Mapping[str, bytes]) -> Stage:
        return act(rows, max_alerts=max_alerts)

    incoming = chain(values)

    assert run_restarted(restore, incoming, restarts) == run(restore({}), incoming)


@pytest.mark.parametrize("restore", [life_cycle, act])
@FEW
@given(values=verdicts(), data=st.data())
def test_a_crash_in_the_middle_of_a_checkpoint_contradicts_nothing(
    restore: Restore, values: list[Verdict], data: st.DataObject
) -> None:
    incoming = records(values) if restore is life_cycle else chain(values)
    first, second = sorted(data.draw(st.tuples(st.integers(0, len(incoming)), st.integers(0, len(incoming)))))
    truth = run(restore({}), incoming)

    stage = restore({})
    run(stage, incoming[:first])
    whole = {name: row for name, row in stage.take_changes().items() if row is not None}
    run(stage, incoming[first:second])
    changes = [(name, row) for name, row in stage.take_changes().items() if row is not None]
    torn = dict(changes[: data.draw(st.integers(0, len(changes) - 1))])  # the head row is never among them
    again = restore({**whole, **torn})
    rerun = run(again, incoming[first:])

    for repeated, original in zip(rerun[: second - first], truth[first:second], strict=True):
        assert all(out in original for out in repeated)
    assert rerun[second - first :] == truth[second:]


@FEW
@given(values=verdicts(), data=st.data())
def test_verdicts_that_come_twice_change_nothing(values: list[Verdict], data: st.DataObject) -> None:
    repeated: list[Verdict] = []
    for i, value in enumerate(values):
        repeated.append(value)
        back = data.draw(st.integers(0, 4))
        repeated += values[max(0, i + 1 - back) : i + 1]

    once, twice = (alert_events(out for said in run(life_cycle({}), records(some)) for out in said) for some in (values, repeated))

    assert twice == once


@FEW
@given(values=verdicts(), data=st.data())
def test_alert_events_that_come_twice_change_nothing(values: list[Verdict], data: st.DataObject) -> None:
    incoming = chain(values)
    again = [record(0, one.value) for i, one in enumerate(incoming) for _ in range(data.draw(st.integers(1, 3)))]
    repeated = [InRecord(offset=i, timestamp_ms=0, key=None, value=one.value) for i, one in enumerate(again)]

    once, twice = ([out for said in run(act({}), some) for out in said] for some in (incoming, repeated))

    assert twice == once


@FEW
@given(values=verdicts())
def test_every_life_is_told_in_the_right_order(values: list[Verdict]) -> None:
    told = alert_events(out for said in run(life_cycle({}), records(values)) for out in said)

    steps: dict[str, list[Transition]] = {}
    for one in told:
        steps.setdefault(one.alert_id, []).append(one.transition)
        assert one.dedup_key == f"prod/{one.service}/{one.condition}"
    for life in steps.values():
        assert life.count(Transition.FIRED) <= 1
        assert life.count(Transition.PENDING) <= 1
        assert Transition.PENDING not in life[1:]
        if Transition.RESOLVED in life:
            assert Transition.FIRED in life[: life.index(Transition.RESOLVED)]
        if Transition.STILL_FIRING in life:
            assert Transition.FIRED in life[: life.index(Transition.STILL_FIRING)]
        if Transition.CANCELLED in life:
            assert life == [Transition.PENDING, Transition.CANCELLED]
        if Transition.RESOLVED in life:
            assert life.index(Transition.RESOLVED) == len(life) - 1


@FEW
@given(values=verdicts())
def test_event_ids_are_unique_and_sentences_are_one_plain_line(values: list[Verdict]) -> None:
    told = alert_events(out for said in run(life_cycle({}), records(values)) for out in said)

    assert len({one.id for one in told}) == len(told)
    assert all(one.sentence.isprintable() and one.sentence.endswith(".") for one in told)


@FEW
@given(values=verdicts())
def test_no_more_conditions_are_open_than_the_bound_allows(values: list[Verdict]) -> None:
    n_open: Counter[str] = Counter()
    for said in run(life_cycle({}), records(values)):
        for one in alert_events(said):
            is_end = one.transition in (Transition.RESOLVED, Transition.CANCELLED)
            is_begin = one.n_windows == 1 and one.transition in (Transition.PENDING, Transition.FIRED)
            n_open[one.service] += is_begin - is_end
        assert max(n_open.values(), default=0) <= 2


@settings(max_examples=80, deadline=None)
@given(moments=events())
def test_cap_and_cooldown_hold_in_any_hour(moments: list[AlertEvent]) -> None:
    asked = [
        json.loads(out.value or b"")["data"]
        for said in run(act({}), records(moments))
        for out in said
        if out.topic == "remediation.requests"
    ]

    times = sorted(request["issued_at_ms"] for request in asked)
    assert all(later - first >= HOUR_MS for first, later in zip(times, times[CAP:], strict=False))
    for action in (Action.RESTART, Action.SHED_LOAD):
        own = sorted(request["issued_at_ms"] for request in asked if request["action"] == action)
        assert all(later - first >= COOLDOWN_MS for first, later in itertools.pairwise(own))
    assert len({request["idempotency_key"] for request in asked}) == len(asked)


@FEW
@given(values=verdicts(), late_ms=st.integers(OLD_NEWS_MS + 1, 10**9))
def test_old_news_is_never_told_and_asks_for_nothing(values: list[Verdict], late_ms: int) -> None:
    outputs = [out for said in run(act({}), chain(values), late_ms) for out in said]

    assert {out.topic for out in outputs} <= {"alerts"}
    published = [decode(out.value, Alert) for out in outputs if out.value is not None]
    assert all(alert.delivery is not Delivery.NOTIFIED for alert in published)
    assert all(alert.delivery is Delivery.RECORDED for alert in published if alert.event.fired_at_ms is not None)


@FEW
@given(values=verdicts())
def test_what_fires_now_is_told(values: list[Verdict]) -> None:
    outputs = [out for said in run(act({}), chain(values)) for out in said]

    published = [decode(out.value, Alert) for out in outputs if out.topic == "alerts" and out.value is not None]
    assert all(alert.delivery is Delivery.NOTIFIED for alert in published if alert.event.fired_at_ms is not None)
