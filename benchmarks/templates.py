"""Log templates: how well lines are grouped, how fast, and when a new kind of line is told.

    python -m benchmarks.templates [--lines 100000] [--hours 24] [--seed 1]

Grouping accuracy as in Drain's paper and LogPAI's benchmark: a line counts when its group holds exactly the lines of its true
template. Delay and false findings: native log records through the live stages in process, with a rhythm of day and night.
"""

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.log_set import Line, LogSet
from models.drain import Drain
from pipeline.analyse.template_watch import NEW
from pipeline.backtest.chain import FILES, Chain
from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Verdict
from pipeline.contracts.codec import decode
from pipeline.contracts.partials import SEVERITY_RANK
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.ingest.decoders import decode as decode_message
from pipeline.ingest.masking import clean_line, masked
from pipeline.ingest.reduce import PartialKey, fold
from pipeline.settings import load_settings

WINDOW_S, DAY_S = 10, 86_400
START_S = 1_767_571_200
LENGTH = 200
"""Characters of a masked line, as in config."""
SERVICES = ("gateway", "orders", "storage", "scheduler")
N_KNOWN, N_HELD_BACK = 16, 4
"""Of a service's templates: those that it logs from the beginning, and the bad ones that come as something new."""
RARE = {"gateway": "auth", "orders": "billing", "storage": "kernel", "scheduler": "search"}
"""By service, whose warnings and errors it logs rarely: one line at a time, ``N_RARE`` of each in the whole run."""
N_RARE = 6
ROUNDS = 5
"""Of each speed the best of so many: others use the machine, too."""
LEARN_S = 3 * 3600
"""Before the first new template, and before anything counts as false."""


def accuracy(lines: Sequence[Line], group: Callable[[Line], object]) -> tuple[float, int]:
    """Return the share of lines whose group holds exactly the lines of their template, and how many groups there are."""
    groups: dict[object, list[int]] = defaultdict(list)
    truth: dict[int, list[int]] = defaultdict(list)
    for i, line in enumerate(lines):
        groups[group(line)].append(i)
        truth[line.template].append(i)
    right = {tuple(members) for members in truth.values()}
    return sum(len(members) for members in groups.values() if tuple(members) in right) / len(lines), len(groups)


class Grouping:
    """Masks and clusters lines as Tocsin does: a tree for each service, severities apart; or one for all, or content alone."""

    def __init__(self, *, by_service: bool = True, by_severity: bool = True) -> None:
        self._by_service, self._by_severity = by_service, by_severity
        self._trees: dict[str, Drain] = defaultdict(lambda: Drain(max_groups=10_000))

    def __call__(self, line: Line) -> object:
        """Return a name of the line's group."""
        tree = line.service if self._by_service else ""
        said = masked(clean_line(line.text, LENGTH), LENGTH)
        return tree, self._trees[tree].group(said, str(SEVERITY_RANK[line.severity]) if self._by_severity else "")


def rates(lines: Sequence[Line]) -> dict[str, float]:
    """Return lines a second of masking, of clustering masked lines, and of the ingest step with and without templates."""

    def per_second(work: Callable[[], object]) -> float:
        shortest_s = math.inf
        for _ in range(ROUNDS):
            began = time.perf_counter()
            work()
            shortest_s = min(shortest_s, time.perf_counter() - began)
        return len(lines) / shortest_s

    texts = [line.text for line in lines]
    said = [
        (masked(clean_line(text, LENGTH), LENGTH), str(SEVERITY_RANK[line.severity]))
        for text, line in zip(texts, lines, strict=True)
    ]
    drain = Drain(max_groups=300)
    records = [InRecord(offset=i, timestamp_ms=START_S * 1000, key=None, value=value) for i, value in enumerate(_messages(lines))]
    ingest = replace(load_settings(env={}).ingest, decoders={FILES: "native"})

    def step(max_templates: int) -> None:
        config = replace(ingest, max_templates=max_templates)
        partials: dict[PartialKey, object] = {}
        for record in records:
            for reading in decode_message(config, FILES, record).readings:
                fold(partials, reading, config)  # type: ignore[arg-type]

    return {
        "mask_lines_per_s": per_second(lambda: [masked(clean_line(text, LENGTH), LENGTH) for text in texts]),
        "cluster_lines_per_s": per_second(lambda: [drain.group(line, rank) for line, rank in said]),
        "lines_per_s": per_second(lambda: step(ingest.max_templates)),
        "lines_per_s_without_templates": per_second(lambda: step(0)),
    }


def _messages(lines: Sequence[Line]) -> Iterator[bytes]:
    """Yield messages of a hundred lines each."""
    for i in range(0, len(lines), 100):
        yield orjson.dumps([_record(line, START_S * 1000 + (i + j) // 50) for j, line in enumerate(lines[i : i + 100])])


def _record(line: Line, time_ms: int) -> dict[str, object]:
    return {"kind": "log", "service": line.service, "time": time_ms, "severity": line.severity, "body": line.text}


@dataclass
class Heard:
    """What came out of the chain."""

    anomalous: list[tuple[int, str, Finding]] = field(default_factory=list)
    """(start of the window in s, service, finding)."""
    alerts: list[tuple[str, int, bool]] = field(default_factory=list)
    """(service, end of the window that fired it in s, whether it is of a new kind)."""
    sentences: dict[str, str] = field(default_factory=dict)

    def take(self, output: OutRecord) -> None:
        """Note findings and alerts about log lines."""
        if output.value is None:
            return
        if output.topic == "anomalies":
            verdict = decode(output.value, Verdict)
            for finding in verdict.findings:
                if finding.condition.startswith("template_") and finding.judgement is Judgement.ANOMALOUS:
                    self.anomalous.append((verdict.window_start_ms // 1000, verdict.service, finding))
        elif output.topic == "alert-events":
            event = decode(output.value, AlertEvent)
            if event.transition is Transition.FIRED and event.condition.startswith("template_"):
                self.alerts.append((event.service, (event.fired_at_ms or 0) // 1000, event.condition == NEW))
                self.sentences.setdefault(event.condition, event.sentence)


def news(log_set: LogSet, rng: random.Random, hours: float) -> dict[tuple[str, int], Line]:
    """Return when a new template comes first: (service, start of the window in s) and a line of it; it goes on for 5 minutes."""
    found = {}
    for service in SERVICES:
        own = log_set.templates[service]
        for i, (number, severity, text) in enumerate(own[N_KNOWN : N_KNOWN + N_HELD_BACK]):
            at_s = START_S + LEARN_S + (i + rng.random()) * (hours * 3600 - LEARN_S - 1200) / N_HELD_BACK
            found[service, int(at_s) // WINDOW_S * WINDOW_S] = Line(service, number, severity, text)
    return found


def rare_lines(log_set: LogSet, rng: random.Random, hours: float) -> dict[tuple[str, int], Line]:
    """Return single lines that are no news to anybody: (service, start of the window in s) and the line."""
    found = {}
    for service, other in RARE.items():
        for number, severity, text in log_set.templates[other][-6:]:
            for _ in range(N_RARE):
                at_s = START_S + int(rng.random() * hours * 3600) // WINDOW_S * WINDOW_S
                found[service, at_s] = Line(service, number, severity, log_set.filled(text))
    return found


def live(log_set: LogSet, seed: int, hours: float, fresh: dict[tuple[str, int], Line], progress: Callable[[float], None]) -> Heard:
    """Return what is said of hours of logs: by day three times as many lines as at night, an hourly job that logs much."""
    rng, heard = random.Random(seed), Heard()
    chain, rare = Chain(on_output=heard.take), rare_lines(log_set, rng, hours)
    end_s = START_S + int(hours * 3600)
    for start_s in range(START_S, end_s, WINDOW_S):
        records = []
        busy = 2 + math.sin(2 * math.pi * (start_s - START_S) / DAY_S - math.pi / 2)
        for service in SERVICES:
            lines = [log_set.line(service, n_known=N_KNOWN) for _ in range(_poisson(rng, 10 * busy))]
            if start_s % 3600 == 600:
                number, severity, text = log_set.templates[service][N_KNOWN // 2]
                lines += [Line(service, number, severity, log_set.filled(text)) for _ in range(rng.randint(60, 120))]
            lines += [rare[service, start_s]] if (service, start_s) in rare else []
            for (about, first_s), line in fresh.items():
                if about == service and first_s <= start_s < first_s + 300:
                    lines += [line._replace(text=log_set.filled(line.text)) for _ in range(rng.randint(1, 4))]
            records += [_record(line, start_s * 1000 + rng.randrange(WINDOW_S * 1000)) for line in lines]
        chain.feed(orjson.dumps(records), (start_s + WINDOW_S) * 1000)
        progress(1 - (end_s - start_s) / (hours * 3600))
    chain.drain()
    return heard


def _poisson(rng: random.Random, mean: float) -> int:
    n, left = 0, math.exp(-mean)
    product = rng.random()
    while product > left:
        n, product = n + 1, product * rng.random()
    return n


class Delays:
    """When each new template was an anomaly, and an alert, in windows from its first one on; and what else was told."""

    def __init__(self, heard: Heard, fresh: dict[tuple[str, int], Line]) -> None:
        self.anomaly: list[int] = []
        self.alert: list[int] = []
        accounted: set[tuple[str, int]] = set()
        n_true_alerts = 0
        for service, at_s in fresh:
            span = range(at_s, at_s + 300 + 120)
            own = [start_s for start_s, about, found in heard.anomalous if about == service and start_s in span and is_new(found)]
            accounted |= {(service, start_s) for start_s in own}
            fired = [fired_s for about, fired_s, is_own in heard.alerts if about == service and fired_s in span and is_own]
            n_true_alerts += len(fired)
            self.anomaly += [1 + (own[0] - at_s) // WINDOW_S] if own else []
            self.alert += [(fired[0] - at_s) // WINDOW_S] if fired else []
        others = [at_s for at_s, about, _ in heard.anomalous if (about, at_s) not in accounted and at_s >= START_S + LEARN_S]
        self.n_false_windows = len(others)
        self.n_false_alerts = len(heard.alerts) - n_true_alerts


def is_new(finding: Finding) -> bool:
    """Return whether a finding is about a new kind of line."""
    return finding.condition == NEW


def main() -> int:
    """Run the parts, and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console, log_set = Console(file=sys.stderr), LogSet(options.seed)
    lines = list(log_set.lines(options.lines))
    console.print(f"{len(lines):,} lines of {log_set.n_templates} templates")
    share, n_groups = accuracy(lines, Grouping())
    plain, _ = accuracy(lines, Grouping(by_severity=False))
    together, _ = accuracy(lines, Grouping(by_service=False))
    speeds = rates(lines)
    rng = random.Random(options.seed)
    fresh = news(log_set, rng, options.hours)
    began, last = time.monotonic(), [0.0]

    def progress(part: float) -> None:
        if time.monotonic() - last[0] > 10:
            last[0] = time.monotonic()
            console.print(f"{100 * part:.0f} % of {options.hours:g} h in {last[0] - began:.0f} s")

    heard = live(log_set, options.seed, options.hours, fresh, progress)
    found = Delays(heard, fresh)
    told, fired = found.anomaly, found.alert
    service_days = len(SERVICES) * max(options.hours * 3600 - LEARN_S, 1) / DAY_S
    result = {
        "bench": "templates",
        "templates": log_set.n_templates,
        "grouping_accuracy": round(share, 4),
        "groups": n_groups,
        "grouping_accuracy_without_severity": round(plain, 4),
        "grouping_accuracy_one_tree": round(together, 4),
        **{name: round(rate) for name, rate in speeds.items()},
        "new_templates": len(fresh),
        "new_template_found": len(told),
        "new_template_delay_windows": statistics.median(told) if told else None,
        "new_template_delay_windows_max": max(told, default=None),
        "new_template_alerts": len(fired),
        "new_template_alert_delay_windows": statistics.median(fired) if fired else None,
        "false_anomalous_windows_per_service_day": round(found.n_false_windows / service_days, 2),
        "false_alerts_per_service_day": round(found.n_false_alerts / service_days, 3),
    }
    table = Table("figure", "value")
    for name, value in result.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    console.print(table)
    for sentence in heard.sentences.values():
        console.print(sentence, markup=False)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
