"""A worker's health: stalls, starts, recoveries and brokers that go away, on a clock of the test's own."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.health import Health, HealthBoard, HealthParams, Progress, advanced

PARAMS = HealthParams(stall_ms=30_000, broker_away_ms=300_000, start_ms=600_000)
TOPIC = "telemetry.metrics"


@dataclass
class Clock:
    now: int = 1_000_000

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: int) -> None:
        self.now += seconds * 1_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> HealthBoard:
    """An ingest app that runs, with partition 3, at offset 1,200 of 6,231."""
    board = HealthBoard(PARAMS, clock)
    board.starting("ingest")
    board.assigned("ingest", [(TOPIC, 3)])
    board.recovered("ingest")
    board.progress("ingest", TOPIC, 3, position=1_200, end=6_231)
    return board


def report_every_second(board: HealthBoard, clock: Clock, seconds: int, *, position: int = 1_200, end: int = 6_231) -> None:
    for _ in range(seconds):
        clock.pass_s(1)
        board.progress("ingest", TOPIC, 3, position=position, end=end)


def test_a_running_partition_is_live_and_ready(board: HealthBoard) -> None:
    assert board.health() == Health(is_live=True, is_ready=True)


def test_a_partition_that_is_behind_and_does_not_advance_is_not_live(board: HealthBoard, clock: Clock) -> None:
    report_every_second(board, clock, 41)

    assert board.health() == Health(
        is_live=False,
        is_ready=False,
        reasons=("ingest telemetry.metrics/3 has not advanced for 41 s at offset 1200, 5,031 behind",),
    )


def test_a_short_wait_is_no_stall(board: HealthBoard, clock: Clock) -> None:
    report_every_second(board, clock, 29)

    assert board.health().is_live


def test_a_record_that_takes_long_but_goes_on_is_no_stall(board: HealthBoard, clock: Clock) -> None:
    for second in range(100):
        clock.pass_s(1)
        board.progress("ingest", TOPIC, 3, position=1_200, end=6_231, work=second // 20)

    assert board.health().is_live

    report_every_second(board, clock, 31)

    assert not board.health().is_live


def test_a_partition_that_advances_again_is_well(board: HealthBoard, clock: Clock) -> None:
    report_every_second(board, clock, 41)

    report_every_second(board, clock, 1, position=1_201)

    assert board.health().is_ready


def test_a_seek_back_counts_as_movement(board: HealthBoard, clock: Clock) -> None:
    report_every_second(board, clock, 29)
    report_every_second(board, clock, 29, position=1_000)

    assert board.health().is_live


def test_a_quiet_partition_is_well_however_long(board: HealthBoard, clock: Clock) -> None:
    report_every_second(board, clock, 600, position=6_231)

    assert board.health().is_ready


def test_the_wait_begins_when_there_is_something_to_read(board: HealthBoard, clock: Clock) -> None:
    report_every_second(board, clock, 600, position=6_231)
    report_every_second(board, clock, 30, position=6_231, end=6_300)
    assert board.health().is_live

    report_every_second(board, clock, 1, position=6_231, end=6_300)

    assert board.health().reasons == ("ingest telemetry.metrics/3 has not advanced for 30 s at offset 6231, 69 behind",)


def test_one_stuck_partition_is_found_among_those_that_advance(board: HealthBoard, clock: Clock) -> None:
    board.assigned("ingest", [(TOPIC, 3), (TOPIC, 4)])
    board.recovered("ingest")
    for second in range(40):
        clock.pass_s(1)
        board.progress("ingest", TOPIC, 3, position=second, end=1_000)
        board.progress("ingest", TOPIC, 4, position=7, end=1_000)

    assert board.health().reasons == ("ingest telemetry.metrics/4 has not advanced for 39 s at offset 7, 993 behind",)


def test_a_partition_of_which_nothing_is_heard_is_not_live(board: HealthBoard, clock: Clock) -> None:
    report_every_second(board, clock, 5, position=6_231)
    clock.pass_s(30)

    assert board.health().reasons == ("ingest telemetry.metrics/3 has not been reported for 30 s",)


def test_a_worker_without_an_app_is_not_ready(clock: Clock) -> None:
    assert HealthBoard(PARAMS, clock).health() == Health(is_live=True, is_ready=False, reasons=("no app is started",))


def test_starting_and_recovering_are_live_but_not_ready(clock: Clock) -> None:
    board = HealthBoard(PARAMS, clock)
    board.starting("analyse")
    clock.pass_s(4)
    starting = board.health()
    board.assigned("analyse", [("tocsin.partials", 0)])
    clock.pass_s(45)

    assert starting == Health(is_live=True, is_ready=False, reasons=("analyse has been starting for 4 s",))
    assert board.health() == Health(is_live=True, is_ready=False, reasons=("analyse has been recovering for 45 s",))


def test_a_recovery_without_end_is_not_live(clock: Clock) -> None:
    board = HealthBoard(PARAMS, clock)
    board.assigned("analyse", [("tocsin.partials", 0)])
    clock.pass_s(600)

    assert not board.health().is_live


def test_time_spent_in_recovery_is_no_stall(board: HealthBoard, clock: Clock) -> None:
    board.assigned("ingest", [(TOPIC, 3)])
    clock.pass_s(100)
    board.recovered("ingest")

    assert board.health().is_ready


def test_a_spare_worker_without_partitions_is_ready(clock: Clock) -> None:
    board = HealthBoard(PARAMS, clock)
    board.assigned("ingest", [])
    board.recovered("ingest")
    clock.pass_s(3_600)

    assert board.health().is_ready


def test_a_revoked_app_is_not_ready_and_its_partitions_are_forgotten(board: HealthBoard, clock: Clock) -> None:
    board.revoked("ingest")
    board.progress("ingest", TOPIC, 3, position=1_200, end=6_231)  # a report that came late
    clock.pass_s(60)

    assert board.health() == Health(is_live=True, is_ready=False, reasons=("ingest has been starting for 60 s",))


def test_a_broker_away_is_not_ready_but_live_for_a_while(board: HealthBoard, clock: Clock) -> None:
    board.broker_away("ingest")
    clock.pass_s(200)
    board.broker_away("ingest")  # said again and again; the first counts
    clock.pass_s(99)
    before = board.health()
    clock.pass_s(1)

    assert before == Health(is_live=True, is_ready=False, reasons=("ingest has had no broker for 299 s",))
    assert not board.health().is_live


def test_time_without_a_broker_is_no_stall(board: HealthBoard, clock: Clock) -> None:
    board.broker_away("ingest")
    clock.pass_s(200)
    board.broker_back("ingest")

    assert board.health().is_ready


def test_one_bad_app_of_a_worker_is_enough(board: HealthBoard) -> None:
    board.starting("analyse")

    assert board.health().reasons == ("analyse has been starting for 0 s",)
    assert not board.health().is_ready


@given(reports=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 40_000)), min_size=1, max_size=30))
def test_what_moves_or_has_nothing_to_do_is_never_stalled(reports: list[tuple[int, int, int]]) -> None:
    now, progress = 0, Progress(moving_ms=0, heard_ms=0)
    for position, more, wait_ms in reports:
        now += wait_ms
        before, progress = progress, advanced(progress, position=position, end=position + more, work=0, now_ms=now)
        has_moved = position != before.position
        is_idle = more == 0
        is_new_work = before.n_behind == 0
        assert (progress.moving_ms == now) == (has_moved or is_idle or is_new_work or before.moving_ms == now)


def test_a_recovery_that_goes_on_is_no_stall_and_one_that_stands_still_is(clock: Clock) -> None:
    board = HealthBoard(PARAMS, clock)
    board.starting("analyse")
    board.assigned("analyse", [("tocsin.partials", 0)])
    for n in range(1, 10):
        clock.pass_s(100)
        board.recovering("analyse", n_recovered=1_000 * n)
    was_live = board.health().is_live
    for _ in range(6):
        clock.pass_s(100)
        board.recovering("analyse", n_recovered=9_000)

    assert was_live
    assert board.health() == Health(is_live=False, is_ready=False, reasons=("analyse has been recovering for 1500 s",))
