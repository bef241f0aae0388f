"""Online detectors of river and PySAD on NAB, inside our calibration and policy, so that only the model differs.

A detector gets the value, standardised by its own past. Its score, less the smallest one so far, goes through
the calibration, and the decades that come out through the policy of profile `nab` at each of five thresholds. What is
shown is the best threshold, chosen in hindsight on these very files: theirs is tuned, ours is not.
"""

import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from river import anomaly, stats

from benchmarks.nab_files import Series
from benchmarks.nab_score import Marked, marks
from models.alert_policy import PROFILES, AlertMemory, step
from models.tail_calibration import TailCalibration

THRESHOLDS = (1.0, 1.45, 2.0, 3.0, 4.0)
_SPREAD = 6.0
"""Standard deviations that are mapped to [0, 1] for detectors that want bounds."""
_WARM_UP = 50
"""Values until a mean and a standard deviation are worth standardising by, and again until a detector's scores are."""
Step = Callable[[float], float]
"""Scores a standardised value, then learns it."""


def _river(make: Callable[[], Any]) -> Callable[[], Step]:
    def build() -> Step:
        model = make()

        def score_and_learn(z: float) -> float:
            x = {"value": min(1.0, max(0.0, 0.5 + z / 2 / _SPREAD))}
            score = model.score_one(x)
            model.learn_one(x)
            return float(score)

        return score_and_learn

    return build


def _river_univariate(make: Callable[[], Any]) -> Callable[[], Step]:
    def build() -> Step:
        model = make()

        def score_and_learn(z: float) -> float:
            score = model.score_one({}, z)
            model.learn_one({}, z)
            return abs(float(score))

        return score_and_learn

    return build


def _pysad(make: Callable[[Any], Any]) -> Callable[[], Step]:
    def build() -> Step:
        from pysad import models  # noqa: PLC0415 -- of the development group only

        model = make(models)
        return lambda z: float(model.fit_score_partial(np.array([max(-_SPREAD, min(_SPREAD, z))])))

    return build


_LOW, _HIGH = np.array([-_SPREAD]), np.array([_SPREAD])
PEERS: Mapping[str, Callable[[], Step]] = {
    "river HalfSpaceTrees": _river(lambda: anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1)),
    "river LODA": _river(lambda: anomaly.LODA(seed=1)),
    "river OneClassSVM": _river(anomaly.OneClassSVM),
    "river GaussianScorer": _river_univariate(anomaly.GaussianScorer),
    "river StandardAbsoluteDeviation": _river_univariate(anomaly.StandardAbsoluteDeviation),
    "PySAD LODA": _pysad(lambda models: models.LODA(random_state=1)),
    "PySAD KNNCAD": _pysad(lambda models: models.KNNCAD(probationary_period=100)),
    "PySAD HalfSpaceTrees": _pysad(lambda models: models.HalfSpaceTrees(_LOW, _HIGH, num_trees=25, max_depth=8, random_state=1)),
    "PySAD StandardAbsoluteDeviation": _pysad(lambda models: models.StandardAbsoluteDeviation()),
    "PySAD MedianAbsoluteDeviation": _pysad(lambda models: models.MedianAbsoluteDeviation()),
    "PySAD KitNet": _pysad(lambda models: models.KitNet(max_size_ae=10, grace_feature_mapping=100, grace_anomaly_detector=200)),
}
"""Left out for their time, measured here: river LocalOutlierFactor 1.1 ms a point, PySAD RobustRandomCutForest 13 ms,
IForestASD 6 ms, xStream 0.5 ms, RSHash 0.25 ms, ExactStorm 0.15 ms and more as it fills."""


def decades(series: Series, build: Callable[[], Step]) -> list[float | None]:
    """Return the calibrated scores of one series."""
    score_and_learn, tail = build(), TailCalibration()
    mean, var = stats.Mean(), stats.Var()
    least = math.inf
    found: list[float | None] = []
    for i, value in enumerate(series.values):
        sd = math.sqrt(max(var.get(), 0.0))
        found.append(None)
        if i >= _WARM_UP:
            score = score_and_learn((value - mean.get()) / sd if sd else 0.0)
            if i >= 2 * _WARM_UP and math.isfinite(score):
                least = min(least, score)
                found[-1] = tail.decades(score - least, 1e-9)
                tail.learn(score - least)
        mean.update(value)
        var.update(value)
    return found


def best_marks(all_series: Sequence[Series], scores: Sequence[Sequence[float | None]]) -> tuple[float, dict[str, float]]:
    """Return the best of the thresholds by the standard mark, and its marks."""
    by_threshold = {}
    for threshold in THRESHOLDS:
        policy = replace(PROFILES["nab"], threshold=threshold)
        marked = []
        for series, of_series in zip(all_series, scores, strict=True):
            memory, found = AlertMemory(), []
            for time_s, score in zip(series.times_s, of_series, strict=True):
                memory, outcome = step(policy, memory, time_s=time_s, score=score)
                found.append(float(outcome.is_alert))
            marked.append(Marked(series.name, series.times, found, series.windows))
        by_threshold[threshold] = marks(marked)
    best = max(by_threshold, key=lambda threshold: by_threshold[threshold]["standard"])
    return best, by_threshold[best]


def compare(all_series: Sequence[Series], ours: Mapping[str, float], progress: Console) -> Table:
    """Return the table: ours, then every peer, best first."""
    found: list[tuple[str, str, Mapping[str, float]]] = []
    for name, build in PEERS.items():
        try:
            with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # one of PySAD's prints
                warnings.simplefilter("ignore")
                scores = [decades(series, build) for series in track(all_series, name, console=progress)]
        except ImportError as problem:
            progress.print(f"left out {name}: {problem}")
            continue
        threshold, of_peer = best_marks(all_series, scores)
        found.append((name, f"{threshold:g} (best of 5)", of_peer))
    table = Table("detector", "threshold", *ours, title="the same files, calibration and policy")
    found.sort(key=lambda row: -row[2]["standard"])
    for name, threshold, of_one in [("tocsin novelty", f"{PROFILES['nab'].threshold:g}", ours), *found]:
        table.add_row(name, threshold, *(f"{mark:.1f}" for mark in of_one.values()))
    return table
