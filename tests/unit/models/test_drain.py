"""Drain: lines of one kind are one group, others are not; groups are bounded; what is stored goes on as if nothing had been."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drain import Drain
from models.errors import ModelStateError

WORDS = st.sampled_from(["a", "b", "c", "d", "<*>", "x<*>"])
LINES = st.lists(st.lists(WORDS, min_size=1, max_size=5).map(" ".join), max_size=60)


def test_words_that_differ_become_wildcards_and_the_group_stays_the_same() -> None:
    drain = Drain()

    groups = [drain.group(f"session of {name} opened on <*>") for name in ("alice", "bob", "carol")]

    assert groups == [0, 0, 0]
    assert drain.template(0) == "session of <*> opened on <*>"
    assert drain.group("session of dave opened on <*>") == 0


@pytest.mark.parametrize("other", ["volume <*> is read only", "disk <*> has failed", "volume <*> has", "device <*> has failed"])
def test_lines_that_say_something_else_are_groups_of_their_own(other: str) -> None:
    drain = Drain()

    assert drain.group("volume <*> has failed") != drain.group(other)


def test_lines_of_another_severity_are_of_another_group() -> None:
    drain = Drain()

    assert drain.group("check of <*> done", "2") == drain.group("check of <*> done", "2") != drain.group("check of <*> done", "4")


def test_a_line_that_was_met_before_is_of_its_group_however_much_of_it_is_masked() -> None:
    drain = Drain()

    assert drain.group("<*> <*> <*>") == drain.group("<*> <*> <*>")


def test_groups_are_bounded_and_the_one_met_least_recently_goes() -> None:
    drain = Drain(max_groups=2)
    first, second = drain.group("one"), drain.group("two")
    drain.group("one")

    third = drain.group("three")

    assert (first in drain, second in drain, third in drain) == (True, False, True)
    assert (len(drain), drain.n_evicted) == (2, 1)
    assert drain.group("two") not in {first, second, third}


def test_words_beyond_the_children_of_a_place_count_as_any() -> None:
    drain = Drain(max_children=2)

    groups = [drain.group(f"{word} was restarted twice today") for word in ("a", "b", "c", "d", "e")]

    assert groups == [0, 1, 2, 2, 2]


@given(LINES, LINES, st.integers(2, 8))
def test_a_restored_tree_says_the_same_as_one_that_was_never_stopped(before: list[str], after: list[str], max_groups: int) -> None:
    drain = Drain(max_groups=max_groups, max_children=2)
    for line in before:
        drain.group(line)

    again = Drain(max_groups=max_groups, max_children=2).from_state(drain.to_state())

    assert [again.group(line) for line in after] == [drain.group(line) for line in after]
    assert again.to_state() == drain.to_state()
    assert len(again) <= max_groups


def test_memory_is_given_back() -> None:
    drain, draw = Drain(max_groups=5), random.Random(1)

    for _ in range(2_000):
        drain.group(" ".join(draw.choices("abcdefgh", k=draw.randint(1, 4))))

    state = drain.to_state()
    assert len(state["groups"]) == 5
    assert len(drain._leaves) <= 5
    assert sum(map(len, drain._children.values())) <= 5


@pytest.mark.parametrize("state", [{}, {"kind": "drain", "v": 2}, {"kind": "drain", "v": 1, "groups": [[1]], "n_ever": 0}])
def test_a_state_that_is_none_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ModelStateError):
        Drain().from_state(state)
