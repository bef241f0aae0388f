"""What the first day teaches of a count, whatever its size."""

import math

import pytest

from models.day_profile import DayProfile

WINDOW_S, DAY_S = 10, 86_400
PER_DAY = DAY_S // WINDOW_S


def lived(profile: DayProfile, counts: list[float], n: int, start: int = 0) -> None:
    for i in range(start, start + n):
        time_s = float((i + 1) * WINDOW_S)
        profile.learn(time_s, counts[i % len(counts)], profile.expected(time_s))


@pytest.mark.parametrize("usual", [0.4, 3.0, 5e8, 1e15])
def test_on_the_second_day_what_the_first_one_had_is_expected_whatever_its_size(usual: float) -> None:
    profile = DayProfile(WINDOW_S)

    lived(profile, [usual], PER_DAY)

    assert profile.has_profile
    assert profile.expected(DAY_S + 43_200.0) == pytest.approx(usual, rel=1e-4)


def test_a_state_of_whole_requests_in_the_middle_of_the_first_day_goes_on_equally() -> None:
    profile, counts = DayProfile(WINDOW_S), [3.0, 0.0, 7.0, 1.0]
    lived(profile, counts, PER_DAY // 2)
    state = profile.to_state()
    older = DayProfile(WINDOW_S).from_state(state | {"bins": [int(total) for total in state["bins"]]})

    for one in (profile, older):
        lived(one, counts, PER_DAY, start=PER_DAY // 2)

    assert older.to_state() == profile.to_state()


def test_a_first_day_is_restored_with_its_fractions() -> None:
    profile = DayProfile(WINDOW_S)
    lived(profile, [0.4], PER_DAY // 2)

    again = DayProfile(WINDOW_S).from_state(profile.to_state())

    assert math.fsum(again.to_state()["bins"]) == pytest.approx(0.4 * PER_DAY / 2)
