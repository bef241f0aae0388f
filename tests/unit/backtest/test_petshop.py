"""PetShop's quiet days and issues become one history with labels."""

import json
from pathlib import Path

import pytest

from pipeline.backtest.petshop import continuous
from pipeline.errors import UsageError

DAY_S, ROW_S = 86_400, 300
QUIET_FROM_S = 1_692_608_400  # 09:00 UTC
ISSUE_FROM_S = 1_681_866_420  # 01:07 UTC
FIRST, SECOND = "low_traffic", "temporal_traffic1"


def write_rows(folder: Path, start_s: int, n: int, requests: int) -> None:
    folder.mkdir(parents=True)
    head = ["microservice,web,web", "metric,requests,latency", "statistic,Sum,p50", "unix_timestamp,,"]
    rows = [f"{start_s + i * ROW_S},{requests},{(start_s + i * ROW_S) % DAY_S / 1000}" for i in range(n)]
    (folder / "metrics.csv").write_text("\n".join([*head, *rows]) + "\n")


def write_issue(data: Path, scenario: str, name: str, start_s: int) -> None:
    folder = data / scenario / "train" / name
    write_rows(folder, start_s, 5, requests=7)
    (folder / "target.json").write_text(json.dumps({"target": {"node": "web", "metric": "latency"}}))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_rows(tmp_path / FIRST / "noissue", QUIET_FROM_S, 600, requests=100)
    write_issue(tmp_path, FIRST, "issue_0", ISSUE_FROM_S)
    write_issue(tmp_path, FIRST, "issue_1", ISSUE_FROM_S + 3_600)
    write_issue(tmp_path, SECOND, "issue_0", ISSUE_FROM_S)
    return tmp_path


def test_scenarios_go_side_by_side_without_a_gap(data: Path) -> None:
    records, _ = continuous(data, "train")
    times: dict[str, list[int]] = {}
    for record in records:
        times.setdefault(record["environment"], []).append(record["time"])

    assert times.keys() == {FIRST, SECOND}
    assert times[FIRST] == times[SECOND]
    assert {later - earlier for earlier, later in zip(times[FIRST], times[FIRST][1:], strict=False)} == {ROW_S}


def test_each_issue_has_its_time_of_day_a_quiet_day_before_it_and_a_label_behind_its_first_row(data: Path) -> None:
    records, labels = continuous(data, "train")
    issue_times = [record["time"] for record in records if record["environment"] == FIRST and record["requests"] == 7]
    first, second = (label for label in labels.labels if label.environment == FIRST)

    assert len(issue_times) == 10
    assert abs(issue_times[0] % DAY_S - ISSUE_FROM_S % DAY_S) <= ROW_S / 2
    assert issue_times[5] - issue_times[4] >= DAY_S
    assert (first.start_ms, first.end_ms) == (issue_times[0] * 1000 + 1, issue_times[4] * 1000)
    assert (first.service, first.kind, second.name) == ("web", "latency", f"{FIRST}/issue_1")
    assert labels.scored_from_ms is not None
    assert labels.scored_from_ms < first.start_ms


def test_with_a_call_graph_root_cause_and_callers_are_affected(data: Path) -> None:
    assert all(label.affected is None for label in continuous(data, "train")[1].labels)
    target = {"target": {"node": "web", "metric": "latency"}, "root_cause": {"node": "store"}}
    (data / FIRST / "train" / "issue_0" / "target.json").write_text(json.dumps(target))
    rows = [",edge,web,store,other", "edge,0,1,0,0", "web,0,0,1,1", "store,0,0,0,0", "other,0,0,0,0"]
    (data / FIRST / "graph.csv").write_text("\n".join(rows) + "\n")

    first, *_ = continuous(data, "train")[1].labels

    assert first.affected == {"edge", "web", "store"}


def test_quiet_rows_keep_their_time_of_day(data: Path) -> None:
    records, _ = continuous(data, "train")

    # latency of the quiet rows above is the time of day itself
    assert all(
        abs(record["latency_ms"]["p50"] - record["time"] % DAY_S) <= ROW_S for record in records if record["requests"] == 100
    )


def test_without_a_quiet_period_it_is_refused(tmp_path: Path) -> None:
    write_issue(tmp_path, SECOND, "issue_0", ISSUE_FROM_S)

    with pytest.raises(UsageError, match="has a quiet period"):
        continuous(tmp_path, "train")


def test_a_quiet_period_of_hours_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / FIRST / "noissue", QUIET_FROM_S, 100, requests=100)
    write_issue(tmp_path, FIRST, "issue_0", ISSUE_FROM_S)

    with pytest.raises(UsageError, match="at least a day"):
        continuous(tmp_path, "train")
