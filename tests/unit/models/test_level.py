"""What the detector of a gauge takes for normal, and what not."""

import math
import random
from itertools import pairwise

import pytest

from models.detector import Assessment
from models.level import LevelDetector, LevelEffects
from models.tuning import Tuning

WINDOW_S = 60
DAY = 86_400 // WINDOW_S
BOTH = (1, -1)


def detector(*signs: int, plus: float = 0.0, page_plus: float = 0.0) -> LevelDetector:
    effects = LevelEffects(times=1.6, plus=plus, page_times=3.0, page_plus=page_plus)
    return LevelDetector(Tuning(window_s=WINDOW_S, ready_windows=120, scales=(1, 6, 30, 120)), effects, signs)


def day_of(i: int, amplitude: float = 0.0) -> float:
    return amplitude * math.sin(2 * math.pi * i / DAY)


class Gauge:
    """A queue: noise that wanders (an hour's memory at most) around a level with a time of day."""

    def __init__(self, seed: int, *, mean: float = 100.0, amplitude: float = 0.0, sd: float = 5.0, memory: float = 10.0) -> None:
        self._draw, self._mean, self._amplitude = random.Random(seed), mean, amplitude
        self._sd, self._stay, self._wander = sd, math.exp(-1 / memory), 0.0

    def at(self, i: int) -> dict[str, float]:
        self._wander = self._stay * self._wander + self._draw.gauss(0, self._sd * math.sqrt(1 - self._stay**2))
        return {"value": self._mean + day_of(i, self._amplitude) + self._wander, "time_s": 1_767_571_200.0 + i * WINDOW_S}


def lived(level: LevelDetector, gauge: Gauge, n: int, start: int = 0) -> list[int]:
    """Return the windows that were anomalous; of these nothing was learned."""
    alarms = []
    for i in range(start, start + n):
        x = gauge.at(i)
        found = level.assess(x)
        if level.is_ready and found.is_anomalous:
            alarms.append(i)
        level.take_one(x, found, is_normal=not (level.is_ready and found.is_anomalous))
    return alarms


def shifted(level: LevelDetector, by: float, n: int = 3, at: int = 2 * DAY, gauge: Gauge | None = None) -> list[bool]:
    found = []
    for i in range(at, at + n):
        x = (gauge or Gauge(9)).at(i)
        x["value"] += by
        assessment = level.assess(x)
        found.append(assessment.is_anomalous)
        level.take_one(x, assessment, is_normal=False)
    return found


@pytest.mark.parametrize(
    ("signs", "by", "is_news"),
    [((1,), 100, True), ((1,), -80, False), ((-1,), -80, True), ((-1,), 100, False), (BOTH, 100, True), (BOTH, -80, True)],
)
def test_a_level_that_shifts_is_news_in_its_direction_only(signs: tuple[int, ...], by: float, is_news: bool) -> None:
    level, gauge = detector(*signs), Gauge(1)
    lived(level, gauge, 2 * DAY)

    assert any(shifted(level, by, gauge=gauge)) is is_news


@pytest.mark.parametrize("memory", [0.1, 10.0, 60.0])
def test_a_week_of_noise_is_no_news_though_every_improbable_deviation_would_be_large_enough(memory: float) -> None:
    """Eight tests, each with 0.15 / 20 a day: 0.42 alarms a week; four in two weeks come once in a hundred times."""
    n_alarms = 0
    for seed in (1, 2):
        alarms = lived(detector(*BOTH, plus=1e-6, page_plus=1e-6), Gauge(seed, amplitude=60.0, memory=memory), 8 * DAY)
        n_alarms += sum(now - before > 30 for before, now in pairwise([-DAY, *alarms]))

    assert n_alarms < 4


def test_what_is_usual_at_this_hour_is_no_news_and_the_same_at_another_hour_is() -> None:
    level = detector(*BOTH)
    lived(level, Gauge(3, amplitude=80.0), 4 * DAY)
    peak, trough = 4 * DAY + DAY // 4, 4 * DAY + 3 * DAY // 4

    def at(i: int, value: float) -> bool:
        return level.assess({"value": value, "time_s": 1_767_571_200.0 + i * WINDOW_S}).is_anomalous

    assert not at(peak, 180.0)
    assert at(trough, 180.0)


@pytest.mark.parametrize(("by", "is_news"), [(50.0, False), (70.0, True)])
def test_a_ratio_below_the_least_is_no_news_however_improbable(by: float, is_news: bool) -> None:
    level, gauge = detector(*BOTH), Gauge(4, sd=1.0)
    lived(level, gauge, 2 * DAY)

    assert any(shifted(level, by, gauge=gauge)) is is_news


@pytest.mark.parametrize(("by", "is_news"), [(-9.0, False), (-12.0, True), (9.0, False), (12.0, True)])
def test_an_absolute_least_effect_goes_instead_of_the_ratio_around_zero_too(by: float, is_news: bool) -> None:
    level, gauge = detector(*BOTH, plus=10.0, page_plus=1e9), Gauge(5, mean=0.5, sd=0.2)
    lived(level, gauge, 2 * DAY)

    assert any(shifted(level, by, gauge=gauge)) is is_news


def test_a_gauge_that_never_moved_is_judged_by_its_least_effect() -> None:
    level, gauge = detector(*BOTH), Gauge(6, sd=0.0)
    lived(level, gauge, 2 * DAY)

    assert not any(shifted(level, 30.0, gauge=gauge))
    level.clear()
    assert any(shifted(level, 100.0, gauge=gauge))


def test_a_page_needs_its_own_effect() -> None:
    for by, is_page in ((100.0, False), (250.0, True)):
        level, gauge = detector(*BOTH), Gauge(7)
        lived(level, gauge, 2 * DAY)
        x = gauge.at(2 * DAY)
        assert level.assess(x | {"value": x["value"] + by}).is_page is is_page


def test_what_is_told_is_inside_the_band_when_it_is_normal_and_outside_when_it_is_not() -> None:
    level, gauge = detector(1), Gauge(8)
    lived(level, gauge, 2 * DAY)
    x = gauge.at(2 * DAY)

    calm, high = level.assess(x), level.assess(x | {"value": 300.0})

    assert calm.lower is None
    assert calm.expected == pytest.approx(100, abs=10)
    assert (calm.observed or 0) < (calm.upper or 0) < 200
    assert (high.observed or 0) > (high.upper or 0)
    assert high.terms["one_in"] > 1000


def test_while_it_is_not_normal_nothing_is_learned() -> None:
    level, gauge = detector(*BOTH), Gauge(9)
    lived(level, gauge, 2 * DAY)
    before = level.assess(gauge.at(2 * DAY)).expected

    shifted(level, 400.0, n=600, gauge=gauge)

    assert level.assess(gauge.at(2 * DAY)).expected == before


def constant(level: LevelDetector, value: float, n: int = 2 * DAY) -> LevelDetector:
    for i in range(n):
        x = {"value": value, "time_s": 1_767_571_200.0 + i * WINDOW_S}
        level.take_one(x, level.assess(x), is_normal=True)
    return level


def jumped(level: LevelDetector, *values: float, at: int = 2 * DAY) -> list[Assessment]:
    found = []
    for i, value in enumerate(values, at):
        x = {"value": value, "time_s": 1_767_571_200.0 + i * WINDOW_S}
        found.append(level.assess(x))
        level.take_one(x, found[-1], is_normal=not found[-1].is_anomalous)
    return found


def test_a_gauge_that_always_was_zero_jumps_and_is_told_with_its_own_number() -> None:
    level = constant(detector(1, plus=5.0, page_plus=500.0), 0.0)

    found = jumped(level, *[10_000.0] * 3)

    assert found[1].is_anomalous
    assert found[2].is_page
    assert [one.observed for one in found] == pytest.approx([10_000.0] * 3)


def test_nothing_is_told_that_was_not_seen_however_the_unit_grew_since() -> None:
    level = constant(detector(*BOTH, plus=5.0, page_plus=1e9), 0.0)
    draw = random.Random(1)

    found = jumped(level, *(draw.choice((0.0, 0.0, 0.0, 3.0, 10_000.0)) for _ in range(300)))

    assert all(-1e4 <= (one.observed or 0) <= 1e4 for one in found)


@pytest.mark.parametrize("plus", [0.0, 0.5])
def test_where_nothing_is_expected_a_ratio_never_pages(plus: float) -> None:
    found = jumped(constant(detector(1, plus=plus, page_plus=plus), 0.0), *[1.0] * 6)

    assert any(one.is_anomalous for one in found)
    assert any(one.is_page for one in found) is bool(plus)


def test_of_an_older_state_what_was_learned_is_kept() -> None:
    state = constant(detector(1, plus=5.0, page_plus=500.0), 7.0).to_state() | {"v": 1}

    level = detector(1, plus=5.0, page_plus=500.0).from_state(state)

    assert [one.observed for one in jumped(level, 7.0, 90.0)] == pytest.approx([7.0, 90.0])
