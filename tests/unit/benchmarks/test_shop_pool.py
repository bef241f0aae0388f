"""Exams marked as one: nothing of one is taken for another's."""

from typing import Any

import pytest

from benchmarks.shop import load_module, shared_folder
from benchmarks.shop_pool import Paper, pooled

SCORER = shared_folder() / "exam" / "score.py"
needs_scorer = pytest.mark.skipif(not SCORER.is_file(), reason=f"no exam at {SCORER.parent}")


def _truth(**changes: Any) -> dict[str, Any]:
    fault = {"id": 1, "kind": "silence", "hard": True, "service": "cart", "start": 100, "end": 200, "affected": ["cart", "edge"]}
    return {
        "services": ["cart", "edge"],
        "calls": [["edge", "cart"]],
        "window_s": 10,
        "warmup_until": 0,
        "until": 86_400,
        "faults": [fault],
        "benign": [{"kind": "spike", "service": "edge", "start": 5_000, "end": 5_010}],
    } | changes


def _alert(service: str, at: int) -> dict[str, Any]:
    return {"service": service, "signal": "silence", "fired_at": at, "severity": "page"}


@needs_scorer
def test_an_alert_of_one_exam_does_not_detect_the_fault_of_another() -> None:
    """The same service, fault and time stand in both; only one was alerted, 2 windows in, with a false alarm besides."""
    found = Paper(name="1-1", truth=_truth(), alerts=[_alert("cart", 120), _alert("edge", 5_020)], pages=[_alert("cart", 120)])
    missed = Paper(name="2-1", truth=_truth(), alerts=[], pages=[])
    truth, alerts, pages = pooled([found, missed])
    score = load_module(SCORER).score
    result = score(truth, alerts)
    assert (result["recall"], result["false_alerts"], result["false_by_benign_kind"]) == (0.5, 1, {"spike": 1})
    assert result["false_alerts_per_service_day"] == 0.25  # 4 service-days
    assert result["median_delay_hard_windows"] == 2
    assert score(truth, pages)["false_alerts"] == 0


def test_exams_of_different_length_are_refused() -> None:
    papers = [Paper(name=name, truth=_truth(until=until), alerts=[], pages=[]) for name, until in (("1-1", 1), ("2-1", 2))]
    with pytest.raises(ValueError, match="2-1 does not cover the same time as 1-1"):
        pooled(papers)
