"""Our marks are NAB's: held to the published results of three detectors on the files that are here."""

import csv
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.nab_files import Series, read
from benchmarks.nab_score import PROFILES, Marked, marks
from benchmarks.shop import shared_folder

pytestmark = pytest.mark.data
NAB_NAMES = {"standard": "standard", "low_fp": "reward_low_FP_rate", "low_fn": "reward_low_FN_rate"}
WITHIN = 0.02


@pytest.fixture(scope="module")
def nab() -> Path:
    folder = shared_folder() / "data" / "nab"
    if not (folder / "results" / "reference_scores.json").is_file():
        pytest.skip(f"no NAB at {folder}: set TOCSIN_SHARED")
    return folder


@pytest.fixture(scope="module")
def series(nab: Path) -> list[Series]:
    return read(nab)


def stored(nab: Path, detector: str, one: Series) -> list[float]:
    path = nab / "results" / detector / (one.name.replace("/", f"__{detector}_") + ".gz")
    with gzip.open(path, "rt") as lines:
        return [float(row["anomaly_score"]) for row in csv.DictReader(lines)]


def windowed_gaussian(values: Sequence[float]) -> Iterator[float]:
    """NAB's detector of this name; the stored results have 10 digits, and its threshold is in the 12th."""
    mean, sd, all_values = 0.0, 1.0, np.array(values)
    for i, value in enumerate(values):
        score = 1 - 0.5 * math.erfc(abs(value - mean) / sd / 1.4142) if i else 0.0
        yield round(score, 12)
        mean, sd = float(all_values[: i + 1].mean()), float(all_values[: i + 1].std()) or 1e-6


def marked(series: Sequence[Series], scores: Sequence[Sequence[float]]) -> list[Marked]:
    return [Marked(one.name, one.times, of_one, one.windows) for one, of_one in zip(series, scores, strict=True)]


def reference(nab: Path, detector: str) -> dict[str, float]:
    found = json.loads((nab / "results" / "reference_scores.json").read_text())[detector]
    return {name: found[NAB_NAMES[name]]["score"] for name in PROFILES}


@pytest.mark.parametrize("detector", ["contextOSE", "knncad"])
def test_marks_are_those_of_nabs_own_code(nab: Path, series: list[Series], detector: str) -> None:
    found = marks(marked(series, [stored(nab, detector, one) for one in series]))

    assert found == pytest.approx(reference(nab, detector), abs=WITHIN)


def test_marks_are_those_of_nabs_own_code_where_many_scores_are_nearly_one(nab: Path, series: list[Series]) -> None:
    scores = [list(windowed_gaussian(one.values)) for one in series]
    for one, of_one in zip(series[:3], scores, strict=False):
        assert of_one == pytest.approx(stored(nab, "windowedGaussian", one), abs=1e-5)

    found = marks(marked(series, scores))

    assert found == pytest.approx(reference(nab, "windowedGaussian"), abs=WITHIN)
