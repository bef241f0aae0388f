"""Every detector: scoring changes nothing, and a restored one goes on as if nothing had happened."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.models.test_detectors import errors, latency, memory, silence, traffic

counts = st.integers(min_value=0, max_value=500)
SEEN: dict[str, tuple[Callable[[], Any], Any]] = {
    "errors": (errors, st.builds(lambda n, bad: {"requests": n + bad, "bad": bad}, counts, st.integers(0, 20))),
    "traffic": (traffic, st.builds(lambda n, t: {"requests": n, "time_s": t * 10}, counts, st.integers(0, 20_000))),
    "latency": (
        latency,
        st.builds(
            lambda n, mean, var: {"n": n, "mean_log": mean, "var_log": var, "load": n}, counts, st.floats(-2, 9), st.floats(0, 4)
        ),
    ),
    "saturation": (memory, st.builds(lambda u, t: {"utilization": u, "time_s": t * 10}, st.floats(0, 1.5), st.integers(0, 60_000))),
    "silence": (silence, st.builds(lambda s: {"is_silent": s}, st.integers(0, 1))),
}


@pytest.mark.parametrize("name", SEEN)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_scoring_never_changes_the_state(name: str, data: st.DataObject) -> None:
    make, one = SEEN[name]
    detector = make()
    for x in data.draw(st.lists(one, min_size=70, max_size=90)):
        detector.learn_one(x)
    before = json.dumps(detector.to_state())

    detector.score_one(data.draw(one))
    detector.explain_one(data.draw(one))

    assert json.dumps(detector.to_state()) == before


@pytest.mark.parametrize("name", SEEN)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_restored_detector_scores_and_learns_like_the_original(name: str, data: st.DataObject) -> None:
    make, one = SEEN[name]
    detector = make()
    for x in data.draw(st.lists(one, min_size=60, max_size=80)):
        detector.learn_one(x)

    restored = make().from_state(json.loads(json.dumps(detector.to_state())))

    for x in data.draw(st.lists(one, min_size=5, max_size=10)):
        assert restored.score_one(x) == detector.score_one(x)
        detector.learn_one(x)
        restored.learn_one(x)
    assert json.dumps(restored.to_state()) == json.dumps(detector.to_state())
