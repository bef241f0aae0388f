"""The Numenta Anomaly Benchmark: our novelty detector over every file, once, causally, and its marks.

    python -m benchmarks.nab --nab ../shared/data/nab [--out folder] [--peers]

Each file is read from its first row to its last; the detector knows neither its name, nor its length, nor its range. An
alert of profile `nab` is a score of 1, all else is 0, so that there is no threshold left to choose. NAB does not score a
file's first 15 %; alerts on its series without anomalies are counted all the same, from the first row on.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.nab_files import Series, read, write_result
from benchmarks.nab_score import PROFILES as MARKS
from benchmarks.nab_score import Marked, marks, n_probation
from benchmarks.shop import shared_folder
from models.alert_policy import AlertMemory, AlertPolicy, step
from models.novelty import NoveltyDetector
from pipeline.settings import load_settings

DETECTOR = "tocsin"
POLICY = load_settings(Path(__file__).parent.parent / "config", env={}).detection.profiles.nab.novelty.policy()
"""The profile `nab`, as shipped: one configuration for every file."""
_NO_ANOMALY = "artificialNoAnomaly"


@dataclass(frozen=True, slots=True)
class Result:
    """A series, and at which rows there was an alert."""

    series: Series
    is_alert: tuple[bool, ...]

    @property
    def marked(self) -> Marked:
        """For the scorer."""
        return Marked(self.series.name, self.series.times, tuple(map(float, self.is_alert)), self.series.windows)

    @property
    def group(self) -> str:
        """The folder of the file."""
        return self.series.name.partition("/")[0]


def alerts(policy: AlertPolicy, times_s: Iterable[float], scores: Iterable[float | None]) -> tuple[bool, ...]:
    """Return at which points the policy alerts."""
    memory, found = AlertMemory(), []
    for time_s, score in zip(times_s, scores, strict=True):
        memory, outcome = step(policy, memory, time_s=time_s, score=score)
        found.append(outcome.is_alert)
    return tuple(found)


def run(series: Series) -> Result:
    """Read one series point by point."""
    detector = NoveltyDetector()
    rows = zip(series.times_s, series.values, strict=True)
    scores = [detector.step_one({"value": value, "time_s": time_s}).score for time_s, value in rows]
    return Result(series, alerts(POLICY, series.times_s, scores))


def in_windows(series: Series, rows: Iterable[int]) -> set[int]:
    """Return which labelled windows the rows are in."""
    return {i for row in rows for i, (start, end) in enumerate(series.windows) if start <= series.times[row] <= end}


def table_of(results: Iterable[Result]) -> Table:
    """Return the results by folder, marks included where there are windows."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.group].append(result)
    table = Table("folder", "files", "windows", "found", "alerts outside", *MARKS, title="alerts that NAB scores")
    for group, members in sorted(groups.items()):
        n_windows = sum(len(one.series.windows) for one in members)
        n_found = n_outside = 0
        for one in members:
            scored = [row for row, is_alert in enumerate(one.is_alert) if is_alert and row >= n_probation(len(one.is_alert))]
            n_found += len(in_windows(one.series, scored))
            n_outside += sum(not in_windows(one.series, (row,)) for row in scored)
        of_group = marks([one.marked for one in members]) if n_windows else {}
        cells = [f"{of_group[name]:.1f}" if name in of_group else "-" for name in MARKS]
        table.add_row(group, str(len(members)), str(n_windows), str(n_found), str(n_outside), *cells)
    return table


def main() -> None:
    """Run over all files, write results, and print the marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nab", type=Path, default=shared_folder() / "data" / "nab")
    parser.add_argument("--out", type=Path, help="where to write result files, as in NAB's results folder")
    parser.add_argument("--peers", action="store_true", help="the same with river's and PySAD's detectors, for comparison")
    args = parser.parse_args()
    try:
        all_series = read(args.nab)
    except FileNotFoundError as problem:
        sys.exit(f"no NAB data: {problem}")
    progress = Console(stderr=True)
    results = [run(series) for series in track(all_series, "series", console=progress)]
    if args.out:
        for result in results:
            write_result(args.out, DETECTOR, result.series, tuple(map(float, result.is_alert)))
    console = Console()
    console.print(table_of(results))
    total = marks([one.marked for one in results])
    if args.peers:
        from benchmarks.nab_peers import compare  # noqa: PLC0415 -- needs what the benchmark alone does not

        console.print(compare(all_series, total, progress))
    figures = {
        "bench": "nab",
        "files": len(results),
        **{name: round(mark, 2) for name, mark in total.items()},
        "alerts_no_anomaly": sum(sum(one.is_alert) for one in results if one.group == _NO_ANOMALY),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
