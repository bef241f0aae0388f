"""NAB's data and labels, whole or in part, and its result files."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Series:
    """One of NAB's files: its name below `data/`, its rows, and its labelled windows (first and last time)."""

    name: str
    times: tuple[str, ...]
    times_s: tuple[float, ...]
    values: tuple[float, ...]
    windows: tuple[tuple[str, str], ...]


def read(folder: Path) -> list[Series]:
    """Return the labelled series that are there.

    Raises
    ------
    FileNotFoundError
        If there are no labels, or none of the files they name.

    """
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    found = [
        _series(name, folder / "data" / name, tuple((_second(start), _second(end)) for start, end in windows))
        for name, windows in sorted(labels.items())
        if (folder / "data" / name).is_file()
    ]
    if not found:
        raise FileNotFoundError(f"none of the {len(labels)} labelled files under {folder / 'data'}")
    return found


def _series(name: str, path: Path, windows: tuple[tuple[str, str], ...]) -> Series:
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    times = tuple(_second(row["timestamp"]) for row in rows)
    times_s = tuple(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() for time in times)
    return Series(name, times, times_s, tuple(float(row["value"]) for row in rows), windows)


def _second(time: str) -> str:
    """Return a time without its fraction: the labels have one, the data do not."""
    return time.partition(".")[0]


def write_result(folder: Path, detector: str, series: Series, scores: Sequence[float]) -> None:
    """Write a detector's scores where NAB's runner looks for them, in its columns."""
    group, _, name = series.name.partition("/")
    path = folder / detector / group / f"{detector}_{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as lines:
        out = csv.writer(lines, lineterminator="\n")
        out.writerow(("timestamp", "value", "anomaly_score", "label"))
        for time, value, score in zip(series.times, series.values, scores, strict=True):
            label = int(any(start <= time <= end for start, end in series.windows))
            out.writerow((time, value, score, label))
