"""What an alert is worth on the Numenta benchmark, in cases that can be reckoned by hand."""

import pytest

from benchmarks.nab_score import Marked, marks, n_probation, scaled_sigmoid

N = 1000
TIMES = [f"t{i:04}" for i in range(N)]
WINDOWS = [(TIMES[400], TIMES[499]), (TIMES[700], TIMES[799])]


def marks_of(*alerts: int) -> dict[str, float]:
    return marks([Marked("a", TIMES, [float(i in alerts) for i in range(N)], WINDOWS)])


def test_a_detector_that_never_alerts_gets_nothing() -> None:
    assert marks_of() == {"standard": 0.0, "low_fp": 0.0, "low_fn": 0.0}


def test_alerts_at_the_beginning_of_every_window_are_perfect() -> None:
    assert marks_of(400, 700) == pytest.approx({"standard": 100, "low_fp": 100, "low_fn": 100}, abs=0.2)


def test_the_earliest_alert_of_a_window_counts_once() -> None:
    assert marks_of(400, 401, 450, 700) == marks_of(400, 700)


def test_a_missed_window_costs_more_where_misses_do() -> None:
    found = marks_of(400)

    assert found["standard"] == pytest.approx(50, abs=0.2)
    assert found["low_fn"] == pytest.approx(50, abs=0.2)
    assert marks_of(450)["standard"] < found["standard"]


def test_a_false_alert_costs_its_weight_and_twice_that_for_low_fp() -> None:
    perfect, spoilt = marks_of(400, 700), marks_of(400, 700, 300)

    assert perfect["standard"] - spoilt["standard"] == pytest.approx(100 * 0.11 / 4, abs=0.01)
    assert perfect["low_fp"] - spoilt["low_fp"] == pytest.approx(100 * 0.22 / 4, abs=0.01)


def test_right_behind_a_window_an_alert_costs_almost_nothing() -> None:
    assert marks_of(400, 700)["standard"] - marks_of(400, 700, 500)["standard"] < 0.1


def test_alerts_in_probation_are_not_scored() -> None:
    assert n_probation(N) == 150
    assert marks_of(149, 400, 700) == marks_of(400, 700)
    assert marks_of(150, 400, 700) != marks_of(400, 700)


def test_probation_is_never_longer_than_750_rows() -> None:
    assert n_probation(20_000) == 750


def test_the_best_threshold_is_found_for_all_files_together() -> None:
    quiet = Marked("a", TIMES, [0.9 if i in (400, 700) else 0.1 for i in range(N)], WINDOWS)
    loud = Marked("b", TIMES, [0.8 if i % 10 == 0 else 0.0 for i in range(N)], [])

    assert marks([quiet, loud])["standard"] == pytest.approx(100, abs=0.2)


def test_without_windows_there_is_nothing_to_normalise_by() -> None:
    with pytest.raises(ValueError, match="no labelled windows"):
        marks([Marked("a", TIMES, [0.0] * N, [])])


def test_the_sigmoid_is_nabs() -> None:
    assert scaled_sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert scaled_sigmoid(0.5) == pytest.approx(-0.84828, abs=1e-5)
