"""PetShop as one history: decides how its quiet days and its issues become days that follow one another, with labels."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.backtest.labels import Label, Labels
from pipeline.errors import UsageError
from pipeline.simulation.petshop import INTERVAL_S, Issue, issues, row_groups

Row = tuple[float, list[dict[str, Any]]]
DAY_ROWS = 288
EPOCH_S = 1_681_171_200
"""Midnight at which all scenarios begin, UTC: 2023-04-11, shortly before the first issue was recorded."""
OTHER_QUIET = "low_traffic"
"""Scenario whose quiet period serves those that have none."""


def continuous(data: Path, split: str) -> tuple[Iterator[dict[str, Any]], Labels]:
    """Return (records in order of time, labels) of all scenarios side by side, each an environment of its own.

    A scenario's quiet period goes round and round, by time of day; each of its issues takes the place of five rows, at
    its own time of day, and at least a day after the one before. All scenarios begin at the same midnight and end
    together.

    Raises
    ------
    UsageError
        If no quiet period is there, or one is shorter than a day.

    """
    by_scenario: dict[str, list[Issue]] = {}
    for issue in issues(data, split):
        by_scenario.setdefault(issue.scenario, []).append(issue)
    timelines: dict[str, list[Row]] = {}
    labels: list[Label] = []
    for scenario, found in by_scenario.items():
        rows: list[Row] = []
        for issue in found:
            at, shown = _place(issue, len(rows))
            rows += [_EMPTY] * (at - len(rows)) + shown
            labels.append(_label(data, issue, at, len(shown)))
        timelines[scenario] = rows
    n_rows = max(len(rows) for rows in timelines.values()) + DAY_ROWS // 2
    quiet = {scenario: _day(data, scenario) for scenario in timelines}
    return _records(timelines, quiet, n_rows), Labels(
        labels=tuple(labels), scored_from_ms=(EPOCH_S + DAY_ROWS // 2 * INTERVAL_S) * 1000
    )


_EMPTY: Row = (0.0, [])


def _place(issue: Issue, after: int) -> tuple[int, list[Row]]:
    """Return the row at which an issue begins: a day behind row ``after`` or more, at its time of day; and its rows."""
    rows = row_groups(issue.folder)
    slot = round(rows[0][0] % 86_400 / INTERVAL_S)
    least = after + DAY_ROWS
    return least + (slot - least) % DAY_ROWS, rows


def _affected(graph: Path, issue: Issue) -> frozenset[str] | None:
    """Return the alarmed node, the root cause, and all that call either, directly or not; ``None`` without a call graph."""
    if not graph.is_file():
        return None
    target = json.loads((issue.folder / "target.json").read_text(encoding="utf-8"))
    found, size = {issue.node, str(target.get("root_cause", {}).get("node", issue.node))}, 0
    with graph.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    while size < len(found):  # a row calls the columns that are not 0
        size = len(found)
        found |= {row[""] for row in rows if any(_is_call(row.get(callee, "")) for callee in found)}
    return frozenset(found)


def _is_call(cell: str | None) -> bool:
    return cell not in (None, "", "0", "0.0", "False")


def _label(data: Path, issue: Issue, at: int, n: int) -> Label:
    """Return an issue's label; its first row is still as usual, and what fires at its end is too early."""
    end_ms = (EPOCH_S + at * INTERVAL_S) * 1000
    return Label(
        name=issue.name,
        environment=issue.scenario,
        service=issue.node,
        kind=issue.metric,
        affected=_affected(data / issue.scenario / "graph.csv", issue),
        start_ms=end_ms + 1,
        end_ms=end_ms + (n - 1) * INTERVAL_S * 1000,
    )


def _day(data: Path, scenario: str) -> list[Row]:
    """Return a scenario's quiet rows, the first one at midnight or just after."""
    folder = next((data / one / "noissue" for one in (scenario, OTHER_QUIET) if (data / one / "noissue").is_dir()), None)
    if folder is None:
        raise UsageError(f"{data}: neither {scenario} nor {OTHER_QUIET} has a quiet period (noissue)")
    rows = row_groups(folder)
    n_days = len(rows) // DAY_ROWS
    if not n_days:
        raise UsageError(f"{folder}: a quiet period is at least a day, {DAY_ROWS} rows, has {len(rows)}")
    rows = rows[-n_days * DAY_ROWS :]
    first = round(rows[0][0] % 86_400 / INTERVAL_S) % DAY_ROWS
    return rows[-first:] + rows[:-first] if first else rows


def _records(timelines: dict[str, list[Row]], quiet: dict[str, list[Row]], n_rows: int) -> Iterator[dict[str, Any]]:
    """Yield the records of every row of every scenario, with their new times and environments."""
    for i in range(n_rows):
        time_s = EPOCH_S + i * INTERVAL_S
        for scenario, rows in timelines.items():
            shown = rows[i][1] if i < len(rows) and rows[i] is not _EMPTY else quiet[scenario][i % len(quiet[scenario])][1]
            for record in shown:
                yield record | {"time": time_s, "environment": scenario}
