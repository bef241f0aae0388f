"""The novelty detector and its parts: what is new scores high, and nothing else does."""

import copy
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from river import compose, preprocessing
from river.base import AnomalyDetector
from sklearn.metrics import roc_auc_score

from models.alert_policy import PROFILES, AlertMemory, AlertPolicy, Outcome, step
from models.errors import ModelStateError
from models.nearest_values import NearestValues
from models.novelty import READY, NoveltyDetector, one_in
from models.river_adapter import RiverAdapter
from models.shapes import Shapes
from models.tail_calibration import WINDOW, TailCalibration
from models.time_of_day import TimeOfDay
from tests.river_checks import passed

DAY = 288


def usual(i: int, draw: random.Random) -> float:
    return 100 + 20 * math.sin(2 * math.pi * i / DAY) + draw.gauss(0, 1)


def point(i: int, value: float) -> dict[str, float]:
    return {"value": value, "time_s": 300.0 * i}


def trained(n: int, seed: int = 1) -> tuple[NoveltyDetector, random.Random]:
    draw, detector = random.Random(seed), NoveltyDetector()
    for i in range(n):
        detector.learn_one(point(i, usual(i, draw)))
    return detector, draw


def test_it_is_one_of_rivers_anomaly_detectors() -> None:
    assert isinstance(NoveltyDetector(), AnomalyDetector)


def test_until_the_hundredth_point_there_is_no_score_and_no_explanation() -> None:
    detector = NoveltyDetector()
    for i in range(READY):
        step = detector.step_one(point(i, float(i % 7)))
        assert step.score is None
        assert step.terms == {}
        assert detector.is_ready == (i == READY - 1)

    assert detector.score_one(point(READY, 3.0)) is not None


def test_a_value_far_away_is_named_as_such() -> None:
    detector, _ = trained(6 * DAY)

    terms = detector.explain_one(point(6 * DAY, 400.0))

    assert terms["value_never_seen"] > 10
    assert terms["new_extreme"] == 3
    assert detector.score_one(point(6 * DAY, 400.0)) > PROFILES["page"].threshold
    assert detector.score_one(point(6 * DAY, 100.0)) < PROFILES["ticket"].threshold


def test_a_beat_of_usual_values_is_a_shape_never_seen() -> None:
    detector, draw = trained(6 * DAY)
    found = [detector.step_one(point(6 * DAY + i, (85 if i // 6 % 2 else 115) + draw.gauss(0, 1))).terms for i in range(40)]

    assert max(terms["shape_never_seen"] for terms in found) > 2
    assert all(terms["new_extreme"] == 0 for terms in found)


def test_the_right_level_at_the_wrong_hour_is_named() -> None:
    detector, draw = trained(6 * DAY)
    for i in range(6 * DAY, 6 * DAY + 40):
        terms = detector.step_one(point(i, usual(i + DAY // 2, draw))).terms

    assert terms["wrong_for_this_hour"] > 2
    assert terms["new_extreme"] == 0


def test_a_constant_series_never_scores() -> None:
    detector = NoveltyDetector()

    scores = [detector.step_one(point(i, 1 / 3)).score for i in range(1000)]

    assert set(scores[READY:]) == {0.0}


@pytest.mark.parametrize("factor", [1e-9, 1e-3, 1e6])
def test_scale_and_place_do_not_matter(factor: float) -> None:
    detector, draw = NoveltyDetector(), random.Random(1)
    here, there = [], []
    other = NoveltyDetector()
    for i in range(800):
        value = usual(i, draw)
        here.append(detector.step_one(point(i, value)).score)
        there.append(other.step_one(point(i, value * factor)).score)

    assert there[READY:] == pytest.approx(here[READY:], abs=1e-2)


def test_points_that_come_more_seldom_weigh_more() -> None:
    often, seldom = NoveltyDetector(), NoveltyDetector()
    for i in range(400):
        often.learn_one(point(i, float(i % 7)))
        seldom.learn_one({"value": float(i % 7), "time_s": 43_200.0 * i})

    assert seldom._seldom - often._seldom == pytest.approx(0.5 * math.log10(43_200 / 300))


@pytest.mark.parametrize("x", [{"value": math.nan, "time_s": 0.0}, {"value": 1.0, "time_s": math.inf}])
def test_what_is_no_number_is_refused(x: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        NoveltyDetector().learn_one(x)


def test_huge_values_and_jumps_back_in_time_are_survived() -> None:
    detector, draw = trained(300)
    for i, value in enumerate((1e300, -1e300, 5.0, 1e-300)):
        assert math.isfinite(detector.step_one({"value": value, "time_s": -1e9 * i}).score)
    assert math.isfinite(detector.step_one(point(305, usual(305, draw))).score)


def test_a_second_outage_scores_like_the_first_when_the_first_was_only_watched() -> None:
    detector, draw = trained(8 * DAY)
    learner = copy.deepcopy(detector)

    def outage(of: NoveltyDetector, begin: int, *, is_learned: bool) -> float:
        take = of.step_one if is_learned else of.watch_one
        scores = [take(point(begin + i, 300 + 5 * math.sin(i))).score for i in range(24)]
        return max(score for score in scores if score is not None)

    def recover(of: NoveltyDetector) -> None:
        for i in range(8 * DAY + 24, 9 * DAY):
            of.step_one(point(i, usual(i, draw)))

    first = outage(detector, 8 * DAY, is_learned=False)
    outage(learner, 8 * DAY, is_learned=True)
    for one in (detector, learner):
        recover(one)
    second = outage(detector, 9 * DAY, is_learned=False)

    assert second == pytest.approx(first, rel=0.1)
    assert outage(learner, 9 * DAY, is_learned=True) < first / 2


def test_watching_an_outage_leaves_the_memories_as_they_were() -> None:
    detector, _ = trained(300)
    before = detector.to_state()

    for i in range(300, 320):
        detector.watch_one(point(i, 1000.0))

    after = detector.to_state()
    assert after["values"] == before["values"]
    assert after["tails"] == before["tails"]
    assert after["range"] == before["range"]
    assert after["shapes"]["numbers"] == before["shapes"]["numbers"]


def test_rarity_is_told_to_one_digit() -> None:
    assert [one_in(decades) for decades in (0.0, 1.0, 4.5, 20.0)] == [1, 10, 30_000, 10**20]


def test_nearest_values_forget_the_oldest() -> None:
    memory = NearestValues(capacity=5)
    for value in (9.0, 1.0, 2.0, 3.0, 4.0, 5.0):
        memory.add(value)

    assert memory.distance(9.0) == pytest.approx((4 + 5 + 6) / 3)


def test_nearest_values_agree_with_a_plain_search() -> None:
    draw = random.Random(3)
    memory, held = NearestValues(capacity=50), []
    for _ in range(300):
        value = float(np.float32(draw.gauss(0, 1)))
        expected = sorted(abs(value - one) for one in held[-50:])[:3]
        assert memory.distance(value) == pytest.approx(sum(expected) / len(expected) if expected else 0.0)
        memory.add(value)
        held.append(value)


def test_shapes_agree_with_a_plain_search() -> None:
    draw = random.Random(4)
    shapes, numbers = Shapes(capacity=40), []
    for i in range(600):
        number = draw.gauss(0, 1)
        ends = [j for j in range(21, i - 24) if j % 3 == 0][-40:]
        newest = np.array([*numbers, number][i - 21 : i + 1 : 3])
        expected = (
            sorted(float(np.linalg.norm(newest - np.array(numbers[j - 21 : j + 1 : 3]))) for j in ends)[:3] if ends else [0.0]
        )
        if ends:
            assert shapes.distance(number) == pytest.approx(sum(expected) / len(expected), abs=1e-5)
        shapes.add(number)
        numbers.append(number)


def exact_fit(distances: list[float]) -> tuple[float, float]:
    descending = sorted(distances, reverse=True)
    k = max(8, int(0.15 * len(descending)))
    return descending[k], sum(descending[:k]) / k - descending[k]


def heavy_tailed(n: int, sway: float = 0.5) -> Iterator[float]:
    draw = random.Random(5)
    for i in range(n):
        yield draw.lognormvariate(0, 1) * (1 + sway * math.sin(i / 700))


def test_up_to_its_window_a_calibration_is_that_of_all_distances() -> None:
    calibration, seen = TailCalibration(), []
    for distance in heavy_tailed(WINDOW):
        calibration.learn(distance)
        seen.append(distance)
        if calibration.n >= 100 and calibration._next_fit == calibration.n + min(200, calibration.n // 10):
            assert (calibration._limit, calibration._excess) == pytest.approx(exact_fit(seen), rel=1e-5)


@pytest.mark.parametrize(("sway", "within"), [(0.0, 0.1), (0.5, 0.3)])
def test_beyond_its_window_a_calibration_stays_close_to_all_of_the_last_distances(sway: float, within: float) -> None:
    calibration, seen = TailCalibration(), []
    for distance in heavy_tailed(8 * WINDOW, sway):
        calibration.learn(distance)
        seen.append(distance)
        if calibration.n > WINDOW and calibration.n % 1000 == 0:
            limit, excess = exact_fit(seen[-WINDOW:])
            for rank in (600, 60, 6):
                rare = sorted(seen[-WINDOW:])[-rank]
                expected = -math.log10(0.15) + (rare - limit) / excess / math.log(10)
                assert calibration.decades(rare, 0.0) == pytest.approx(expected, rel=within)


def test_a_calibration_follows_a_tail_that_shrinks() -> None:
    calibration, draw = TailCalibration(), random.Random(6)
    for _ in range(WINDOW):
        calibration.learn(draw.expovariate(1))
    for _ in range(2 * WINDOW):
        calibration.learn(draw.expovariate(100))

    assert calibration._limit == pytest.approx(-math.log(0.15) / 100, rel=0.1)


def test_new_hours_say_nothing() -> None:
    hours = TimeOfDay()
    hours.learn(5.0, 0.0)

    assert hours.residual(100.0, 7200.0) == 0
    assert hours.residual(100.0, 86_400.0) == 95


def outcomes(policy: AlertPolicy, scores: list[tuple[float, float | None]], memory: AlertMemory | None = None) -> list[Outcome]:
    memory, found = memory or AlertMemory(first_s=-1e9), []
    for time_s, score in scores:
        memory, outcome = step(policy, memory, time_s=time_s, score=score)
        found.append(outcome)
    return found


NAB = PROFILES["nab"]


def test_a_hot_stretch_alerts_once_however_long_it_is() -> None:
    found = outcomes(NAB, [(300.0 * i, 2.0) for i in range(500)])

    assert found[0] is Outcome.ALERT
    assert set(found[1:]) == {Outcome.REFRACTORY}


def test_after_the_refractory_time_it_alerts_again() -> None:
    assert outcomes(NAB, [(0.0, 2.0), (45_000.0, 2.0)])[1] is Outcome.REFRACTORY
    assert outcomes(NAB, [(0.0, 2.0), (45_001.0, 2.0)])[1] is Outcome.ALERT


def test_three_times_the_last_alert_overrides() -> None:
    assert outcomes(NAB, [(0.0, 2.0), (300.0, 5.9), (600.0, 6.0)]) == [Outcome.ALERT, Outcome.REFRACTORY, Outcome.OVERRIDE]


def test_alerts_tire_and_tiredness_passes() -> None:
    hours_13 = 13 * 3600.0

    assert outcomes(NAB, [(0.0, 2.0), (hours_13, 1.6)])[1] is Outcome.COLD
    assert outcomes(NAB, [(0.0, 2.0), (30 * 86_400.0, 1.6)])[1] is Outcome.ALERT


def test_a_young_series_alerts_nobody_but_tires() -> None:
    found = outcomes(NAB, [(0.0, None), (3600.0, 9.0), (3900.0, 9.0), (3 * 86_400.0, 1.6), (4 * 86_400.0, 3.0)], AlertMemory())

    assert found == [Outcome.NOT_READY, Outcome.YOUNG, Outcome.REFRACTORY, Outcome.COLD, Outcome.ALERT]
    assert [outcome.is_alert for outcome in found] == [False, False, False, False, True]


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"threshold": 1.0, "refractory_s": -1.0}])
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        AlertPolicy(**({"refractory_s": 1.0} | wrong))


def any_features(x: dict[str, float], n: int) -> dict[str, float]:
    """Make a series of whatever features river's checks bring."""
    return {"value": sum(map(abs, x.values())), "time_s": 300.0 * n}


def untrained() -> NoveltyDetector:
    return NoveltyDetector()


class Checked(RiverAdapter):
    """Says how it is made, as river's checks ask."""

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"make": untrained}


def adapter() -> RiverAdapter:
    return Checked(untrained, features=any_features)


def test_it_passes_rivers_estimator_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(passed(monkeypatch, adapter())) > 20


def test_the_adapter_says_nothing_until_the_detector_is_ready() -> None:
    adapted = RiverAdapter(untrained)

    assert adapted.score_one(point(0, 1.0)) == 0.0
    assert NoveltyDetector().score_one(point(0, 1.0)) is None


def test_it_composes_in_a_river_pipeline() -> None:
    draw = random.Random(8)
    model = compose.Select("value") | preprocessing.StandardScaler() | adapter()
    scores, labels = [], []
    for i in range(600):
        is_odd = i > 200 and i % 50 == 0
        x = {"value": usual(i, draw) + (200 if is_odd else 0), "other": 1.0}
        scores.append(model.score_one(x))
        model.learn_one(x)
        labels.append(is_odd)

    assert model["Checked"].n_learned == 600
    assert roc_auc_score(labels, scores) > 0.8


def test_a_snapshot_is_at_most_32_kilobytes_and_stays_so() -> None:
    detector, draw = trained(4500)
    sizes = [len(detector.to_bytes())]
    for i in range(4500, 45_000):
        detector.learn_one(point(i, usual(i, draw)))
        if i % 5000 == 0:
            sizes.append(len(detector.to_bytes()))

    assert max(sizes) <= 32_000


def test_a_snapshot_that_is_broken_is_refused_with_the_reason() -> None:
    detector, _ = trained(300)
    state = detector.to_state()
    broken: list[tuple[object, str]] = [
        (state | {"v": 2}, "v2"),
        ({key: value for key, value in state.items() if key != "shapes"}, "shapes"),
        (state | {"values": state["values"] | {"values": b"123"}}, "cannot be read"),
        (state | {"values": state["values"] | {"values": np.array([math.nan], dtype=np.float32).tobytes()}}, "finite"),
        (state | {"values": state["values"] | {"values": bytes(4 * 4001)}}, "4001"),
        (state | {"tails": state["tails"][:2]}, "cannot be read"),
    ]
    for one, reason in broken:
        with pytest.raises(ModelStateError, match=reason):
            NoveltyDetector().from_state(one)
    with pytest.raises(ModelStateError, match="not a snapshot"):
        NoveltyDetector().from_bytes(detector.to_bytes()[:1000])


def test_a_snapshot_survives_json() -> None:
    detector, draw = trained(700)
    restored = NoveltyDetector().from_state(json.loads(msgspec.json.encode(detector.to_state())))
    x = point(700, usual(700, draw))

    assert restored.step_one(x) == detector.step_one(x)
    assert restored.to_bytes() == detector.to_bytes()
