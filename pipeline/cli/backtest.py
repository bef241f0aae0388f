"""`tocsin backtest`: today's configuration over history, its alerts marked against labels, and a report to look at."""

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from pipeline.backtest.labels import Labels, read_labels
from pipeline.cli.history import (
    FromOffset,
    FromTime,
    Progress,
    Range,
    RecordingFormat,
    SourceFile,
    ToOffset,
    TopicNames,
    ToTime,
    opened,
    time_of,
)
from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say_json, show, tell
from pipeline.cli.replay import Format
from pipeline.cli.train import loaded
from pipeline.cli.wording import amount, duration, moment, safe
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.backtest.outcome import Outcome
    from pipeline.backtest.series import SeriesLog
    from pipeline.contracts.models import ModelSnapshot
    from pipeline.settings import Settings


def backtest(
    source: SourceFile = None,
    *,
    format_: RecordingFormat = Format.NDJSON,
    topic: TopicNames = None,
    from_: FromTime = None,
    to: ToTime = None,
    from_offset: FromOffset = None,
    to_offset: ToOffset = None,
    models: Annotated[
        Path | None, typer.Option("--models", metavar="FILE", help="Start warm, from what `tocsin train --out` wrote.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="Known problems, JSON or CSV: service, start, end.")
    ] = None,
    score_from: Annotated[
        str | None, typer.Option("--score-from", metavar="TIME", help="Alerts until then do not count: it learns.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write one HTML page with a plot per series.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Plot every series, not only those with alerts or labels.")] = False,
    alerts: Annotated[Path | None, typer.Option("--alerts", metavar="FILE", help="Write every alert, NDJSON.")] = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Run today's configuration over history, by the same stages as live; nothing is published.

    Precision, recall and delay come with --labels.
    """
    settings = settings_of(config, broker)
    wanted = Range(
        source=source,
        format=format_,
        topics=tuple(topic or ()),
        start=from_,
        end=to,
        from_offset=from_offset,
        to_offset=to_offset,
    )
    known = _Known(labels=None if labels is None else read_labels(labels), scored_from_ms=time_of(score_from, "--score-from"))
    with contextlib.ExitStack() as stack:
        page = None if report is None else stack.enter_context(report.open("a", encoding="utf-8"))  # fails now, if it must
        spool = None if report is None else stack.enter_context(tempfile.TemporaryFile())
        outcome, log = _run(settings, wanted, known, spool, {} if models is None else loaded(models))
        if alerts is not None:
            _write_alerts(alerts, outcome)
        if page is not None and log is not None:
            from pipeline.cli.report.page import write_page  # noqa: PLC0415 - only a report needs it

            page.truncate(0)
            page.writelines(write_page(outcome, log, everything=everything))
            tell(f"report: {report}")
    if as_json:
        say_json(outcome.figures())
    else:
        _show(outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the command line says of labels and scoring."""

    labels: Labels | None
    scored_from_ms: int | None

    def over(self, own: Labels | None) -> Labels | None:
        """Return the labels to mark against: those given, else the history's own; scored from the time given, if any."""
        labels = self.labels or own
        if labels is None or self.scored_from_ms is None:
            return labels
        return replace(labels, scored_from_ms=self.scored_from_ms)


def _run(
    settings: "Settings", wanted: Range, known: _Known, spool: IO[bytes] | None, snapshots: "Mapping[str, ModelSnapshot]"
) -> "tuple[Outcome, SeriesLog | None]":
    """Return the outcome, and its findings where somebody wants plots."""
    from pipeline.backtest.chain import Chain, every_stage  # noqa: PLC0415 - what --help need not wait for
    from pipeline.backtest.histories import run  # noqa: PLC0415
    from pipeline.backtest.memories import cold_starts, warm_stage  # noqa: PLC0415
    from pipeline.backtest.outcome import config_digest, judged  # noqa: PLC0415
    from pipeline.backtest.record import Record  # noqa: PLC0415
    from pipeline.backtest.series import SeriesLog  # noqa: PLC0415
    from pipeline.settings import VERSION  # noqa: PLC0415

    with opened(wanted, settings) as history:
        labels = known.over(history.labels)
        log = None if spool is None else SeriesLog(spool)
        record = Record(scored_from_ms=known.scored_from_ms if labels is None else labels.scored_from_ms, series=log)
        detectors = warm_stage(settings, snapshots.values())
        chain = Chain(settings, record.heard, stages=every_stage(settings, detectors), sources=history.sources)
        progress = Progress(history.n_bytes)
        for fed, fired in run(chain, history.fed):
            record.fired += fired
            progress.passed(fed)
        record.fired += chain.drain()
        progress.done()
    if not record.services:
        raise UsageError(f"no window of any service came out of {wanted.in_words()}: {chain.n_rejected} messages were refused")
    for remark in cold_starts(detectors, snapshots.values(), record):
        tell(remark)
    if chain.n_rejected:
        tell(f"{chain.n_rejected:,} messages held something that was refused; `tocsin replay` and `tocsin dead-letters` show what")
    return judged(record, labels, source=wanted.in_words(), version=VERSION, config=config_digest(settings)), log


def _write_alerts(path: Path, outcome: "Outcome") -> None:
    import msgspec  # noqa: PLC0415 - what --help need not wait for

    with path.open("wb") as file:
        for fired in outcome.record.fired:
            worth = outcome.worth(fired.alert_id)
            line = {
                "environment": fired.environment,
                "service": fired.service,
                "signal": fired.condition,
                "severity": fired.severity.value,
                "fired_at": fired.at_ms / 1000,
                "escalation": fired.is_escalation,
                "was": None if worth is None else worth.value,
                "sentence": fired.sentence,
            }
            file.write(msgspec.json.encode(line) + b"\n")


def _show(outcome: "Outcome") -> None:
    figures = outcome.figures()
    period = f"{moment(outcome.start_ms, with_date=True)} to {moment(outcome.end_ms, with_date=True)} UTC"
    parts: list[Text | Table] = [
        Text(f"{safe(outcome.source)}: {len(outcome.record.services):,} services, {period}", style="bold"),
        Text(
            f"{figures['alerts']} alerts, {amount(_number(figures['alerts_per_service_day']))} per service-day; "
            f"{figures['pages']} pages, {amount(_number(figures['pages_per_service_day']))} per service-day, "
            f"{figures['pages_after_tickets']} of them tickets first"
        ),
    ]
    if outcome.alerts:
        table = Table("condition", "pages", "tickets")
        for condition, counts in outcome.alerts.items():
            table.add_row(Text(safe(condition)), str(counts["page"]), str(counts["ticket"]))
        parts.append(table)
    if outcome.marks is not None and outcome.page_marks is not None:
        against = Table(
            Column("against labels", no_wrap=True),
            Column("recall", no_wrap=True),
            "precision",
            "false per service-day",
            "median delay",
            "p90 delay",
        )
        for title, marks in (("all alerts", outcome.marks), ("pages alone", outcome.page_marks)):
            found = marks.figures()
            recall = f"{amount(_number(found['recall']), 'share')} ({found['detected']} of {found['labels']})"
            against.add_row(
                title,
                recall,
                amount(_number(found["precision"]), "share"),
                amount(_number(found["false_alerts_per_service_day"])),
                _delay(found["median_delay_s"]),
                _delay(found["p90_delay_s"]),
            )
        parts.append(against)
    show(Group(*parts))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _delay(value: object) -> str:
    return duration(value * 1000) if isinstance(value, int | float) else "-"
