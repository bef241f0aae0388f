"""A short exam through the live stages in process: hard faults are found, and few alerts are false."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.in_process import Chain
from benchmarks.petshop import run as run_issue
from benchmarks.petshop import timeline
from benchmarks.shop import load_module, marks, run, shared_folder
from pipeline.simulation.petshop import issues, row_groups

pytestmark = [pytest.mark.data, pytest.mark.timeout(600)]  # half a minute alone, more beside other suites


@pytest.fixture(scope="module")
def shared() -> Path:
    folder = shared_folder()
    if not (folder / "exam" / "shop.py").is_file():
        pytest.skip(f"no exam and data at {folder}: set TOCSIN_SHARED")
    return folder


@pytest.fixture(scope="module")
def marked(shared: Path) -> dict[str, Any]:
    shop = load_module(shared / "exam" / "shop.py").Shop(0.5, 10, 3, 5, 0.25)
    fired = run(Chain(), shop.records())
    return marks(load_module(shared / "exam" / "score.py").score, shop.truth, fired)


def test_after_six_hours_of_learning_every_hard_fault_is_found_within_five_windows(marked: dict[str, Any]) -> None:
    assert marked["recall_hard"] == 1.0
    assert marked["median_delay_hard_windows"] <= 3
    assert marked["p90_delay_hard_windows"] <= 6


def test_after_six_hours_of_learning_few_alerts_are_false(marked: dict[str, Any]) -> None:
    # six service-days are scored, of services whose daily rhythm is not known yet
    assert marked["false_alerts"] <= 3
    assert marked["false_pages"] == 0


def test_a_real_issue_of_petshop_is_alerted_within_two_intervals(shared: Path) -> None:
    data = shared / "data" / "petshop"
    issue = next(one for one in issues(data, "train") if one.name == "low_traffic/issue_0")

    outcome = run_issue(issue, timeline(row_groups(data / "low_traffic" / "noissue"), row_groups(issue.folder)))

    assert outcome.is_hit(3)
    assert len(outcome.false_alerts) <= outcome.n_services // 4
