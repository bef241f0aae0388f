"""How `up` looks: decides what a terminal shows of the board, and the plain lines where there is no terminal."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rich import box
from rich.console import ConsoleDimensions, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.cli.board import Board
from pipeline.cli.lines import request_line
from pipeline.cli.wording import UNKNOWN, amount, duration, moment, safe, sparkline
from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.signals import Signals

SHOWN_EVENTS, SHOWN_REQUESTS, SHOWN_ANNOUNCEMENTS = 6, 3, 3
TALL = 40
"""Lines of a terminal from which on all of that is shown; below, half as many alerts."""
TREND_WINDOWS = 18
STYLES = {Transition.FIRED: "bold red", Transition.STILL_FIRING: "red", Transition.RESOLVED: "green"}
SHOWN_TRANSITIONS = frozenset({Transition.FIRED, Transition.RESOLVED})
"""The steps worth a line; pending, cancelled and reminders are on the topic."""


class Column(NamedTuple):
    """A column of the services' table, and the width of a terminal from which on it is shown."""

    name: str
    justify: Literal["left", "right"] = "left"
    from_width: int = 0


COLUMNS = (
    Column("service"),
    Column("req/s", "right"),
    Column("p50", "right"),
    Column("p95", "right"),
    Column("errors", "right"),
    Column("most constrained", from_width=118),
    Column("p95, last 3 min", from_width=98),
    Column("state"),
)


@dataclass(slots=True)
class Status:
    """What goes on behind the view.

    ``history_share`` and ``learned_share`` (in [0, 1]): of the simulated history, how much was sent, and how much
    has come out as signals. ``announcements``: what the demonstration says, newest last.
    """

    broker: str
    set_up_at_ms: int
    history_start_ms: int
    history_share: float = 0.0
    records: int = 0
    announcements: list[str] = field(default_factory=list)

    def learned_share(self, board: Board) -> float:
        """Return how much of the history has come out as signals, in [0, 1]."""
        span = max(1, board.live_from_ms - self.history_start_ms)
        if board.seen_through_ms is None:
            return 0.0
        return min(1.0, max(0.0, (board.seen_through_ms - self.history_start_ms) / span))


def render(board: Board, status: Status, now_ms: int, size: ConsoleDimensions) -> RenderableType:
    """Return the whole view, as much of it as a terminal of this size has room for."""
    n_events = SHOWN_EVENTS if size.height >= TALL else SHOWN_EVENTS // 2
    is_live = board.first_live_at_ms is not None
    parts: list[RenderableType] = [_headline(board, status, now_ms)]
    if not is_live:
        parts.append(_catching_up(board, status))
    parts.append(_services(board, size.width))
    if status.announcements:
        lines = [Text(line, style="cyan") for line in status.announcements[-SHOWN_ANNOUNCEMENTS:]]
        parts.append(_panel("Demonstration", lines))
    if events := _worth_showing(board.events):
        parts.append(_panel("Alerts", [_event_text(event) for event in events[-n_events:]]))
    if board.requests:
        lines = [Text(request_line(request), style="magenta") for request in list(board.requests)[-SHOWN_REQUESTS:]]
        parts.append(_panel("Remediation requests", lines))
    return Group(*parts)


def plain_progress(board: Board, status: Status) -> str:
    """Return one line on the history, for where there is no terminal."""
    return (
        f"history: {status.history_share:.0%} sent ({status.records:,} records), "
        f"{status.learned_share(board):.0%} learned, now at {moment(board.seen_through_ms, with_date=True)}"
    )


def plain_service(signals: Signals, firing: Iterable[AlertEvent]) -> str:
    """Return one line on the newest window of a service."""
    latency = signals.latency
    return (
        f"{moment(signals.window_end_ms)} {safe(signals.service):<12} {signals.traffic.requests_per_second:7.1f} req/s  "
        f"p50 {amount(None if latency is None else latency.p50_ms, 'ms'):>8}  "
        f"p95 {amount(None if latency is None else latency.p95_ms, 'ms'):>8}  "
        f"errors {amount(signals.errors.ratio, 'ratio'):>6}  {_constrained(signals):<14}  {_state(signals, firing)[0]}"
    ).rstrip()


def event_plain(event: AlertEvent) -> str | None:
    """Return one line on an alert event; ``None`` for the steps that are not worth one."""
    return _event_text(event).plain if event.transition in SHOWN_TRANSITIONS else None


def _headline(board: Board, status: Status, now_ms: int) -> Text:
    line = Text("Tocsin", style="bold")
    line.append(f"  {status.broker}", style="dim")
    line.append(f"\nup for {duration(now_ms - status.set_up_at_ms)}", style="dim")
    line.append(f"  {status.records:,} records sent", style="dim")
    if board.first_live_at_ms is not None and board.seen_through_ms is not None:
        line.append(f"  newest window {duration(max(0, now_ms - board.seen_through_ms))} ago", style="dim")
    if board.n_old_news:
        line.append(f"  {board.n_old_news} alerts of the history, recorded only", style="dim")
    if board.n_dead_letters:
        line.append(f"  {board.n_dead_letters} dead letters", style="yellow")
    line.append("  Ctrl-C ends it", style="dim")
    return line


def _catching_up(board: Board, status: Status) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    learned = status.learned_share(board)
    grid.add_row("history sent", ProgressBar(total=1.0, completed=status.history_share, width=40), f"{status.history_share:.0%}")
    grid.add_row("learned", ProgressBar(total=1.0, completed=learned, width=40), f"{learned:.0%}")
    return Panel(grid, title="A simulated day of history, at full speed", title_align="left", border_style="dim")


def _services(board: Board, width: int) -> Table:
    """Return a row a service, with those columns that a terminal of this width has room for."""
    shown = [column for column in COLUMNS if width >= column.from_width]
    table = Table(expand=True, box=box.SIMPLE_HEAD, border_style="dim")
    for column in shown:
        table.add_column(column.name, justify=column.justify, no_wrap=column.name != "state")
    for key in sorted(board.windows):
        windows = board.windows[key]
        newest = windows[-1]
        firing = [event for event in board.firing.values() if f"{event.environment}/{event.service}" == key]
        state, style = _state(newest, firing)
        latency = newest.latency
        cells: dict[str, RenderableType] = {
            "service": Text(safe(key, 32), style="bold red" if firing else "bold"),
            "req/s": f"{newest.traffic.requests_per_second:.1f}",
            "p50": amount(None if latency is None else latency.p50_ms, "ms"),
            "p95": amount(None if latency is None else latency.p95_ms, "ms"),
            "errors": amount(newest.errors.ratio, "ratio"),
            "most constrained": Text(_constrained(newest)),
            "p95, last 3 min": sparkline(
                [None if w.latency is None else w.latency.p95_ms for w in list(windows)[-TREND_WINDOWS:]], low=0.0
            ),
            "state": Text(state, style=style),
        }
        table.add_row(*(cells[column.name] for column in shown))
    return table


def _constrained(signals: Signals) -> str:
    name = signals.most_constrained
    if name is None or name not in signals.saturation:
        return UNKNOWN
    return f"{safe(name, 24)} {amount(signals.saturation[name].mean, 'ratio')}"


def _state(signals: Signals, firing: Iterable[AlertEvent]) -> tuple[str, str]:
    conditions = sorted(safe(event.condition) for event in firing)
    if conditions:
        return "FIRING " + ", ".join(conditions), "bold red"
    return ("silent", "yellow") if signals.is_silent else ("ok", "green")


def _worth_showing(events: Iterable[AlertEvent]) -> list[AlertEvent]:
    return [event for event in events if event.transition in SHOWN_TRANSITIONS]


def _event_text(event: AlertEvent) -> Text:
    text = Text(f"{moment(event.at_ms)} ", style="dim")
    text.append(f"{event.transition.replace('_', ' ').upper():<9}", style=STYLES.get(event.transition, ""))
    text.append(f"{safe(event.service)}: " if event.service not in event.sentence else "")
    text.append(safe(event.sentence, 400) or safe(event.condition))
    return text


def _panel(title: str, lines: list[Text]) -> Panel:
    return Panel(Group(*lines), title=title, title_align="left", border_style="dim")
