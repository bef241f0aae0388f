"""The exam: a made-up shop's telemetry through the live stages, its alerts marked against the truth.

    python -m benchmarks.shop --days 1 --faults 20 --seed 1 [--world 1] [--poisoned] [--shared ../shared] [--json]

An alert counts when it fires. For the marks of pages alone, a firing ticket that becomes a page counts at that moment.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.in_process import Chain, Fired
from pipeline.contracts.anomalies import Severity

_DAY_S = 86_400


def shared_folder(named: str | None = None) -> Path:
    """Return the folder with exam and data: the one named, else TOCSIN_SHARED, else ../shared beside the checkout."""
    return Path(named or os.environ.get("TOCSIN_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def load_module(path: Path) -> ModuleType:
    """Return a module from a file, without copying it."""
    spec = importlib.util.spec_from_file_location(f"exam_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def batches(records: Iterable[Any]) -> Iterator[tuple[int, bytes]]:
    """Yield (time in epoch seconds, one message) for each run of records of the same time."""
    parts: list[bytes] = []
    at: int | None = None
    for record in records:
        fields = orjson.loads(record) if isinstance(record, str | bytes) else record
        if fields["kind"] == "change":  # it travels on a topic of its own, and detection does without
            continue
        if at is not None and fields["time"] != at:
            yield at, b"[" + b",".join(parts) + b"]"
            parts = []
        at = fields["time"]
        parts.append(orjson.dumps(fields))
    if at is not None:
        yield at, b"[" + b",".join(parts) + b"]"


def run(chain: Chain, records: Iterable[Any], progress: Callable[[int], None] | None = None) -> list[Fired]:
    """Return everything that people are told while the records pass."""
    fired: list[Fired] = []
    for time_s, value in batches(records):
        fired += chain.feed(value, time_s * 1000)
        if progress is not None:
            progress(time_s)
    return fired + chain.drain()


def marks(
    score: Callable[[dict[str, Any], Iterable[dict[str, Any]]], dict[str, Any]], truth: dict[str, Any], fired: list[Fired]
) -> dict[str, Any]:
    """Return the scorer's figures for all alerts, with those of pages alone beside them."""
    result = score(truth, [alert(one) for one in fired if not one.is_escalation])
    return result | page_marks(score(truth, [alert(one) for one in fired if one.severity is Severity.PAGE]))


def page_marks(pages: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of the scorer's figures for pages alone."""
    return {
        "bench": "shop",
        "page_recall_hard": pages["recall_hard"],
        "page_false_alerts_per_service_day": pages["false_alerts_per_service_day"],
    }


def alert(fired: Fired) -> dict[str, Any]:
    """Return an alert as the scorer reads it."""
    return {
        "service": fired.service,
        "signal": fired.condition,
        "fired_at": fired.at_ms / 1000,
        "severity": fired.severity.value,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=1)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--warmup-days", type=float, default=2)
    parser.add_argument("--poisoned", action="store_true", help="three long outages in the days it learns from")
    parser.add_argument("--shared", help="folder with exam/ and data/ (default: TOCSIN_SHARED, ../shared)")
    parser.add_argument("--json", action="store_true", help="only the last line")
    parser.add_argument("--alerts", type=Path, help="write every alert to this file, NDJSON")
    return parser.parse_args()


def main() -> None:
    """Run the exam and print its marks."""
    args = _arguments()
    console = Console(stderr=True, quiet=args.json)
    exam = shared_folder(args.shared) / "exam"
    if not (exam / "shop.py").is_file():
        raise SystemExit(f"no exam at {exam}: name its folder with --shared")
    shop = load_module(exam / "shop.py").Shop(args.days, args.faults, args.seed, args.world, args.warmup_days, args.poisoned)
    started = time.monotonic()
    total_s = (args.days + args.warmup_days) * _DAY_S
    with console.status("learning") as status:
        shown = 0.0

        def progress(time_s: int) -> None:
            nonlocal shown
            elapsed = time.monotonic() - started
            if elapsed - shown > 1:
                shown = elapsed
                done_s = time_s - shop.truth["until"] + total_s
                status.update(f"{done_s / _DAY_S:.2f} of {total_s / _DAY_S:.0f} days, {done_s / elapsed:,.0f} x real time")

        fired = run(Chain(), shop.records(), progress)
    if args.alerts:
        args.alerts.write_text("".join(json.dumps(alert(one) | {"sentence": one.sentence}) + "\n" for one in fired))
    result = marks(load_module(exam / "score.py").score, shop.truth, fired)
    if not args.json:
        show(Console(), result, time.monotonic() - started)
    print(json.dumps(result))


def show(console: Console, result: dict[str, Any], elapsed_s: float) -> None:
    """Print the marks for a person."""
    table = Table("fault", "n", "detected", "median delay, windows", title=f"exam, {elapsed_s:.0f} s")
    for kind, found in result["kinds"].items():
        table.add_row(kind, str(found["n"]), str(found["detected"]), str(found["median_delay"]))
    console.print(table)
    for name in (
        "recall", "recall_hard", "recall_soft", "precision", "false_alerts", "false_alerts_per_service_day",
        "median_delay_hard_windows", "p90_delay_hard_windows", "alerts_per_fault", "page_recall_hard",
        "page_false_alerts_per_service_day",
    ):  # fmt: skip
        console.print(f"{name:36} {result[name]}")


if __name__ == "__main__":
    main()
