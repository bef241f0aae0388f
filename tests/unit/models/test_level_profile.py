"""When a gauge's times of day are known, however often it is sent."""

import math

import pytest

from models.level_profile import LevelProfile

WINDOW_S, DAY_S = 10, 86_400


def level_at(time_s: float) -> float:
    return 100 + 50 * math.sin(2 * math.pi * time_s / DAY_S)


def lived(profile: LevelProfile, every_s: int, seconds: int, start_s: int = DAY_S) -> list[float]:
    """Return when the profile became complete."""
    complete = []
    for time_s in range(start_s + every_s, start_s + seconds + 1, every_s):
        value, expected = level_at(time_s), profile.expected(time_s)
        if profile.learn(time_s, value, value - expected if profile.n else 0.0):
            complete.append((time_s - start_s) / DAY_S)
    return complete


@pytest.mark.parametrize("every_s", [10, 60, 300])
def test_after_a_day_the_times_of_day_are_known_however_often_it_is_sent(every_s: int) -> None:
    profile = LevelProfile(WINDOW_S)

    complete = lived(profile, every_s, 2 * DAY_S)

    assert complete == [pytest.approx(1.0, abs=0.01)]
    assert profile._usual(DAY_S / 4) == pytest.approx(150, abs=3)
    assert profile._usual(3 * DAY_S / 4) == pytest.approx(50, abs=3)


def test_what_comes_once_an_hour_knows_no_half_hour() -> None:
    profile = LevelProfile(WINDOW_S)

    assert lived(profile, 3600, 20 * DAY_S) == []


def test_hours_that_were_not_heard_are_no_part_of_the_first_day() -> None:
    profile = LevelProfile(WINDOW_S)

    assert lived(profile, 10, DAY_S // 2) == []
    assert lived(profile, 10, DAY_S // 4, start_s=9 * DAY_S) == []
    assert lived(profile, 10, DAY_S // 2, start_s=10 * DAY_S) != []


def test_a_state_that_counted_windows_goes_on_equally() -> None:
    profile = LevelProfile(WINDOW_S)
    lived(profile, 10, DAY_S // 2 + 600)
    older = {name: value for name, value in profile.to_state().items() if name != "seen"} | {"v": 1}
    again = LevelProfile(WINDOW_S).from_state(older)

    for one in (profile, again):
        lived(one, 10, DAY_S, start_s=DAY_S + DAY_S // 2 + 600)

    assert profile.has_profile
    assert again.to_state() == profile.to_state()
