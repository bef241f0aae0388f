"""The novelty detector on any stream: scoring changes nothing, one pass equals three calls, a restored one goes on alike."""

from hypothesis import given, settings
from hypothesis import strategies as st

from models.novelty import NoveltyDetector

values = st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float)
streams = st.lists(values, min_size=1, max_size=60)
seeds = st.integers(0, 50)
"""A stream is a repeated pattern, so that a short one fills memories and makes ready."""


def filled(pattern: list[float], n: int) -> NoveltyDetector:
    detector = NoveltyDetector()
    for i in range(n):
        detector.learn_one(at(i, pattern[i % len(pattern)] + i % 5))
    return detector


def at(i: int, value: float) -> dict[str, float]:
    return {"value": value, "time_s": 300.0 * i}


@settings(max_examples=40, deadline=None)
@given(pattern=streams, n=st.integers(0, 400), asked=values)
def test_scoring_and_explaining_never_change_the_state(pattern: list[float], n: int, asked: float) -> None:
    detector = filled(pattern, n)
    before = detector.to_bytes()

    first = detector.score_one(at(n, asked))
    detector.explain_one(at(n + 7, asked))

    assert detector.score_one(at(n, asked)) == first
    assert detector.to_bytes() == before


@settings(max_examples=40, deadline=None)
@given(pattern=streams, n=st.integers(0, 400), more=streams)
def test_one_pass_equals_the_three_calls(pattern: list[float], n: int, more: list[float]) -> None:
    one, three = filled(pattern, n), filled(pattern, n)
    for i, value in enumerate(more, n):
        step = one.step_one(at(i, value))

        assert step.score == three.score_one(at(i, value))
        assert step.terms == three.explain_one(at(i, value))
        three.learn_one(at(i, value))
    assert one.to_bytes() == three.to_bytes()


@settings(max_examples=40, deadline=None)
@given(pattern=streams, n=st.integers(0, 400), watched=st.integers(0, 5), more=streams)
def test_a_restored_detector_goes_on_exactly(pattern: list[float], n: int, watched: int, more: list[float]) -> None:
    detector = filled(pattern, n)
    for i in range(watched):
        detector.watch_one(at(n + i, 1e3))

    restored = NoveltyDetector().from_bytes(detector.to_bytes())

    assert restored.to_bytes() == detector.to_bytes()
    for i, value in enumerate(more * 5, n + watched):
        assert restored.step_one(at(i, value)) == detector.step_one(at(i, value))
    assert restored.to_bytes() == detector.to_bytes()
