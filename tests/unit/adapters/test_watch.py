"""A worker that is not live says so once, and ends when it stays so; on a clock of the test's own."""

import pytest

from pipeline.adapters.health import Health
from pipeline.adapters.watch import LivenessWatch, WorkerStuck

LIVE = Health(is_live=True, is_ready=True)
STUCK = Health(is_live=False, is_ready=False, reasons=("ingest t/0 has not advanced for 30 s",))


def test_a_change_is_told_once() -> None:
    watch = LivenessWatch(60_000, lambda: 0)

    assert [watch.step(health) for health in (LIVE, STUCK, STUCK, LIVE, LIVE)] == [False, True, False, True, False]


def test_a_worker_that_stays_stuck_ends_and_says_why() -> None:
    clock = iter([1_000, 60_999, 61_000])
    watch = LivenessWatch(60_000, lambda: next(clock))
    watch.step(STUCK)
    watch.step(STUCK)

    with pytest.raises(WorkerStuck, match="not live for 60 s: ingest t/0 has not advanced"):
        watch.step(STUCK)


def test_what_was_mended_in_between_starts_the_count_again() -> None:
    clock = iter([0, 70_000, 100_000])
    watch = LivenessWatch(60_000, lambda: next(clock))

    assert [watch.step(health) for health in (STUCK, LIVE, STUCK, STUCK)] == [True, True, True, False]


def test_zero_never_ends_a_worker() -> None:
    clock = iter([0, 10**9])
    watch = LivenessWatch(0, lambda: next(clock))

    assert [watch.step(STUCK), watch.step(STUCK)] == [True, False]
