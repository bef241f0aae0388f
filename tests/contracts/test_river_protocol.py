"""Every detector class of ``models`` is river's: an ``AnomalyDetector`` that its checks, pipelines and evaluation take."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from river import anomaly, base, compose
from sklearn.metrics import roc_auc_score

from models.detector import Detector, Features
from models.river_adapter import RiverAdapter
from models.tuning import Tuning
from tests.contracts.test_detectors import KINDS, READY
from tests.river_checks import passed

TUNING = Tuning(window_s=300, ready_windows=READY)
START_S = 1_767_571_200.0
LEAST_CHECKS = 20
SLOW = ("tail",)
"""Judge sums of many windows, and nothing that lasts for one: river's check that odd points rank first says nothing of them."""
every_kind = pytest.mark.parametrize("name", KINDS)


def made(name: str) -> Detector:
    return KINDS[name].make(TUNING)


def _amount(x: Mapping[str, Any]) -> float:
    return sum(map(abs, x.values()))


def _timed(n: int) -> float:
    return START_S + TUNING.window_s * n


OF_ANY: dict[str, Callable[[float, int], Features]] = {
    "latency": lambda amount, _: {"n": 50.0, "mean_log": math.log1p(amount), "var_log": 0.25, "load": 50.0},
    "ratio": lambda amount, _: {"bad": min(99.0, amount / 3), "requests": 100.0},
    "tail": lambda amount, _: {"bad": min(99.0, amount / 3), "requests": 100.0},
    "traffic": lambda amount, n: {"requests": round(10 * amount), "time_s": _timed(n)},
    "saturation": lambda amount, n: {"utilization": min(1.5, amount / 200), "time_s": _timed(n)},
    "level": lambda amount, n: {"value": amount, "time_s": _timed(n)},
    "silence": lambda amount, _: {"is_silent": float(amount > 100)},
}
"""What each detector reads, of whatever features river's checks bring: they drop and shuffle them, and know no names."""


def of_any(name: str, x: Mapping[str, Any], n_learned: int) -> Features:
    return OF_ANY[name](_amount(x), n_learned)


class Checked(RiverAdapter):
    """Says how it is made, as river's checks ask."""

    def _unit_test_skips(self) -> set[str]:
        """Name the checks that make no sense."""
        return {"check_roc_auc"} if self.make.args[0] in SLOW else set()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        for name in KINDS:
            yield {"make": partial(made, name), "features": partial(of_any, name)}


def adapted(name: str) -> RiverAdapter:
    return Checked(partial(made, name), features=partial(of_any, name))


def labelled(name: str, n: int = 1_200) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield windows with the detector's own features, and one that it has no use for; trouble now and then, once it is ready."""
    kind = KINDS[name]
    for i in range(n):
        is_trouble = i > 2 * READY and (i // 60 % 5 == 4 if name in SLOW else i % 50 == 0)
        make = kind.trouble if is_trouble else kind.usual
        yield {**make(random.Random(i), _timed(i)), "other": 1.0}, is_trouble


@every_kind
def test_it_passes_every_check_that_river_has_for_a_detector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = adapted(name)

    names = passed(monkeypatch, detector)

    assert isinstance(detector, base.AnomalyDetector)
    assert len(names) >= LEAST_CHECKS
    assert "check_pickling" in names
    assert ("check_roc_auc" in names) == (name not in SLOW)


@every_kind
def test_it_composes_in_a_river_pipeline(name: str) -> None:
    features = [key for key in next(labelled(name))[0] if key != "other"]
    model = compose.Select(*features) | RiverAdapter(partial(made, name))
    guard = anomaly.ThresholdFilter(RiverAdapter(partial(made, name)), threshold=3.0)
    scores, labels = [], []

    for x, is_trouble in labelled(name):
        score = model.score_one(x)
        assert guard.classify(guard.score_one(x)) == (score >= 3.0)
        model.learn_one(x)
        guard.anomaly_detector.learn_one(x)
        scores.append(score)
        labels.append(is_trouble)

    assert model["RiverAdapter"].n_learned == len(labels)
    assert roc_auc_score(labels, scores) > 0.75  # river learns trouble, too; and longer scales remember it


@every_kind
def test_the_adapter_gives_the_detectors_own_scores_and_changes_nothing_by_asking(name: str) -> None:
    adapter, own = RiverAdapter(partial(made, name), until_ready=-1.0), made(name)

    for x, _ in labelled(name, 300):
        score = own.score_one(x)
        assert adapter.score_one(x) == adapter.score_one(x) == (-1.0 if score is None else score)
        adapter.learn_one(x)
        own.learn_one(x)

    assert adapter.detector.to_state() == own.to_state()  # type: ignore[attr-defined]


@every_kind
def test_a_clone_of_the_adapter_is_untrained(name: str) -> None:
    adapter = RiverAdapter(partial(made, name))
    for x, _ in labelled(name, 100):
        adapter.learn_one(x)

    clone = adapter.clone()

    assert clone.n_learned == 0
    assert clone.detector.n_seen == 0
    assert adapter.detector.n_seen == 100  # type: ignore[attr-defined]
