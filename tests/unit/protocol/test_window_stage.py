"""One partition's windows, bundle by bundle. Times are seconds from T0, which is a multiple of five minutes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from pipeline.analyse.windows import WindowParams, WindowStage, restore
from pipeline.contracts.codec import encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.limits import Evicted, Limit
from pipeline.contracts.partials import Bundle, ChangeNote, FeedbackNote, FeedbackVerdict, OperationPartial, Partial
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, pack
from pipeline.contracts.signals import LateCount, Notice, NoticeKind, Signals, SignalsRecord
from pipeline.errors import RecordInvalid, StateError

T0 = 1_700_000_100_000
TOPICS = {"t": 2}


def partial(service: str, start: int, n: int, size: int = 10, changes: list[ChangeNote] | None = None) -> Partial:
    return Partial(
        environment="prod",
        service=service,
        start_ms=T0 + start * 1000,
        size_ms=size * 1000,
        readings=n,
        operations={"": OperationPartial(requests=n)},
        changes=changes or [],
    )


def store(stage: WindowStage, rows: dict[str, bytes]) -> None:
    """Write a checkpoint: rows that have changed come in, those that are gone go."""
    for name, row in stage.take_changes().items():
        if row is None:
            rows.pop(name, None)
        else:
            rows[name] = row


@dataclass
class Desk:
    """Sends bundles to a stage and reads what it says."""

    params: WindowParams = field(default_factory=WindowParams)
    offset: int = -1
    said: list[SignalsRecord] = field(default_factory=list)
    rows: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stage: WindowStage = restore(self.params, Directory(), 0, {})

    def send(self, source: str, watermark: float | None, *partials: Partial, **header: Any) -> list[SignalsRecord]:
        self.offset += 1
        at_ms = header.pop("at_ms", T0)
        told: dict[str, Any] = {"chunk": 0, "through": self.offset, "generation": 1, "partitions": TOPICS} | header
        watermark_ms = None if watermark is None else T0 + int(watermark * 1000)
        bundle = Bundle(source=source, watermark_ms=watermark_ms, partials=list(partials), **told)
        outputs = list(self.stage.step(InRecord(self.offset, at_ms, None, encode(bundle)), 0))
        said: list[SignalsRecord] = [msgspec.json.decode(o.value or b"", type=SignalsRecord) for o in outputs]
        self.said += said
        closed = [s for s in said if isinstance(s, Signals) and s.revision == 1 and not s.rollup]
        assert [o.closes_ms for o in outputs if o.closes_ms is not None] == [signals.window_end_ms for signals in closed]
        return said

    def both(self, watermark: float, *partials: Partial, **header: Any) -> list[SignalsRecord]:
        return self.send("t/0", watermark, *partials, **header) + self.send("t/1", watermark, **header)

    def restart(self) -> None:
        store(self.stage, self.rows)
        self.stage = restore(self.params, Directory(), 0, self.rows)


def windows(said: list[SignalsRecord], *, rollup: bool = False) -> list[tuple[int, int, int]]:
    """(start in s, revision, readings)."""
    return [
        ((s.window_start_ms - T0) // 1000, s.revision, s.completeness.readings)
        for s in said
        if isinstance(s, Signals) and s.rollup == rollup
    ]


def notices(said: list[SignalsRecord]) -> list[NoticeKind]:
    return [n.notice for n in said if isinstance(n, Notice)]


def test_a_window_waits_for_the_slowest_source_and_the_delay() -> None:
    desk = Desk()

    assert desk.both(9, partial("cart", 0, 5)) == []
    assert desk.send("t/0", 60) == []
    assert desk.send("t/1", 12.999) == []
    assert windows(desk.send("t/1", 13)) == [(0, 1, 5)]


def test_a_source_that_was_never_heard_of_holds_the_watermark() -> None:
    desk = Desk()

    assert desk.send("t/0", 100, partial("cart", 0, 5)) == []
    assert windows(desk.send("t/1", 20)) == [(0, 1, 5)]


def test_an_idle_claim_ends_with_its_generation() -> None:
    desk = Desk()
    desk.both(9, partial("cart", 0, 5))
    desk.send("t/1", 9, idle=True)

    assert desk.send("t/0", 10, generation=2) == []
    assert desk.send("t/0", 300, generation=2) == [], "t/1 has a new owner who has not spoken"
    assert windows(desk.send("t/1", 9, idle=True, generation=2))[0] == (0, 1, 5)


def test_a_zombies_idle_claim_is_not_believed() -> None:
    desk = Desk()
    desk.both(9, partial("cart", 0, 5), generation=2)

    desk.send("t/1", 9, idle=True, generation=1)

    assert desk.send("t/0", 300, generation=2) == []


def test_a_later_flush_of_a_chunk_replaces_and_the_next_chunk_adds() -> None:
    desk = Desk()
    desk.send("t/0", 5, partial("cart", 0, 2), chunk=0, through=4)
    desk.send("t/0", 6, partial("cart", 0, 3), chunk=0, through=6)
    desk.send("t/0", 6, partial("cart", 0, 1), chunk=0, through=2)  # an old owner reads again
    desk.send("t/0", 7, partial("cart", 0, 4), chunk=7, through=9)
    desk.send("t/0", 7, partial("cart", 0, 9), chunk=0, through=99)  # a zombie

    assert windows(desk.both(13, chunk=7, through=9)) == [(0, 1, 7)]


def test_data_within_the_grace_revises_and_afterwards_is_late_per_chunk() -> None:
    desk = Desk()
    desk.both(13, partial("cart", 0, 5))
    assert windows(desk.send("t/0", 13, partial("cart", 0, 6))) == [(0, 2, 6)]
    desk.both(73, chunk=100)

    late = desk.send("t/0", 73, partial("cart", 0, 2), chunk=100, through=110)
    more = desk.send("t/0", 73, partial("cart", 0, 3), chunk=100, through=120)
    same = desk.send("t/0", 73, partial("cart", 0, 3), chunk=100, through=130)

    assert [(x.readings, x.through, x.late_by_ms) for x in late + more if isinstance(x, LateCount)] == [
        (2, 110, 63_000),
        (3, 120, 63_000),
    ]
    assert same == []
    assert len({x.id for x in late + more if isinstance(x, LateCount)}) == 1


def test_a_window_past_grace_still_takes_the_rest_of_the_chunk_it_has_begun() -> None:
    desk = Desk()
    desk.both(13, partial("cart", 0, 5))
    desk.both(80)

    assert windows(desk.send("t/0", 80, partial("cart", 0, 6))) == [(0, 2, 6)]


def test_a_known_service_has_every_window_published_also_the_empty_ones() -> None:
    desk = Desk()
    desk.both(5, partial("cart", 0, 5))

    assert windows(desk.both(43)) == [(0, 1, 5), (10, 1, 0), (20, 1, 0), (30, 1, 0)]
    assert windows(desk.send("t/0", 43, partial("cart", 20, 1))) == [(20, 2, 1)]


def test_a_window_first_heard_of_after_its_close_begins_with_revision_two() -> None:
    desk = Desk()
    desk.both(30)

    assert windows(desk.send("t/0", 30, partial("cart", 10, 4))) == [(10, 2, 4)]
    assert windows(desk.both(33)) == [(20, 1, 0)]


def test_a_rollup_is_the_sum_of_its_windows_and_is_revised_with_them() -> None:
    desk = Desk()
    for i in range(30):
        desk.both(i * 10 + 13, partial("cart", i * 10, i + 1), chunk=i)
    assert windows(desk.said, rollup=True) == [(0, 1, 465)]

    assert windows(desk.send("t/0", 303, partial("cart", 290, 31), chunk=29), rollup=True) == [(0, 2, 466)]
    desk.restart()
    assert windows(desk.send("t/0", 303, partial("cart", 290, 32), chunk=29), rollup=True) == [(0, 3, 467)]


def test_a_rollup_that_is_asked_for_when_its_windows_are_gone_says_the_same() -> None:
    at_once, afterwards = Desk(), Desk()
    unasked = []
    for i in range(37):
        partials = [partial("cart", i * 10, i + 1), partial("till", i * 10, 1)]
        at_once.both(i * 10 + 13, *partials, chunk=i)
        for source in ("t/0", "t/1"):
            afterwards.offset += 1
            bundle = Bundle(
                source=source,
                watermark_ms=T0 + (i * 10 + 13) * 1000,
                partials=partials if source == "t/0" else [],
                chunk=i,
                through=afterwards.offset,
                generation=1,
                partitions=TOPICS,
            )
            unasked.append(afterwards.stage.step(InRecord(afterwards.offset, T0, None, encode(bundle)), 0))

    outputs = [msgspec.json.decode(o.value or b"", type=SignalsRecord) for said in unasked for o in said]

    assert len(windows(outputs, rollup=True)) == 2
    assert outputs == at_once.said
    assert [said.later is not None for said in unasked].count(True) == 1


def test_rollups_are_what_may_wait_of_a_step_and_windows_are_not() -> None:
    desk = Desk()
    for i in range(29):
        desk.both(i * 10 + 13, partial("cart", i * 10, 1), chunk=i)
    desk.send("t/0", 303, partial("cart", 290, 1), chunk=29)
    desk.offset += 1
    last = Bundle(source="t/1", watermark_ms=T0 + 303_000, chunk=29, through=desk.offset, generation=1, partitions=TOPICS)

    outputs = desk.stage.step(InRecord(desk.offset, T0, None, encode(last)), 0)

    def told(records: Iterable[OutRecord] | None) -> list[SignalsRecord]:
        return [msgspec.json.decode(o.value or b"", type=SignalsRecord) for o in records or ()]

    assert windows(told(outputs.first)) == [(290, 1, 1)]
    assert windows(told(outputs.later), rollup=True) == [(0, 1, 30)]


def test_a_wider_report_widens_from_the_end_of_what_was_touched_and_narrow_partials_fold_in() -> None:
    desk = Desk()
    desk.both(5, partial("cart", 0, 1))
    desk.both(61, partial("cart", 0, 10, size=60))
    assert notices(desk.said) == [NoticeKind.WINDOW_WIDENED]

    desk.both(65, partial("cart", 60, 1))
    desk.both(66, partial("cart", 70, 2))
    desk.both(119, partial("cart", 60, 10, size=60))
    said = desk.both(123)

    assert (60, 1, 13) in windows(said)
    assert [s.size_ms for s in said if isinstance(s, Signals)] == [60_000]
    narrow = [w for w in windows(desk.said) if w[0] < 60]
    assert sorted(narrow) == [(0, 1, 1), (0, 1, 10), *((start, 1, 0) for start in range(10, 60, 10))]


def test_a_retired_service_falls_silent_and_may_speak_again() -> None:
    desk = Desk()
    desk.both(5, partial("cart", 0, 5, changes=[ChangeNote(type="retirement", time_ms=T0)]))

    assert windows(desk.both(60)) == [(0, 1, 5)]
    assert notices(desk.said) == [NoticeKind.SERVICE_RETIRED]
    desk.both(70, partial("cart", 70, 1))
    assert windows(desk.both(95)) == [(70, 1, 1), (80, 1, 0)]


def test_a_service_is_retired_after_a_stated_time_of_silence() -> None:
    desk = Desk(WindowParams(silence_max_ms=30_000))
    desk.both(5, partial("cart", 0, 5))

    assert windows(desk.both(100)) == [(0, 1, 5), (10, 1, 0), (20, 1, 0), (30, 1, 0)]
    assert notices(desk.said) == [NoticeKind.SERVICE_RETIRED]


def test_a_source_that_holds_the_others_back_for_too_long_is_left_behind_and_comes_back() -> None:
    desk = Desk()
    desk.both(5, partial("cart", 0, 5))

    desk.send("t/0", 4_000, at_ms=T0)
    assert notices(desk.send("t/0", 4_000, at_ms=T0 + 3_600_000)) == []
    said = desk.send("t/0", 4_000, at_ms=T0 + 3_600_001)

    assert notices(said) == [NoticeKind.SOURCE_LEFT_BEHIND]
    assert windows(said)[0] == (0, 1, 5)
    desk.send("t/1", 3_950, at_ms=T0 + 3_600_002)
    n_said = len(desk.said)
    assert desk.send("t/0", 4_100, at_ms=T0 + 3_600_003) == [], f"t/1 counts again after {n_said}"


def test_a_topic_created_anew_is_announced_and_its_low_offsets_are_new_chunks() -> None:
    desk = Desk()
    desk.both(5, partial("cart", 0, 5), chunk=900)

    said = desk.send("t/0", 6, partial("cart", 0, 2), chunk=0, epoch=1)

    assert notices(said) == [NoticeKind.TOPIC_RECREATED]
    desk.send("t/0", 13, chunk=0, epoch=1)
    assert windows(desk.send("t/1", 13, chunk=900)) == [(0, 1, 7)]


def test_a_service_that_is_always_reported_late_gets_a_longer_delay() -> None:
    desk = Desk()
    for i in range(60):
        desk.both(i * 10 + 28, partial("cart", i * 10, 1), chunk=i)

    lengthened = [n for n in desk.said if isinstance(n, Notice)]
    assert [n.notice for n in lengthened] == [NoticeKind.DELAY_LENGTHENED]
    from_s = (lengthened[0].at_ms - T0) // 1000
    assert {w[1] for w in windows(desk.said) if w[0] >= from_s and w[2]} == {1}


def test_past_the_bound_the_service_heard_of_least_recently_is_forgotten_and_nothing_uncounted() -> None:
    desk = Desk(WindowParams(max_services=2))
    for i, name in enumerate(("a", "b", "c", "d")):
        desk.both(i * 400 + 5, partial(name, i * 400, 1), chunk=i * 10)
    desk.both(2_000, chunk=99)

    assert NoticeKind.SERVICES_OVER_LIMIT in notices(desk.said)
    totals = {s.service: s.completeness.readings for s in desk.said if isinstance(s, Signals) and s.completeness.readings}
    assert totals == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert desk.stage.bounds_reached == {Evicted.KNOWN_SERVICES: 2}
    for _ in range(3):
        desk.both(2_000, chunk=99)
        desk.restart()
    assert len([name for name in desk.rows if name.startswith("profile")]) == 2


def test_a_delay_that_grows_bit_by_bit_is_remembered_in_few_steps() -> None:
    desk = Desk()
    for i in range(1_200):
        desk.both(i * 10 + 14 + i // 40, partial("cart", i * 10, 1), chunk=i)

    profile = desk.stage._state.profiles["prod/cart"]
    assert 2 <= len(profile.delays) <= 15


def test_nothing_of_an_operation_outlives_its_windows() -> None:
    desk = Desk(WindowParams(max_operations=2))

    def rows(i: int) -> int:
        many = partial("cart", i * 10, 3)
        many.operations = {f"id-{i}-{n}": OperationPartial(requests=1) for n in range(3)}
        desk.both(i * 10 + 5, many, chunk=i)
        return sum(len(row or b"") for row in desk.stage.take_changes().values())

    sizes = [rows(i) for i in range(90)]

    assert max(sizes[60:]) <= max(sizes[30:60]) + 200
    assert desk.stage.bounds_reached[Limit.PUBLISHED_OPERATIONS] > 50


def test_state_survives_a_restart_at_any_bundle() -> None:
    def life(*, restarts: bool) -> list[SignalsRecord]:
        desk = Desk()
        for i in range(40):
            desk.both(i * 10 + 5, partial("cart", i * 10, i), partial("shop", max(0, i * 10 - 50), i), chunk=i // 3, through=i)
            if restarts:
                desk.restart()
        return desk.said

    assert life(restarts=True) == life(restarts=False)


def test_rows_come_in_the_order_in_which_they_must_be_written() -> None:
    desk = Desk()
    desk.both(100, chunk=1)
    desk.send("t/0", 100, partial("cart", 0, 1), partial("cart", 95, 1, size=10), chunk=1)

    kinds = [name.partition("|")[0] for name in desk.stage.take_changes()]

    assert kinds == ["rollup", "window", "late", "profile", HEAD]


def test_feedback_travels_with_the_window_and_is_no_sign_of_life() -> None:
    desk = Desk()
    note = FeedbackNote(verdict=FeedbackVerdict.EXPECTED, time_ms=T0, condition="latency")
    said = msgspec.structs.replace(partial("cart", 0, 1), operations={}, feedback=[note])

    told = [one for one in desk.both(13, said) if isinstance(one, Signals)]

    assert [(one.feedback, one.is_silent) for one in told] == [([note], True)]


def test_what_is_no_bundle_is_refused_and_changes_nothing() -> None:
    desk = Desk()
    desk.both(5, partial("cart", 0, 5))

    for value in (None, b"", b"[]", b'{"source": 1}'):
        with pytest.raises(RecordInvalid):
            desk.stage.step(InRecord(9, T0, None, value), 0)
    assert desk.stage.applied == 1


@pytest.mark.parametrize(
    "rows", [{"window|x": b""}, {"window|x": pack(3, b"{}")}, {"nonsense": pack(3, b"{}")}, {HEAD: pack(1, b'{"schema":9}')}]
)
def test_an_unreadable_row_stops_the_restore(rows: dict[str, bytes]) -> None:
    with pytest.raises(StateError):
        restore(WindowParams(), Directory(), 0, rows)
