"""What each detector takes for normal, and what not."""

import math
import random
from typing import Any

import pytest

from models.errors import ModelStateError
from models.latency import LatencyDetector, LatencyEffects
from models.ratio import RatioDetector, RatioEffects
from models.saturation import SaturationDetector, SaturationLimits
from models.silence import SilenceDetector
from models.spikes import SpikeTrain
from models.tail import TailDetector
from models.traffic import TrafficDetector, TrafficEffects
from models.tuning import Tuning

TUNING = Tuning(window_s=10, ready_windows=60)


def errors() -> RatioDetector:
    effects = RatioEffects(times=2, plus=0.002, page_times=3, page_plus=0.02)
    return RatioDetector(TUNING, effects, scales=TUNING.scales, prior_ratio=0.0025)


def traffic() -> TrafficDetector:
    return TrafficDetector(TUNING, TrafficEffects(drop=1.6, page_drop=2.0, rise=3.0))


def latency() -> LatencyDetector:
    return LatencyDetector(TUNING, LatencyEffects(short=1.6, long=1.15, page=1.8, long_s=300))


def memory() -> SaturationDetector:
    return SaturationDetector(
        TUNING,
        SaturationLimits(full=0.95, recovered=0.9, page=0.95, to_full_s=4 * 3600, least_rise=0.05, fills_up=True),
    )


def silence() -> SilenceDetector:
    return SilenceDetector(TUNING, least_run=2, longest_run=360)


def window(draw: random.Random, ms: float, n: int = 50) -> dict[str, float]:
    logs = [draw.gauss(math.log(ms), 0.5) for _ in range(n)]
    mean = sum(logs) / n
    return {"n": n, "mean_log": mean, "var_log": sum((x - mean) ** 2 for x in logs) / n, "load": n}


def test_no_detector_has_a_score_before_it_is_ready() -> None:
    assert errors().score_one({"bad": 50, "requests": 50}) is None
    assert traffic().score_one({"requests": 0, "time_s": 0}) is None
    assert latency().score_one({"n": 5, "mean_log": 9, "var_log": 0, "load": 5}) is None
    assert silence().score_one({"is_silent": 1}) is None


def test_a_few_errors_of_few_requests_are_no_alarm_and_many_of_many_are() -> None:
    detector = errors()
    for i in range(2000):
        detector.learn_one({"bad": float(i % 20 == 0), "requests": 20})

    assert not detector.assess({"bad": 1, "requests": 2}).is_anomalous
    assert detector.assess({"bad": 8, "requests": 20}).is_anomalous
    first = detector.assess({"bad": 8, "requests": 20})
    detector.take_one({"bad": 8, "requests": 20}, first, is_normal=False)
    assert detector.assess({"bad": 8, "requests": 20}).is_page


def test_one_burst_of_errors_is_no_alarm_of_a_longer_scale() -> None:
    detector, alarms = errors(), []
    for i in range(9000):
        detector.learn_one({"bad": float(i % 5 == 0), "requests": 250})
    for i in range(60):
        x = {"bad": 27.0 if i == 0 else float(i % 5 == 0), "requests": 250}
        assessment = detector.assess(x)
        alarms += [i] if assessment.is_anomalous else []
        detector.take_one(x, assessment, is_normal=False)

    assert alarms == [0]


def test_an_improbable_but_tiny_error_ratio_is_no_alarm() -> None:
    detector = errors()
    for _ in range(2000):
        detector.learn_one({"bad": 0, "requests": 100_000})

    assert not detector.assess({"bad": 60, "requests": 100_000}).is_anomalous


def test_requests_that_stop_are_an_alarm_at_once() -> None:
    detector = traffic()
    for i in range(400):
        detector.learn_one({"requests": 50 + i % 7, "time_s": i * 10})

    first = detector.assess({"requests": 0, "time_s": 4000})
    detector.take_one({"requests": 0, "time_s": 4000}, first, is_normal=False)
    second = detector.assess({"requests": 0, "time_s": 4010})

    assert first.is_anomalous
    assert first.score < 0
    assert (first.is_page, second.is_page) == (False, True)


def test_the_daily_rhythm_is_no_alarm_on_the_second_day() -> None:
    detector, draw, alarms = traffic(), random.Random(1), 0
    for i in range(2 * 1440):
        time_s = i * 60
        expected = 60 * (1.0 + 0.8 * math.sin(2 * math.pi * time_s / 86_400))
        x = {"requests": max(0.0, round(draw.gauss(expected, math.sqrt(expected)))), "time_s": time_s}
        assessment = detector.assess(x)
        alarms += detector.is_ready and i > 1440 and assessment.is_anomalous
        detector.take_one(x, assessment, is_normal=True)

    assert alarms == 0


def test_no_requests_are_quiet_to_a_counter_whose_drop_is_no_news() -> None:
    detector = TrafficDetector(TUNING, TrafficEffects(drop=math.inf, page_drop=math.inf, rise=3.0))
    for i in range(2000):
        detector.learn_one({"requests": 100, "time_s": i * 10.0})

    looks = {n: detector.assess({"requests": n, "time_s": 20_000.0}) for n in (0, 5, 100, 900)}

    assert {n: look.is_quiet for n, look in looks.items()} == {0: True, 5: True, 100: True, 900: False}
    assert [n for n, look in looks.items() if look.is_anomalous] == [900]


def test_latency_alarms_upward_only() -> None:
    detector, draw = latency(), random.Random(2)
    for _ in range(600):
        detector.learn_one(window(draw, 100))

    assert detector.assess(window(draw, 300)).is_anomalous
    assert not detector.assess(window(draw, 100)).is_anomalous
    assert not detector.assess(window(draw, 30)).is_anomalous


def test_a_ramp_that_no_single_window_shows_is_found_by_a_long_scale() -> None:
    detector, draw = latency(), random.Random(4)
    for _ in range(3000):
        detector.learn_one(window(draw, 100, n=20))
    found = []
    for i in range(200):
        x = window(draw, 100 * (1 + 0.4 * i / 200), n=20)
        assessment = detector.assess(x)
        found.append(assessment)
        detector.take_one(x, assessment, is_normal=False)

    assert any(one.is_anomalous and one.is_slow for one in found)


def test_a_slow_tail_is_found_while_the_typical_request_is_as_fast_as_ever() -> None:
    detector, draw = TailDetector(TUNING, times=2), random.Random(6)
    for _ in range(3000):
        bad = sum(draw.random() < 0.015 for _ in range(40))
        detector.learn_one({"bad": bad, "requests": 40})
    found = False
    for _ in range(90):
        x = {"bad": float(sum(draw.random() < 0.065 for _ in range(40))), "requests": 40.0}
        assessment = detector.assess(x)
        found = found or assessment.is_anomalous
        detector.take_one(x, assessment, is_normal=False)

    assert found


def test_a_nightly_job_at_ninety_percent_is_no_alarm_and_ninety_seven_is() -> None:
    detector = memory()
    for i in range(500):
        detector.learn_one({"utilization": 0.5 + 0.01 * (i % 3), "time_s": i * 10})

    assert not detector.assess({"utilization": 0.92, "time_s": 5000}).is_anomalous
    assert detector.assess({"utilization": 0.97, "time_s": 5000}).is_page


def test_a_leak_is_found_hours_before_the_resource_is_full() -> None:
    detector = memory()
    for i in range(2000):
        detector.learn_one({"utilization": 0.5, "time_s": i * 10})
    value, found_at = 0.5, None
    for i in range(1500):
        value += 0.4 / 2160
        x = {"utilization": value, "time_s": 20_000 + i * 10}
        assessment = detector.assess(x)
        found_at = value if assessment.is_anomalous and found_at is None else found_at
        detector.take_one(x, assessment, is_normal=found_at is None)

    assert found_at is not None
    assert found_at < 0.8


def test_silence_is_judged_by_how_often_a_service_is_silent() -> None:
    chatty, sparse = silence(), silence()
    for i in range(1000):
        chatty.learn_one({"is_silent": 0})
        sparse.learn_one({"is_silent": float(i % 3 > 0)})

    assert chatty.assess({"is_silent": 1}).is_anomalous
    assert not sparse.assess({"is_silent": 1}).is_anomalous


def test_three_isolated_spikes_in_an_hour_are_unusual_and_one_is_not() -> None:
    train = SpikeTrain(TUNING)
    for _ in range(8640):
        train.take(is_spike=False, is_normal=True)
    train.take(is_spike=True, is_normal=False)
    alone = train.is_unusual
    for _ in range(3):
        for i in range(30):
            train.take(is_spike=i == 29, is_normal=False)

    assert not alone
    assert train.is_unusual


@pytest.mark.parametrize("make", [errors, traffic, latency, memory, silence])
def test_a_state_of_another_kind_or_version_is_refused(make: Any) -> None:
    with pytest.raises(ModelStateError, match="expected state of"):
        make().from_state({"kind": "something", "v": 99})
