"""What the ledger lets be committed, and how often the same complaint is logged."""

import logging

from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.transport.logs import OncePerInterval, throttle

TP = ("topic", 0)


def test_a_standing_never_goes_back() -> None:
    ledger = Ledger()
    ledger.began(TP, Standing(10, "old"))

    ledger.finish(TP, 20, "new")
    ledger.finish(TP, 15, "late")

    assert ledger.standing(TP) == Standing(20, "new")


def test_only_what_moved_since_the_commit_is_due() -> None:
    ledger = Ledger()
    ledger.began(TP, Standing(10, ""))
    at_first = list(ledger.due())
    ledger.finish(TP, 20)
    moved = list(ledger.due())
    ledger.committed(TP, Standing(20, ""))

    assert (at_first, moved, list(ledger.due())) == ([], [TP], [])


def test_what_is_finished_during_a_commit_is_due_again() -> None:
    ledger = Ledger()
    ledger.began(TP, None)
    ledger.finish(TP, 20)
    ledger.finish(TP, 30)

    ledger.committed(TP, Standing(20, ""))

    assert list(ledger.due()) == [TP]


def test_a_forgotten_partition_is_not_finished_by_a_straggler() -> None:
    ledger = Ledger()
    ledger.began(TP, None)
    ledger.forget(TP)

    ledger.finish(TP, 20)

    assert ledger.standing(TP) is None
    assert list(ledger.due()) == []


def record(message: str, *args: object, name: str = "aiokafka.conn") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)


def test_the_same_complaint_passes_once_per_interval_and_counts_the_rest() -> None:
    now = [0]
    once = OncePerInterval(interval_ms=1_000, now_ms=lambda: now[0])
    complaints = [record("no broker at %s", port) for port in range(5)]

    first = [once.filter(complaint) for complaint in complaints]
    now[0] = 1_000
    later = record("no broker at %s", 9)
    passes = once.filter(later)

    assert first == [True, False, False, False, False]
    assert passes
    assert later.getMessage() == "no broker at 9 [and 4 more like it]"
    assert once.n_suppressed == 4


def test_our_own_loggers_are_not_throttled() -> None:
    handler = logging.Handler()
    once = throttle(handler)

    kept = [handler.filter(record("same", name="pipeline.app")) for _ in range(3)]
    noisy = [bool(handler.filter(record("same"))) for _ in range(3)]

    assert all(kept)
    assert noisy == [True, False, False]
    assert once.n_suppressed == 2
