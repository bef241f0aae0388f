"""Which trace ids are kept: the slowest few and a few failed ones, the same in whatever order they are merged."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.exemplars import Exemplar, kept, with_one

EXEMPLARS = st.builds(
    Exemplar,
    trace_id=st.sampled_from(["a1", "b2", "c3"]),
    time_ms=st.integers(0, 3),
    value_ms=st.none() | st.sampled_from([1.0, 2.0, 3.0]),
    failed=st.booleans(),
)
LISTS = st.lists(EXEMPLARS, max_size=12)
MOST = st.integers(1, 3)


@given(LISTS, LISTS, MOST)
def test_merging_what_is_kept_is_keeping_of_what_is_merged(first: list[Exemplar], second: list[Exemplar], most: int) -> None:
    assert kept(kept(first, most) + kept(second, most), most) == kept(second + first, most)


@given(LISTS, MOST)
def test_one_after_the_other_is_all_at_once(exemplars: list[Exemplar], most: int) -> None:
    known: list[Exemplar] = []
    for exemplar in exemplars:
        known = with_one(known, exemplar, most)

    assert known == kept(exemplars, most)


def test_the_slowest_and_the_failed_ones_are_kept() -> None:
    ok = [Exemplar(trace_id=f"ok{i}", time_ms=0, value_ms=100.0 + i) for i in range(4)]
    failed = [Exemplar(trace_id=f"bad{i}", time_ms=0, value_ms=float(i), failed=True) for i in range(4)]
    untimed = Exemplar(trace_id="bad", time_ms=0, failed=True)

    assert [exemplar.trace_id for exemplar in kept([*ok, *failed, untimed], 2)] == ["ok3", "ok2", "bad3", "bad2"]
    assert kept([untimed], 2) == [untimed]
