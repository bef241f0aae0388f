"""PetShop: real issues after a day of quiet, through the live stages; the alarmed node should be alerted in time.

    python -m benchmarks.petshop --data ../shared/data/petshop --split train

Each issue's five rows follow, without a gap, 24 h of its scenario's quiet period that end at the issue's time of day
(the temporal scenarios have none: low_traffic's). A hit is an alert on the target that starts firing at the second,
third or fourth row; at the first row it is early. Alerts in the last 12 h of quiet are false.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.in_process import Chain, Fired, message
from benchmarks.shop import shared_folder
from pipeline.simulation.petshop import INTERVAL_S, Issue, issues, row_groups

_DAY_ROWS = 288
_JUDGED_ROWS = 144
_DAY_S = 86_400
Rows = Sequence[tuple[float, list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened at one issue: rows (0 is the issue's first) at which the target fired, and the false alerts before."""

    issue: Issue
    fired_rows: tuple[int, ...]
    n_services: int
    false_alerts: tuple[Fired, ...]

    @property
    def is_early(self) -> bool:
        """It fired at the first row."""
        return 0 in self.fired_rows

    def is_hit(self, last_row: int) -> bool:
        """It started firing between the second row and ``last_row``, and not at the first."""
        return not self.is_early and any(1 <= row <= last_row for row in self.fired_rows)


def timeline(quiet: Rows, issue: Rows) -> Rows:
    """Return 24 h of quiet that end at the issue's time of day, and the issue's rows right behind, timed to follow."""
    wanted_s = (issue[0][0] - INTERVAL_S) % _DAY_S

    def misses_s(i: int) -> float:
        return abs((quiet[i][0] % _DAY_S - wanted_s + _DAY_S / 2) % _DAY_S - _DAY_S / 2)

    ends = range(_DAY_ROWS - 1, len(quiet))
    nearest_s = min(misses_s(i) for i in ends)
    last = max(i for i in ends if misses_s(i) <= nearest_s + 1)
    day = list(quiet[last - _DAY_ROWS + 1 : last + 1])
    end_s = day[-1][0]
    return day + [(end_s + (i + 1) * INTERVAL_S, records) for i, (_, records) in enumerate(issue)]


def run(issue: Issue, rows: Rows) -> Outcome:
    """Feed the timeline through fresh stages, and sort what fired."""
    chain = Chain()
    fired: list[Fired] = []
    for time_s, records in rows:
        if records:
            timed = [record | {"time": time_s} for record in records]
            fired += chain.feed(message(timed), int(time_s * 1000))
    fired += chain.drain()
    issue_at_ms = int(rows[_DAY_ROWS][0] * 1000)

    def row(one: Fired) -> int:
        # the window that holds the row's last millisecond ends less than one interval later
        return (one.at_ms - issue_at_ms) // (INTERVAL_S * 1000)

    starts = [one for one in fired if not one.is_escalation]
    on_target = [one for one in starts if one.service == issue.node and row(one) >= 0]
    return Outcome(
        issue=issue,
        fired_rows=tuple(row(one) for one in on_target),
        n_services=len({record["service"] for _, records in rows for record in records}),
        false_alerts=tuple(one for one in starts if -_JUDGED_ROWS <= row(one) < 0),
    )


def summary(split: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of all issues."""
    service_days = sum(outcome.n_services for outcome in outcomes) * _JUDGED_ROWS / _DAY_ROWS
    n_false = sum(len(outcome.false_alerts) for outcome in outcomes)
    return {
        "bench": "petshop",
        "split": split,
        "issues": len(outcomes),
        "alerted_within_2": sum(outcome.is_hit(3) for outcome in outcomes),
        "alerted_within_3": sum(outcome.is_hit(4) for outcome in outcomes),
        "early": sum(outcome.is_early for outcome in outcomes),
        "quiet_false_alerts_per_service_day": round(n_false / service_days, 4) if service_days else None,
    }


def main() -> None:
    """Run every issue of a split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_folder() / "data" / "petshop")
    parser.add_argument("--split", default="train")
    args = parser.parse_args()
    found = issues(args.data, args.split)
    if not found:
        raise SystemExit(f"no issues of split {args.split!r} under {args.data}")
    console = Console()
    quiet: dict[str, Rows] = {}
    outcomes = []
    table = Table("issue", "metric", "fired at row", "hit", "false before")
    with Console(stderr=True).status("") as status:
        for i, issue in enumerate(found, 1):
            status.update(f"{i} of {len(found)}: {issue.name}")
            scenario = issue.scenario if (args.data / issue.scenario / "noissue").is_dir() else "low_traffic"
            if scenario not in quiet:
                quiet[scenario] = row_groups(args.data / scenario / "noissue")
            outcome = run(issue, timeline(quiet[scenario], row_groups(issue.folder)))
            outcomes.append(outcome)
            table.add_row(
                issue.name,
                issue.metric,
                ", ".join(str(row + 1) for row in outcome.fired_rows) or "-",
                "early" if outcome.is_early else "yes" if outcome.is_hit(3) else "no",
                str(len(outcome.false_alerts)),
            )
    console.print(table)
    loud = Counter((one.service, one.condition) for outcome in outcomes for one in outcome.false_alerts)
    for (service, condition), n in loud.most_common(8):
        console.print(f"{n:4} false: {condition} of {service}", markup=False)
    print(json.dumps(summary(args.split, outcomes)))


if __name__ == "__main__":
    main()
