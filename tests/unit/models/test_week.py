"""Whether the day of week is learned, and used only where it predicts better."""

import math
import random
from collections.abc import Callable

import pytest

from models.day_profile import DayProfile
from models.traffic import TrafficDetector, TrafficEffects
from models.tuning import Tuning

WINDOW_S, DAY_S, WEEK_S = 300, 86_400, 604_800
PER_DAY = DAY_S // WINDOW_S
TAKEN_FOR_NORMAL = 3
"""Anomalous windows in a row after which a person says that it is the new normal."""
Shape = Callable[[float], float]


def weekday(time_s: float) -> float:
    """Return requests a window: few at night, many from eight to eight."""
    hour = time_s % DAY_S / 3600
    return 3000 * (0.15 + 1 / (1 + math.exp(-3 * (hour - 8))) - 1 / (1 + math.exp(-3 * (hour - 20))))


def with_weekends(time_s: float) -> float:
    """Return the same, but for two days a week that hardly get up."""
    return weekday(time_s) * (0.3 if int(time_s) // DAY_S % 7 > 4 else 1.0) if weekday(time_s) > 600 else weekday(time_s)


def noisy(shape: Shape, seed: int) -> Shape:
    draw, wander = random.Random(seed), 0.0

    def requests(time_s: float) -> float:
        nonlocal wander
        wander = 0.97 * wander + draw.gauss(0, 0.02)
        expected = shape(time_s) * math.exp(wander)
        return max(0.0, round(draw.gauss(expected, math.sqrt(expected))))

    return requests


def detector() -> TrafficDetector:
    return TrafficDetector(Tuning(window_s=WINDOW_S, alone_s=60), TrafficEffects(drop=1.6, page_drop=2.0, rise=3.0))


def lived(requests: Shape, weeks: int, *, use_week: bool = True) -> tuple[TrafficDetector, list[int]]:
    """Return the detector after so many weeks, and how many windows of each were anomalous."""
    judge, news, run = detector(), [0] * weeks, 0
    for i in range(weeks * 7 * PER_DAY):
        x = {"requests": requests(i * WINDOW_S), "time_s": float((i + 1) * WINDOW_S)}
        assessment = judge.assess(x)
        news[i // (7 * PER_DAY)] += assessment.is_anomalous
        run = run + 1 if assessment.is_anomalous else 0
        judge.take_one(x, assessment, is_normal=not 0 < run < TAKEN_FOR_NORMAL)
        if not use_week:
            judge._profile._week.is_on = False
    return judge, news


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_a_weekly_pattern_it_stays_off(seed: int) -> None:
    judge, _ = lived(noisy(weekday, seed), 6)

    assert not judge._profile._week.is_on


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_a_weekly_pattern_it_turns_on_and_weekend_mornings_stop_being_news(seed: int) -> None:
    judge, news = lived(noisy(with_weekends, seed), 6)
    _, without = lived(noisy(with_weekends, seed), 6, use_week=False)

    assert judge._profile._week.is_on
    assert sum(without[2:]) > 100
    assert sum(news[2:]) <= 5


def test_in_the_first_two_weeks_nobody_knows_the_week() -> None:
    judge, _ = lived(noisy(with_weekends, 1), 2)

    assert not judge._profile._week.is_on


def test_a_pattern_that_ends_is_forgotten() -> None:
    requests, plain, until = noisy(with_weekends, 1), noisy(weekday, 1), 5 * WEEK_S

    judge, news = lived(lambda time_s: requests(time_s) if time_s < until else plain(time_s), 12)

    week = judge._profile._week
    assert sum(news[5:8]) > 0
    assert sum(news[10:]) == 0
    for hour in range(168):
        assert abs(week.offset(3600.0 * hour) - week.offset(3600.0 * (hour + 72))) < 0.25


def test_a_restored_profile_goes_on_equally_and_the_version_before_is_read() -> None:
    judge, _ = lived(noisy(with_weekends, 1), 4)
    profile = judge._profile
    state = profile.to_state()
    again = DayProfile(WINDOW_S).from_state(state)
    older = DayProfile(WINDOW_S).from_state({name: value for name, value in state.items() if name != "week"} | {"v": 2})

    requests = noisy(with_weekends, 9)
    for i in range(4 * 7 * PER_DAY, 5 * 7 * PER_DAY):
        time_s, count = float((i + 1) * WINDOW_S), requests(i * WINDOW_S)
        expected = profile.expected(time_s)
        assert again.expected(time_s) == expected
        for one in (profile, again):
            one.learn(time_s, count, expected)
    assert again.to_state() == profile.to_state()
    assert older.has_profile
    assert not older._week.is_on
