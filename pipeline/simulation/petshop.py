"""Reads the PetShop data set as native telemetry: one five-minute summary per component and row."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INTERVAL_S = 300
ENVIRONMENT = "petshop"
_QUANTILES = {"Average": "mean", "p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99"}
_Columns = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One labelled issue: its folder, scenario, and the node and metric whose alarm was raised."""

    folder: Path
    scenario: str
    node: str
    metric: str

    @property
    def name(self) -> str:
        """``scenario/issue``."""
        return f"{self.scenario}/{self.folder.name}"


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of ``folder/metrics.csv`` in order of time.

    A row's ``unix_timestamp`` is read as the end of its five minutes; latency (seconds) becomes ms, and
    availability (percent) becomes a count of errors. A component without requests in a row has no record.

    Raises
    ------
    ValueError
        If the file is not laid out as PetShop's.

    """
    for _, records in row_groups(folder):
        yield from records


def row_groups(folder: Path) -> list[tuple[float, list[dict[str, Any]]]]:
    """Return (time in epoch seconds, its records) for each row of ``folder/metrics.csv``, in order of time."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if len(lines) < 4 or lines[0][0] != "microservice" or lines[3][0] != "unix_timestamp":
        raise ValueError(f"{folder / 'metrics.csv'} has no three-row header of microservice, metric, statistic")
    columns: dict[str, dict[tuple[str, str], int]] = {}
    for i in range(1, len(lines[0])):
        columns.setdefault(lines[0][i], {})[lines[1][i], lines[2][i]] = i
    groups = []
    for line in lines[4:]:
        time_s = float(line[0])
        found = (_record(name, at, line, time_s) for name, at in columns.items())
        groups.append((time_s, [record for record in found if record is not None]))
    return sorted(groups, key=lambda group: group[0])


def issues(data: Path, split: str) -> list[Issue]:
    """Return the issues of all scenarios under ``data`` that belong to ``split`` (``train`` or ``test``)."""
    found = []
    for target_file in sorted(data.glob(f"*/{split}/*/target.json")):
        target = json.loads(target_file.read_text(encoding="utf-8"))["target"]
        folder = target_file.parent
        found.append(Issue(folder=folder, scenario=folder.parent.parent.name, node=target["node"], metric=target["metric"]))
    return found


def _record(service: str, at: _Columns, line: list[str], time_s: float) -> dict[str, Any] | None:
    requests = _number(at, line, ("requests", "Sum"))
    if requests is None:
        return None
    n = round(requests)
    availability = _number(at, line, ("availability", "Average"))
    n_errors = 0 if availability is None else min(n, max(0, round(n * (1 - availability / 100))))
    record: dict[str, Any] = {
        "kind": "summary",
        "environment": ENVIRONMENT,
        "service": service,
        "time": time_s,
        "interval_s": INTERVAL_S,
        "requests": n,
        "errors": n_errors,
    }
    latency = {name: _number(at, line, ("latency", statistic)) for statistic, name in _QUANTILES.items()}
    known = {name: seconds * 1000 for name, seconds in latency.items() if seconds is not None}
    if known:
        record["latency_ms"] = known
    return record


def _number(at: _Columns, line: list[str], column: tuple[str, str]) -> float | None:
    text = line[at[column]] if column in at else ""
    if not text:
        return None
    value = float(text)
    return value if math.isfinite(value) and value >= 0 else None
