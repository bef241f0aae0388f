"""What latency owes to load."""

import json
import math
import random

import pytest

from models.errors import ModelStateError
from models.latency import LatencyDetector, LatencyEffects
from models.load import LoadEffect
from models.tuning import Tuning

TUNING = Tuning(window_s=10, ready_windows=60)
EFFECTS = LatencyEffects(short=1.6, long=1.15, page=1.8, long_s=300)


def rhythm(i: int) -> float:
    """Requests of window ``i``: a day of twelve hours, between 20 and 100."""
    return 60 + 40 * math.sin(2 * math.pi * i / 4320)


def learned(*, slope: float, n: int = 8640) -> LoadEffect:
    load, draw = LoadEffect(10), random.Random(1)
    for i in range(n):
        load.learn(rhythm(i), 4.0 + slope * rhythm(i) / 100 + draw.gauss(0, 0.05))
    return load


def test_the_effect_of_load_is_found() -> None:
    load = learned(slope=0.4)

    assert load.at(100) - load.at(20) == pytest.approx(0.32, abs=0.05)


def test_no_effect_is_found_where_there_is_none() -> None:
    load = learned(slope=0.0)

    assert load.at(100) - load.at(20) == pytest.approx(0.0, abs=0.03)


def test_a_load_that_was_never_seen_is_followed_half_as_far_again_and_no_further() -> None:
    load = learned(slope=0.4)

    assert load.at(150) > load.at(100) + 0.1
    assert load.at(10_000) == load.at(100_000)


def test_before_half_a_morning_nothing_is_told() -> None:
    assert learned(slope=0.4, n=600).at(100) == 0.0


def test_a_restored_effect_goes_on_alike() -> None:
    load = learned(slope=0.4, n=4000)

    again = LoadEffect(10).from_state(json.loads(json.dumps(load.to_state())))
    for i in range(100):
        load.learn(rhythm(i), 4.2)
        again.learn(rhythm(i), 4.2)

    assert again.at(80) == load.at(80)
    assert again.to_state() == load.to_state()


def test_a_state_with_too_few_moments_is_refused() -> None:
    state = learned(slope=0.4, n=100).to_state()

    with pytest.raises(ModelStateError):
        LoadEffect(10).from_state(state | {"moments": [1.0]})


def test_a_surge_that_slows_everything_as_load_always_did_is_no_alarm() -> None:
    detector, draw, alarms = LatencyDetector(TUNING, EFFECTS), random.Random(2), []

    def window(n: float, slower: float = 0.0) -> dict[str, float]:
        mean = math.log(100) + 0.5 * n / 100 + slower + draw.gauss(0, 0.5 / math.sqrt(n))
        return {"n": n, "mean_log": mean, "var_log": 0.25, "load": n}

    for i in range(3 * 4320):
        detector.learn_one(window(round(rhythm(i))))
    for name, slower in (("surge", 0.0), ("slower", 0.3)):
        for _ in range(120):
            x = window(150, slower)
            assessment = detector.assess(x)
            alarms += [name] if assessment.is_anomalous else []
            detector.take_one(x, assessment, is_normal=False)

    assert set(alarms) == {"slower"}
