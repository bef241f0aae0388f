"""Several exams marked as one: their shops side by side, so that the scorer's own figures are the pooled ones.

    python -m benchmarks.shop_pool 31-24 32-25 33-26 --days 7 --faults 60 [--poisoned] [--jobs 2] [--shared ../shared] [--json]

Each exam is SEED-WORLD. Nothing passes from one to another: each has a process, a chain and detectors of its own.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.in_process import Chain
from benchmarks.shop import alert, load_module, page_marks, run, shared_folder, show
from pipeline.contracts.anomalies import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """Which exam, how long, and where its programs are."""

    name: str
    days: float
    faults: int
    warmup_days: float
    poisoned: bool
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The truth of an exam, and the alerts that were given: all of them, and pages alone."""

    name: str
    truth: dict[str, Any]
    alerts: list[dict[str, Any]]
    pages: list[dict[str, Any]]


def sat(exam: Exam) -> Paper:
    """Return an exam's paper; minutes of work for a week of the shop."""
    seed, world = (int(part) for part in exam.name.split("-"))
    shop = load_module(exam.folder / "shop.py").Shop(exam.days, exam.faults, seed, world, exam.warmup_days, exam.poisoned)
    fired = run(Chain(), shop.records())
    return Paper(
        name=exam.name,
        truth=shop.truth,
        alerts=[alert(one) for one in fired if not one.is_escalation],
        pages=[alert(one) for one in fired if one.severity is Severity.PAGE],
    )


def pooled(papers: list[Paper]) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return truth, alerts and pages of all, every service and fault named after its exam.

    Raises
    ------
    ValueError
        If the exams do not cover the same time: service-days would be counted wrongly.

    """
    first = papers[0].truth
    span = ("window_s", "warmup_until", "until")
    for paper in papers:
        if any(paper.truth[key] != first[key] for key in span):
            raise ValueError(f"exam {paper.name} does not cover the same time as {papers[0].name}")
    truth: dict[str, Any] = {key: first[key] for key in span} | {"services": [], "calls": [], "faults": [], "benign": []}
    for paper in papers:
        own = f"{paper.name}/"
        truth["services"] += [own + service for service in paper.truth["services"]]
        truth["calls"] += [[own + caller, own + callee] for caller, callee in paper.truth["calls"]]
        truth["benign"] += [event | {"service": own + event["service"]} for event in paper.truth["benign"]]
        truth["faults"] += [
            fault
            | {
                "id": f"{own}{fault['id']}",
                "service": own + fault["service"],
                "affected": [own + service for service in fault["affected"]],
            }
            for fault in paper.truth["faults"]
        ]
    alerts = [one | {"service": f"{paper.name}/{one['service']}"} for paper in papers for one in paper.alerts]
    pages = [one | {"service": f"{paper.name}/{one['service']}"} for paper in papers for one in paper.pages]
    return truth, alerts, pages


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exams", nargs="+", metavar="SEED-WORLD")
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--warmup-days", type=float, default=2)
    parser.add_argument("--poisoned", action="store_true", help="three long outages in the days it learns from")
    parser.add_argument("--jobs", type=int, default=2, help="exams at the same time")
    parser.add_argument("--shared", help="folder with exam/ and data/ (default: TOCSIN_SHARED, ../shared)")
    parser.add_argument("--json", action="store_true", help="only the last line")
    parser.add_argument("--alerts", type=Path, help="write every alert to this file, NDJSON")
    args = parser.parse_args()
    wrong = [name for name in args.exams if [part.isdigit() for part in name.split("-")] != [True, True]]
    if wrong or len(set(args.exams)) < len(args.exams):
        parser.error(f"exams are SEED-WORLD, each once: {' '.join(wrong or args.exams)}")
    return args


def main() -> None:
    """Sit the exams and print their marks, each one's and all together."""
    args = _arguments()
    progress = Console(stderr=True, quiet=args.json)
    folder = shared_folder(args.shared) / "exam"
    if not (folder / "shop.py").is_file():
        raise SystemExit(f"no exam at {folder}: name its folder with --shared")
    score = load_module(folder / "score.py").score
    common = {
        "days": args.days,
        "faults": args.faults,
        "warmup_days": args.warmup_days,
        "poisoned": args.poisoned,
        "folder": folder,
    }
    started, papers = time.monotonic(), dict[str, Paper]()
    with ProcessPoolExecutor(max_workers=args.jobs) as pool:
        for future in as_completed([pool.submit(sat, Exam(name=name, **common)) for name in args.exams]):
            paper = future.result()
            papers[paper.name] = paper
            own, pages = score(paper.truth, paper.alerts), score(paper.truth, paper.pages)
            progress.print(
                f"{time.monotonic() - started:5.0f} s  {paper.name}: recall {own['recall']}, hard {own['recall_hard']}, "
                f"{own['false_alerts']} false; pages alone: hard {pages['recall_hard']}, {pages['false_alerts']} false"
            )
    truth, all_alerts, all_pages = pooled([papers[name] for name in args.exams])
    if args.alerts:
        args.alerts.write_text("".join(json.dumps(one) + "\n" for one in all_alerts))
    result = score(truth, all_alerts) | page_marks(score(truth, all_pages)) | {"exams": len(papers)}
    if not args.json:
        show(Console(), result, time.monotonic() - started)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
