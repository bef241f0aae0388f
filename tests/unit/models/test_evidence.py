"""Counts, thresholds and sums over windows."""

import math
import random

import pytest

from models.averages import FadingMean, FadingRatio
from models.budget import TailThreshold, normal_threshold
from models.deviance import count_score
from models.evidence import Evidence
from models.scales import higher, too_many
from models.tuning import Tuning
from models.variability import Variability


def test_a_count_as_expected_scores_nothing_and_more_scores_more() -> None:
    scores = [count_score(n, 100, 0.0) for n in (60, 80, 100, 120, 140)]

    assert scores == sorted(scores)
    assert scores[2] == 0.0


def test_a_variable_rate_makes_the_same_count_less_surprising() -> None:
    assert count_score(140, 100, 0.05) < count_score(140, 100, 0.0) / 1.5


def test_poisson_counts_score_like_standard_normals() -> None:
    draw = random.Random(3)
    scores = [count_score(sum(draw.random() < 0.02 for _ in range(1000)), 20, 0.0) for _ in range(2000)]

    assert abs(sum(scores) / len(scores)) < 0.1
    assert 0.75 < sum(score * score for score in scores) / len(scores) < 1.15


def test_a_fresh_threshold_is_at_least_the_normal_quantile() -> None:
    assert TailThreshold([1e-5], memory=1000).thresholds[0] >= normal_threshold(1e-5)


def test_a_heavy_tail_raises_the_threshold() -> None:
    tail = TailThreshold([1e-5], memory=10_000)
    before = tail.thresholds[0]

    for _ in range(200):
        tail.learn(6.0, 1.0)
    tail.settle()
    tail.settle()

    assert tail.thresholds[0] > before + 2


def test_scores_shortly_before_trouble_do_not_raise_the_threshold() -> None:
    tail, calm = TailThreshold([1e-5], memory=10_000), TailThreshold([1e-5], memory=10_000)
    for _ in range(200):
        tail.learn(6.0, 1.0)
        calm.learn(1.0, 1.0)
    tail.settle()
    tail.drop()
    for one in (tail, calm):
        one.settle()
        one.settle()

    assert tail.thresholds == pytest.approx(calm.thresholds)


def test_a_tail_goes_on_equally_after_a_restart_and_reads_the_version_before() -> None:
    tail = TailThreshold([1e-5, 1e-6], memory=10_000)
    for score in (3.0, 1.0, 4.0):
        tail.learn(score, 1.0)
        tail.settle()
    again = TailThreshold([1e-5, 1e-6], memory=10_000).from_state(tail.to_state())
    older = TailThreshold([1e-5, 1e-6], memory=10_000).from_state(tail.to_state()[:6])
    for one in (tail, again, older):
        one.settle()

    assert again.to_state() == tail.to_state()
    assert older.n_tail == pytest.approx(1, rel=1e-3)
    assert tail.n_tail == pytest.approx(2, rel=1e-3)


def test_variability_is_what_sampling_does_not_explain() -> None:
    draw = random.Random(5)
    variability = Variability(memory=5000, prior=0.5, floor=1e-4)

    for _ in range(5000):
        variability.learn(draw.gauss(0, 0.2) ** 2, sampling=0.01, weight=1.0)

    assert variability.value == pytest.approx(0.03, rel=0.25)


def test_a_fading_mean_goes_on_equally_after_a_restart() -> None:
    mean = FadingMean(5)
    for x in range(9):
        mean.update(float(x))
    again = FadingMean(5).from_state(mean.to_state())

    mean.update(100.0)
    again.update(100.0)

    assert again.value == mean.value


def test_a_ratio_leaves_its_prior_as_it_sees_more_and_survives_a_restart() -> None:
    ratio = FadingRatio(100, prior=0.5, prior_weight=10)
    seen = [ratio.value]
    for _ in range(300):
        ratio.update(1.0, 100.0)
        seen.append(ratio.value)
    again = FadingRatio(100, prior=0.5, prior_weight=10).from_state(ratio.to_state())

    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == pytest.approx(0.01, rel=0.06)
    assert again.value == ratio.value


def make_evidence() -> Evidence:
    tuning = Tuning(window_s=10)
    scales = tuning.make_scales((1, 6, 30), prior=0.01, floor=1e-3)
    return Evidence(too_many, scales, needs_two=True, settle_windows=tuning.settle_windows)


def push(evidence: Evidence, count: float, expected: float, times: int) -> None:
    for _ in range(times):
        evidence.push((count, expected, 1), evidence.scores((count, expected, 1)), is_normal=True)


def test_one_spike_does_not_move_the_sum_of_six() -> None:
    evidence = make_evidence()
    push(evidence, 10, 10, 300)

    by_k = {score.k: score for score in evidence.scores((200, 10, 1))}

    assert by_k[1].z > 5
    assert by_k[6].effect == pytest.approx(1.0)


def test_a_window_can_count_as_less_in_sums_than_it_shows_by_itself() -> None:
    evidence = make_evidence()
    push(evidence, 10, 10, 2400)
    for _ in range(30):
        evidence.push((12, 10, 1), evidence.scores((12, 10, 1), (400, 10, 1)), is_normal=False)

    by_k = {score.k: score for score in evidence.scores((12, 10, 1), (400, 10, 1))}

    assert by_k[1].effect == 40
    assert by_k[6].effect == pytest.approx(1.2)
    assert by_k[30].effect == pytest.approx(1.2)


def test_a_small_lasting_excess_shows_on_the_long_scale_first() -> None:
    evidence = make_evidence()
    push(evidence, 10, 10, 2400)
    for _ in range(60):
        scores = evidence.scores((14, 10, 1))
        evidence.push((14, 10, 1), scores, is_normal=False)

    by_k = {score.k: score for score in scores}

    assert by_k[30].z > by_k[30].threshold
    assert by_k[1].z < by_k[1].threshold


def test_a_scale_is_out_of_reach_until_enough_of_its_sums_were_learned() -> None:
    evidence = make_evidence()
    push(evidence, 10, 10, 60)

    by_k = {score.k: score for score in evidence.scores((500, 10, 1))}

    assert by_k[1].z > by_k[1].threshold
    assert by_k[6].threshold > 1000


def test_scoring_changes_nothing() -> None:
    evidence = make_evidence()
    push(evidence, 10, 10, 50)
    before = evidence.to_state()

    evidence.scores((math.pi * 100, 10, 1))

    assert evidence.to_state() == before


@pytest.mark.parametrize(
    "bad",
    [{"window_s": 0}, {"window_s": 10, "scales": (6, 1)}, {"window_s": 10, "scales": (1, 7)}, {"window_s": 10, "scales": (1, 126)}],
)
def test_a_tuning_that_cannot_work_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        Tuning(**bad)  # type: ignore[arg-type]


def test_windows_of_very_different_weight_leave_no_rest_behind() -> None:
    tuning, draw = Tuning(window_s=10), random.Random(8)
    scales = tuning.make_scales((1, 6), prior=0.01, floor=1e-4)
    evidence = Evidence(higher, scales, needs_two=True, settle_windows=tuning.settle_windows)
    for i in range(3000):
        weight = draw.choice((0.0, 0.0, 0.0, 1e-3, 1e4)) if i % 50 < 40 else 0.0
        item = (weight * draw.gauss(0, 0.1), weight, weight * weight * 0.01)
        scores = evidence.scores(item)
        assert all(score.sampling >= 0 for score in scores)
        evidence.push(item, scores, is_normal=True)


def test_an_alarm_takes_back_what_tails_learned_of_the_windows_before_it() -> None:
    learned, dropped = make_evidence(), make_evidence()
    for evidence in (learned, dropped):
        push(evidence, 10, 10, 300)
        push(evidence, 22, 10, 20)
    dropped.clear()
    for evidence in (learned, dropped):
        push(evidence, 10, 10, 300)

    threshold = {name: evidence.scores((10, 10, 1))[0].threshold for name, evidence in (("l", learned), ("d", dropped))}
    assert threshold["l"] > threshold["d"] + 1


def test_a_state_of_the_version_before_is_read() -> None:
    evidence = make_evidence()
    push(evidence, 10, 10, 100)
    state = evidence.to_state()
    older = {name: value for name, value in state.items() if name != "n_unsettled"} | {"v": 2}
    older["scales"] = [[k, variability, tail[:6]] for k, variability, tail in state["scales"]]

    assert make_evidence().from_state(older).scores((12, 10, 1)) == evidence.scores((12, 10, 1))


def test_what_was_as_far_out_before_is_not_called_the_furthest_and_twice_in_a_row_is_rarer_than_once() -> None:
    evidence = make_evidence()
    push(evidence, 10, 10, 600)
    first = evidence.rarity(evidence.scores((40, 10, 1))[0], window_s=10)
    push(evidence, 40, 10, 1)
    second = evidence.rarity(evidence.scores((40, 10, 1))[0], window_s=10)
    push(evidence, 40, 10, 1)
    push(evidence, 10, 10, 600)
    push(evidence, 38, 10, 1)
    again = evidence.rarity(evidence.scores((38, 10, 1))[0], window_s=10)

    assert "above_all" not in first
    assert second["above_all"] == 1
    assert second["one_in"] > 100 * first["one_in"] > 100
    assert "above_all" not in again
    assert again["days"] == pytest.approx(1200 / 8640, rel=0.1)


def test_the_chance_of_a_threshold_is_the_one_it_was_made_for_whatever_the_tail() -> None:
    tail = TailThreshold([1e-5, 1e-7], memory=10_000)
    for _ in range(200):
        tail.learn(6.0, 1.0)
    tail.settle()
    tail.settle()

    assert [tail.chance(threshold) for threshold in tail.thresholds] == pytest.approx([1e-5, 1e-7])
