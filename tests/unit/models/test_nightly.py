"""What was reached near this hour on the last days."""

import json

import pytest

from models.errors import ModelStateError
from models.nightly import HourlyPeaks
from models.saturation import SaturationDetector, SaturationLimits
from models.tuning import Tuning

DAY_S = 86_400


def feed(peaks: HourlyPeaks, day: int, *, job: float) -> None:
    """Take in a day of 0.4, with a job from 02:10 to 02:30."""
    for i in range(8640):
        hour_s = i * 10
        peaks.learn(day * DAY_S + hour_s, job if 7800 <= hour_s < 9000 else 0.4)


def test_a_job_is_usual_after_two_nights() -> None:
    peaks, told = HourlyPeaks(), []

    for day in range(3):
        told.append(peaks.usual(day * DAY_S + 8000))
        feed(peaks, day, job=0.97)

    assert told == pytest.approx([0.0, 0.0, 0.97])


def test_it_is_usual_near_its_hour_only_and_forgotten_when_it_ends() -> None:
    peaks = HourlyPeaks()
    for day in range(3):
        feed(peaks, day, job=0.97)

    at_noon, an_hour_later = peaks.usual(3 * DAY_S + 43_200), peaks.usual(3 * DAY_S + 11_000)
    for day in range(3, 6):
        feed(peaks, day, job=0.4)

    assert (at_noon, an_hour_later) == pytest.approx((0.4, 0.97))
    assert peaks.usual(6 * DAY_S + 8000) == pytest.approx(0.4)


def test_one_high_window_is_no_peak() -> None:
    peaks = HourlyPeaks()
    for day in range(2):
        for i in range(8640):
            peaks.learn(day * DAY_S + i * 10, 0.99 if i == 800 else 0.4)

    assert peaks.usual(2 * DAY_S + 8000) == pytest.approx(0.4)


def test_restored_peaks_go_on_alike() -> None:
    peaks = HourlyPeaks()
    for day in range(2):
        feed(peaks, day, job=0.97)

    again = HourlyPeaks().from_state(json.loads(json.dumps(peaks.to_state())))
    feed(peaks, 2, job=0.96)
    feed(again, 2, job=0.96)

    assert again.to_state() == peaks.to_state()
    assert again.usual(3 * DAY_S + 8000) == peaks.usual(3 * DAY_S + 8000)


def test_a_state_with_missing_hours_is_refused() -> None:
    with pytest.raises(ModelStateError):
        HourlyPeaks().from_state({"kind": "nightly", "v": 1, "hour": 3, "previous": [0.1, 0.1], "peaks": [1]})


def test_a_resource_that_is_full_every_night_is_news_only_for_two_nights() -> None:
    limits = SaturationLimits(full=0.95, recovered=0.9, page=0.95, to_full_s=14_400, least_rise=0.05, fills_up=False)
    detector, nights = SaturationDetector(Tuning(window_s=10, ready_windows=60), limits), []

    for day in range(4):
        for i in range(8640):
            x = {"utilization": 0.97 if 780 <= i < 900 else 0.4, "time_s": day * DAY_S + i * 10}
            assessment = detector.assess(x)
            if assessment.is_anomalous and day not in nights:
                nights.append(day)
            detector.take_one(x, assessment, is_normal=not assessment.is_anomalous)

    assert nights == [0, 1]
    assert detector.assess({"utilization": 0.99, "time_s": 4 * DAY_S + 8000}).is_page
