"""One contract for every detector class of ``models``: what the service model relies on, whichever it holds."""

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from models.detector import Detector, Features
from models.errors import ModelStateError
from models.latency import LatencyDetector, LatencyEffects
from models.level import LevelDetector, LevelEffects
from models.ratio import RatioDetector, RatioEffects
from models.saturation import SaturationDetector, SaturationLimits
from models.silence import SilenceDetector
from models.tail import TailDetector
from models.traffic import TrafficDetector, TrafficEffects
from models.tuning import Tuning

READY = 60
TUNINGS = (Tuning(window_s=10, ready_windows=READY), Tuning(window_s=300, ready_windows=READY))
RATIO = RatioEffects(times=2, plus=0.002, page_times=3, page_plus=0.02)


@dataclass(frozen=True)
class Kind:
    """A detector class: how to make one, what a usual window looks like, and what one in trouble."""

    make: Callable[[Tuning], Detector]
    usual: Callable[[random.Random, float], Features]
    trouble: Callable[[random.Random, float], Features]


def _latencies(draw: random.Random, ms: float) -> Features:
    return {"n": 50.0, "mean_log": math.log(ms) + draw.gauss(0, 0.08), "var_log": 0.25 * draw.uniform(0.8, 1.2), "load": 50.0}


def _saturation(tuning: Tuning) -> Detector:
    return SaturationDetector(
        tuning, SaturationLimits(full=0.95, recovered=0.9, page=0.95, to_full_s=14_400, least_rise=0.05, fills_up=True)
    )


KINDS = {
    "latency": Kind(
        lambda tuning: LatencyDetector(tuning, LatencyEffects(short=1.6, long=1.15, page=1.8, long_s=300)),
        lambda draw, _: _latencies(draw, 100.0),
        lambda draw, _: _latencies(draw, 400.0),
    ),
    "ratio": Kind(
        lambda tuning: RatioDetector(tuning, RATIO, scales=tuning.scales, prior_ratio=0.0025),
        lambda draw, _: {"bad": float(draw.random() < 0.3), "requests": 100.0},
        lambda draw, _: {"bad": float(draw.randint(30, 50)), "requests": 100.0},
    ),
    "tail": Kind(
        lambda tuning: TailDetector(tuning, times=2),
        lambda draw, _: {"bad": float(draw.randint(0, 3)), "requests": 100.0},
        lambda draw, _: {"bad": float(draw.randint(20, 30)), "requests": 100.0},
    ),
    "traffic": Kind(
        lambda tuning: TrafficDetector(tuning, TrafficEffects(drop=1.6, page_drop=2.0, rise=3.0)),
        lambda draw, time_s: {"requests": float(draw.randint(80, 120)), "time_s": time_s},
        lambda draw, time_s: {"requests": float(draw.choice((0, 5, 900))), "time_s": time_s},
    ),
    "saturation": Kind(
        _saturation,
        lambda draw, time_s: {"utilization": draw.uniform(0.3, 0.5), "time_s": time_s},
        lambda draw, time_s: {"utilization": draw.uniform(0.97, 1.2), "time_s": time_s},
    ),
    "level": Kind(
        lambda tuning: LevelDetector(tuning, LevelEffects(times=1.6, plus=0.0, page_times=3.0, page_plus=0.0), (1, -1)),
        lambda draw, time_s: {"value": draw.gauss(40, 4), "time_s": time_s},
        lambda draw, time_s: {"value": draw.choice((-5.0, 120.0)), "time_s": time_s},
    ),
    "silence": Kind(
        lambda tuning: SilenceDetector(tuning, least_run=2, longest_run=360),
        lambda draw, _: {"is_silent": float(draw.random() < 0.001)},
        lambda _, __: {"is_silent": 1.0},
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
every_size = pytest.mark.parametrize("tuning", TUNINGS, ids=lambda tuning: f"{tuning.window_s:.0f}s")


def windows(kind: Kind, tuning: Tuning, n: int, *, start: int = 0, trouble: bool = False) -> Iterator[Features]:
    for i in range(start, start + n):
        make = kind.trouble if trouble else kind.usual
        yield make(random.Random(i), 1_767_571_200 + i * tuning.window_s)


def learned(kind: Kind, tuning: Tuning, n: int) -> Detector:
    detector = kind.make(tuning)
    for x in windows(kind, tuning, n):
        detector.learn_one(x)
    return detector


def plain(detector: Detector) -> str:
    return json.dumps(detector.to_state(), allow_nan=False)


@every_kind
@every_size
@pytest.mark.parametrize("n", [0, 1, READY, 400])
def test_asking_a_detector_changes_nothing(kind: Kind, tuning: Tuning, n: int) -> None:
    detector = learned(kind, tuning, n)
    before = plain(detector)

    for trouble in (False, True):
        for x in windows(kind, tuning, 5, start=n, trouble=trouble):
            detector.score_one(x)
            detector.explain_one(x)
            detector.assess(x)

    assert plain(detector) == before


@every_kind
@every_size
def test_a_detector_has_no_score_and_no_explanation_until_it_is_ready(kind: Kind, tuning: Tuning) -> None:
    detector = kind.make(tuning)

    for x in windows(kind, tuning, READY):
        assert not detector.is_ready
        assert detector.score_one(x) is None
        assert detector.explain_one(x) == {}
        detector.learn_one(x)

    assert detector.is_ready
    assert detector.n_seen == READY
    (x,) = windows(kind, tuning, 1, start=READY)
    assert detector.score_one(x) is not None


@every_kind
@every_size
def test_trouble_scores_higher_than_any_usual_window(kind: Kind, tuning: Tuning) -> None:
    detector = learned(kind, tuning, 400)
    usual = max(detector.score_one(x) or 0.0 for x in windows(kind, tuning, 20, start=400))
    for x in windows(kind, tuning, 36, start=400, trouble=True):
        detector.take_one(x, detector.assess(x), is_normal=False)

    (worst,) = windows(kind, tuning, 1, start=436, trouble=True)

    score = detector.score_one(worst)
    assert score is not None
    assert score > usual


@every_kind
@every_size
def test_scoring_then_taking_is_the_same_as_learning(kind: Kind, tuning: Tuning) -> None:
    one, other = kind.make(tuning), kind.make(tuning)

    for x in windows(kind, tuning, 300):
        assessment = one.assess(x)
        score = other.score_one(x)
        if score is not None:
            assert abs(assessment.score) == abs(score)
            assert dict(assessment.terms) == other.explain_one(x)
        one.take_one(x, assessment, is_normal=True)
        other.learn_one(x)

    assert plain(one) == plain(other)


@every_kind
@every_size
def test_a_step_is_the_three_calls_in_turn(kind: Kind, tuning: Tuning) -> None:
    one, other = kind.make(tuning), kind.make(tuning)

    for trouble, n in ((False, 300), (True, 20), (False, 50)):
        for x in windows(kind, tuning, n, start=n, trouble=trouble):
            score, explanation = other.score_one(x), other.explain_one(x)
            other.learn_one(x)
            assert one.step_one(x) == (score, explanation)

    assert plain(one) == plain(other)


@every_kind
@every_size
def test_what_is_not_normal_is_evidence_and_not_learned(kind: Kind, tuning: Tuning) -> None:
    detector = learned(kind, tuning, 100)

    for x in windows(kind, tuning, 20, start=100, trouble=True):
        detector.take_one(x, detector.assess(x), is_normal=False)

    assert detector.n_seen == 100


@every_kind
@every_size
@pytest.mark.parametrize("n", [0, 7, READY, 400])
def test_a_restored_detector_goes_on_as_if_nothing_had_happened(kind: Kind, tuning: Tuning, n: int) -> None:
    detector = learned(kind, tuning, n)
    for x in windows(kind, tuning, 8, start=n, trouble=True):
        detector.take_one(x, detector.assess(x), is_normal=False)

    restored = kind.make(tuning).from_state(json.loads(plain(detector)))

    for trouble, is_normal in ((True, True), (False, True), (True, False), (False, True)):
        for x in windows(kind, tuning, 40, start=n, trouble=trouble):
            assessment = detector.assess(x)
            assert restored.score_one(x) == detector.score_one(x)
            assert restored.assess(x) == assessment
            detector.take_one(x, assessment, is_normal=is_normal)
            restored.take_one(x, restored.assess(x), is_normal=is_normal)
    assert plain(restored) == plain(detector)


@every_kind
def test_the_state_is_plain_json_and_does_not_grow_with_the_stream(kind: Kind) -> None:
    tuning = Tuning(window_s=300, ready_windows=READY)
    detector = learned(kind, tuning, 800)
    size = len(plain(detector))

    for x in windows(kind, tuning, 7200, start=800):
        detector.learn_one(x)

    assert len(plain(detector)) < 1.15 * size + 100


@every_kind
@every_size
def test_every_term_of_an_explanation_is_a_finite_number(kind: Kind, tuning: Tuning) -> None:
    detector = learned(kind, tuning, 400)

    for trouble in (False, True):
        for x in windows(kind, tuning, 40, start=400, trouble=trouble):
            terms = detector.explain_one(x)
            assert terms
            assert all(type(value) is float and math.isfinite(value) for value in terms.values())
            detector.take_one(x, detector.assess(x), is_normal=False)


@every_kind
@every_size
def test_a_cleared_detector_keeps_what_it_learned(kind: Kind, tuning: Tuning) -> None:
    detector = learned(kind, tuning, 400)
    for x in windows(kind, tuning, 36, start=400, trouble=True):
        detector.take_one(x, detector.assess(x), is_normal=False)

    detector.clear()

    (x,) = windows(kind, tuning, 1, start=436)
    assert detector.n_seen == 400
    assert not detector.assess(x).is_anomalous


@every_kind
@every_size
def test_an_anomalous_value_lies_outside_of_the_band_that_decided(kind: Kind, tuning: Tuning) -> None:
    detector, seen = learned(kind, tuning, 1500), 0

    for i, x in enumerate(mixed(kind, tuning, 600)):
        assessment = detector.assess(x)
        if assessment.is_anomalous and assessment.observed is not None:
            assert assessment.lower is not None
            assert assessment.upper is not None
            assert not assessment.lower <= assessment.observed <= assessment.upper, (i, assessment)
            seen += 1
        detector.take_one(x, assessment, is_normal=not assessment.is_anomalous)

    assert seen > 5


def mixed(kind: Kind, tuning: Tuning, n: int) -> Iterator[Features]:
    """Yield usual windows, runs of trouble, and runs in which something is only a little worse."""
    usual = list(windows(kind, tuning, n, start=1500))
    bad = list(windows(kind, tuning, n, start=1500, trouble=True))
    for i, (good, worse) in enumerate(zip(usual, bad, strict=True)):
        share = (0.0, 1.0, 0.1, 0.3)[(i // 40) % 4]
        yield {name: (1 - share) * good[name] + share * worse[name] for name in good}


def _broken(state: dict[str, Any]) -> Iterator[Any]:
    """Yield states that cannot be read: nothing, another kind or version, a part missing, a part of another type."""
    yield {}
    yield {**state, "kind": "another"}
    yield {**state, "v": 99}
    for name, value in state.items():
        yield {key: kept for key, kept in state.items() if key != name}
        if name not in ("kind", "v"):
            yield {**state, name: "x"}
        if isinstance(value, dict):
            for inner in _broken(value):
                yield {**state, name: inner}


@every_kind
@every_size
def test_a_state_that_cannot_be_read_is_the_models_own_error(kind: Kind, tuning: Tuning) -> None:
    state = json.loads(plain(learned(kind, tuning, 400)))

    for broken in _broken(state):
        with pytest.raises(ModelStateError):
            kind.make(tuning).from_state(broken)
