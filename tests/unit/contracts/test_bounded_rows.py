"""Bounded rows: the bound, whom it drops, and that a restart changes neither."""

import pytest

from pipeline.contracts.bounded_rows import BoundedRows
from pipeline.contracts.rows import unpack


def rows_at(limit: int, *writes: tuple[str, int]) -> BoundedRows[bytes]:
    rows: BoundedRows[bytes] = BoundedRows(limit)
    for name, applied in writes:
        rows.put(name, name.encode(), applied)
    return rows


def test_the_row_written_longest_ago_goes_when_there_is_no_room() -> None:
    rows = rows_at(2, ("a", 0), ("b", 1), ("a", 2))

    gone = rows.put("c", b"c", 3)

    assert gone == [("b", b"b")]
    assert [name for name, _ in rows.items()] == ["a", "c"]
    assert rows.gone_through == 1


def test_a_row_that_was_dropped_does_not_come_back_from_a_changelog() -> None:
    dropped = rows_at(2, ("a", 0), ("b", 1), ("c", 2))
    changelog = [("a", 0, b"a"), ("c", 2, b"c"), ("b", 1, b"b")]

    restored = BoundedRows(2, dropped.gone_through, changelog)

    assert restored.items() == dropped.items()


def test_a_restored_set_drops_in_the_order_of_writing() -> None:
    restored = BoundedRows(3, -1, [("a", 5, b"a"), ("b", 1, b"b"), ("c", 3, b"c")])

    gone = [restored.put(name, b"", 6 + i)[0][0] for i, name in enumerate("xyz")]

    assert gone == ["b", "c", "a"]


def test_changes_are_told_once_with_the_offset_applied() -> None:
    rows = rows_at(1, ("a", 0), ("b", 7))

    changes = rows.take_changes(bytes)

    assert changes["a"] is None
    assert unpack(changes["b"] or b"") == (7, b"b")
    assert rows.take_changes(bytes) == {}


def test_a_deleted_row_is_told_as_none_and_an_unknown_one_not_at_all() -> None:
    rows = rows_at(2, ("a", 0))
    rows.take_changes(bytes)

    rows.delete("a")
    rows.delete("never")

    assert rows.take_changes(bytes) == {"a": None}
    assert (rows.get("a"), rows.applied("a"), len(rows)) == (None, -1, 0)


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        BoundedRows(0)
