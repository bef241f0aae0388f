"""What the ledger lets be committed, and how often the same complaint is logged."""

from pipeline.adapters.ledger import Ledger, Standing

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
