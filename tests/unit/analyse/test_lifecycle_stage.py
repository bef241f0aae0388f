"""The life-cycle stage: events, ids, duplicates, bounds, restarts."""

import pytest

from pipeline.analyse.lifecycle import AlertingParams, LifecycleStage, restore
from pipeline.analyse.lives import ConditionRule, Patience
from pipeline.contracts.alerts import AlertEvent, ResolveReason, Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.directory import Directory, ServiceEntry
from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.ids import content_id
from pipeline.contracts.partials import ChangeNote
from pipeline.contracts.rows import pack
from pipeline.errors import RecordInvalid, StateError
from tests.alert_samples import ORIGIN_MS, alert_events, deployment, feed, record, verdict

PARAMS = AlertingParams(
    actions={"latency": "See which operation is slow.", "deployment": "Roll back.", "saturation": "Add capacity."},
    runbooks={"*": "docs/runbook.md#{condition}"},
)
DIRECTORY = Directory(
    services=(ServiceEntry(match="prod/cart", owner="team-orders", actions={"errors": "Shed load."}), ServiceEntry(match="*"))
)


def new_stage(params: AlertingParams = PARAMS) -> LifecycleStage:
    return restore(params, DIRECTORY, 0, {})


def told(letters: str, params: AlertingParams = PARAMS, *, size_ms: int = 10_000) -> list[AlertEvent]:
    """Return the events of latency windows, one letter each."""
    return alert_events(feed(new_stage(params), [verdict(i, letter, size_ms=size_ms) for i, letter in enumerate(letters)]))


def steps(letters: str, params: AlertingParams = PARAMS, *, size_ms: int = 10_000) -> list[tuple[str, int]]:
    """Return (transition, window that caused it) of latency windows."""
    return [(event.transition.value, (event.at_ms - ORIGIN_MS) // size_ms - 1) for event in told(letters, params, size_ms=size_ms)]


@pytest.mark.parametrize("size_ms", [10_000, 60_000, 300_000])
def test_a_fault_is_pending_then_firing_then_resolved_whatever_the_window(size_ms: int) -> None:
    seen = [step for step in steps("NAAANNNN", size_ms=size_ms) if step[0] != "still_firing"]

    assert seen == [("pending", 1), ("fired", 2), ("resolved", 6)]


def test_one_bad_window_is_cancelled_and_never_fires() -> None:
    assert steps("NANNN") == [("pending", 1), ("cancelled", 2)]


def test_a_firing_alert_says_so_again_each_minute() -> None:
    assert steps("A" * 16) == [("pending", 0), ("fired", 1), ("still_firing", 7), ("still_firing", 13)]


def test_an_alert_that_becomes_a_page_says_so_at_once() -> None:
    events = told("AAAP")

    assert [(event.transition, event.severity) for event in events[1:]] == [
        (Transition.FIRED, Severity.TICKET),
        (Transition.STILL_FIRING, Severity.PAGE),
    ]


def test_no_data_neither_ends_nor_confirms_a_condition() -> None:
    assert steps("A-?A---NN-N") == [("pending", 0), ("fired", 3), ("still_firing", 9), ("resolved", 10)]


def test_an_alert_of_which_nothing_is_heard_ends_unconfirmed() -> None:
    params = AlertingParams(patience=Patience(give_up_ms=30_000, reminder_ms=600_000))

    events = told("AA---", params)

    assert (events[-1].transition, events[-1].resolve_reason) == (Transition.RESOLVED, ResolveReason.NOT_CONFIRMED)


def test_retirement_ends_what_fires_and_cancels_what_is_pending() -> None:
    stage = new_stage()
    values = [verdict(0, {"latency": "A"}), verdict(1, {"latency": "A", "errors": "A"}), verdict(2, "A", retired=True)]

    last = alert_events(feed(stage, values))[-2:]

    assert {(event.condition, event.transition, event.resolve_reason) for event in last} == {
        ("latency", Transition.RESOLVED, ResolveReason.RETIRED),
        ("errors", Transition.CANCELLED, ResolveReason.RETIRED),
    }
    assert not feed(stage, [verdict(i, "N") for i in range(3, 9)], first_offset=3)


def test_ids_come_from_dedup_key_begin_transition_and_time() -> None:
    pending, fired = told("AA")

    assert fired.dedup_key == "prod/cart/latency"
    assert fired.alert_id == pending.alert_id == content_id("alert", "prod/cart/latency", ORIGIN_MS)
    assert fired.id == content_id("alert-event", fired.alert_id, "fired", ORIGIN_MS + 20_000)


def test_the_same_condition_next_time_is_the_same_dedup_key_and_another_alert() -> None:
    fired = [event for event in told("AANNNNAA") if event.transition is Transition.FIRED]

    assert len({event.dedup_key for event in fired}) == 1
    assert len({event.alert_id for event in fired}) == 2


def test_every_condition_has_a_life_of_its_own_and_names_the_others_that_fire() -> None:
    values = [verdict(i, {"latency": "A", "errors": "A", "saturation:cpu": "N"}) for i in range(2)]

    latency, errors = alert_events(feed(new_stage(), values))[-2:]

    assert (latency.condition, latency.also_firing) == ("latency", ["errors"])
    assert (errors.condition, errors.also_firing) == ("errors", ["latency"])
    assert errors.sentence.endswith("; latency is firing too.")


def test_the_owner_runbook_and_the_services_own_advice_go_with_the_alert() -> None:
    latency, errors = alert_events(feed(new_stage(), [verdict(i, {"latency": "A", "errors": "A"}) for i in range(2)]))[-2:]

    assert (latency.owner, latency.runbook) == ("team-orders", "docs/runbook.md#latency")
    assert (latency.suggested_action, errors.suggested_action) == ("See which operation is slow.", "Shed load.")


def test_a_kind_of_condition_has_advice_for_all_its_resources() -> None:
    (event,) = alert_events(feed(new_stage(), [verdict(0, {"saturation:disk:/var": "A"})]))

    assert (event.suggested_action, event.runbook) == ("Add capacity.", "docs/runbook.md#saturation")


def test_a_deployment_shortly_before_is_told_through_the_whole_life() -> None:
    values = [verdict(0, "A", changes=[deployment(120_000)]), *[verdict(i, "A") for i in range(1, 500)]]

    events = alert_events(feed(new_stage(), values))

    assert {event.recent_change for event in events} == {"deployment of 1.4.3 2 minutes before"}
    assert events[1].change == deployment(120_000)
    assert events[1].suggested_action == "Roll back."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (deployment(3_600_001), ""),
        (deployment(3_600_000), "deployment of 1.4.3 60 minutes before"),
        (deployment(-9_000), "deployment of 1.4.3 as it began"),
        (deployment(-11_000), ""),
        (ChangeNote(type="retirement", time_ms=ORIGIN_MS - 1), ""),
        (ChangeNote(type="experiment", time_ms=ORIGIN_MS - 60_000), "experiment 1 minute before"),
    ],
)
def test_only_a_change_shortly_before_or_as_it_began_is_told(change: ChangeNote, words: str) -> None:
    events = alert_events(feed(new_stage(), [verdict(0, "A", changes=[change]), verdict(1, "A"), verdict(2, "A")]))

    assert events[-1].recent_change == words


def test_a_deployment_while_all_was_well_is_remembered_for_the_problem_that_follows() -> None:
    events = alert_events(feed(new_stage(), [verdict(0, "N", changes=[deployment(0)]), verdict(1, "N"), verdict(2, "A")]))

    assert [event.recent_change for event in events] == ["deployment of 1.4.3 20 seconds before"]


def test_a_change_that_was_published_late_is_still_told() -> None:
    events = alert_events(feed(new_stage(), [verdict(0, "A"), verdict(1, "A", changes=[deployment(5_000)])]))

    assert [event.recent_change for event in events] == ["", "deployment of 1.4.3 5 seconds before"]


def test_a_verdict_that_comes_twice_says_nothing_more() -> None:
    stage = new_stage()
    values = [verdict(i, letter) for i, letter in enumerate("AANNN")]
    feed(stage, values)

    assert feed(stage, values[1:], first_offset=5) == []


def test_a_rollup_and_a_base_window_do_not_count_for_each_other() -> None:
    stage = new_stage()
    values = [verdict(0, "A"), verdict(0, "A", size_ms=300_000, rollup=True), verdict(1, "A", size_ms=300_000, rollup=True)]

    assert [event.transition for event in alert_events(feed(stage, values))] == [Transition.PENDING]


def test_a_rollups_alert_is_another_one_than_a_base_windows_that_began_at_the_same_time() -> None:
    base = told("A")[0]
    (rollup,) = alert_events(feed(new_stage(), [verdict(0, "A", size_ms=300_000, rollup=True)]))

    assert rollup.dedup_key == base.dedup_key
    assert rollup.alert_id != base.alert_id


def test_a_calm_service_leaves_no_row() -> None:
    stage = new_stage()

    feed(stage, [verdict(i, "N", service=f"s{i % 5}") for i in range(50)])

    assert list(stage.take_changes()) == ["head"]


def test_the_head_row_is_the_last_and_rows_are_told_once() -> None:
    stage = new_stage()
    feed(stage, [verdict(0, "A", service="b"), verdict(0, "A", service="a")])

    assert list(stage.take_changes()) == ["prod/b", "prod/a", "head"]
    assert list(stage.take_changes()) == ["head"]


def test_past_the_bound_the_service_touched_longest_ago_goes_and_is_told_as_forgotten() -> None:
    stage = new_stage(AlertingParams(max_services=1))
    values = [verdict(0, "A"), verdict(1, "A"), verdict(1, "A", service="other")]

    forgotten = alert_events(feed(stage, values))[-1]

    assert (forgotten.service, forgotten.transition, forgotten.resolve_reason) == (
        "cart",
        Transition.RESOLVED,
        ResolveReason.FORGOTTEN,
    )
    assert stage.n_forgotten == 1
    assert stage.take_changes()["prod/cart"] is None


def test_past_the_bound_no_further_condition_of_a_service_is_opened() -> None:
    stage = new_stage(AlertingParams(max_conditions=2))

    events = alert_events(feed(stage, [verdict(0, {f"saturation:{i}": "A" for i in range(5)})]))

    assert (len(events), stage.n_not_opened) == (2, 3)


def test_the_first_rule_that_matches_a_condition_counts() -> None:
    params = AlertingParams(
        rules=(ConditionRule(match="saturation:*", pending_windows=1), ConditionRule(match="*", pending_windows=3))
    )
    values = [verdict(i, {"latency": "A", "saturation:cpu": "A"}) for i in range(3)]

    fired = [event for event in alert_events(feed(new_stage(params), values)) if event.transition is Transition.FIRED]

    assert [(event.condition, event.n_windows) for event in fired] == [("saturation:cpu", 1), ("latency", 3)]


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"id": 7}', b"\xff\xfe"])
def test_a_record_that_is_no_verdict_is_refused_and_counts_as_read(value: bytes | None) -> None:
    stage = new_stage()

    with pytest.raises(RecordInvalid):
        stage.step(record(3, value), 0)

    assert stage.applied == 3


def test_a_row_written_before_a_crash_takes_its_record_only_once() -> None:
    stage = new_stage()
    values = [verdict(i, "A") for i in range(3)]
    feed(stage, values)
    rows = {name: row for name, row in stage.take_changes().items() if row is not None and name != "head"}

    again = restore(PARAMS, DIRECTORY, 0, rows)  # the head row was not written

    assert again.applied == -1
    assert feed(again, values) == []
    assert [event.n_windows for event in alert_events(feed(again, [verdict(i, "A") for i in range(3, 9)], first_offset=3))] == [8]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (b"\0\0\0", "at least 8 bytes"),
        (pack(0, b"{"), "row 'prod/cart' cannot be read"),
        (pack(0, b'{"schema": 2}'), "has schema 2, not 1"),
        (pack(0, b'{"lives": {"latency": {}}}'), "cannot be read"),
    ],
)
def test_a_row_that_cannot_be_read_stops_the_stage(row: bytes, complaint: str) -> None:
    with pytest.raises(StateError, match=complaint):
        restore(PARAMS, DIRECTORY, 0, {"prod/cart": row})


def slow(trace_id: str, value_ms: float | None, *, failed: bool = False) -> Exemplar:
    return Exemplar(trace_id=trace_id, time_ms=ORIGIN_MS, value_ms=value_ms, failed=failed)


def test_an_alert_leads_to_the_slowest_requests_of_its_life_and_one_on_errors_to_failed_ones() -> None:
    stage = new_stage(AlertingParams(trace_url="https://traces.example/t/{trace_id}?from=tocsin"))
    both = {"latency": "A", "errors": "A"}
    seen = [
        verdict(0, both, exemplars=[slow("t:1", 900.0), slow("t2", 800.0, failed=True)]),
        verdict(1, both, exemplars=[slow("t3", 850.0), slow("t4", None, failed=True)]),
    ]

    fired = {event.condition: event for event in alert_events(feed(stage, seen)) if event.transition is Transition.FIRED}

    assert [exemplar.trace_id for exemplar in fired["latency"].exemplars] == ["t:1", "t3", "t2"]
    assert [exemplar.trace_id for exemplar in fired["errors"].exemplars] == ["t2", "t4"]
    assert "; one slow request: trace t:1" in fired["latency"].sentence
    assert "; one failed request: trace t2" in fired["errors"].sentence
    assert fired["latency"].trace_url == "https://traces.example/t/t%3A1?from=tocsin"


def test_what_is_seen_of_a_normal_window_is_not_told() -> None:
    events = alert_events(feed(new_stage(), [verdict(0, "A"), verdict(1, "A"), verdict(2, "N", exemplars=[slow("t1", 1.0)])]))

    assert all(event.exemplars == [] and event.trace_url == "" for event in events)
