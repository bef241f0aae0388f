"""One run of `up`: connects broker, worker, simulated shop, demonstration and view, and ends them in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.live import Live

from pipeline.adapters import topics
from pipeline.adapters.clock import monotonic_ms, now_ms
from pipeline.adapters.kafka import producer, speaking_to
from pipeline.cli.board import SIGNALS, WATCHED, Board
from pipeline.cli.demo import Demo, DemoParams, Outcome, Seen
from pipeline.cli.lines import request_line
from pipeline.cli.live_view import Status, event_plain, plain_progress, plain_service, render
from pipeline.cli.output import say, say_json
from pipeline.cli.reading import read
from pipeline.cli.worker_process import WorkerProcess
from pipeline.settings import Settings
from pipeline.simulation.feed import Pace, Progress, send_all
from pipeline.simulation.live import LiveShop
from pipeline.simulation.shop import WINDOW_MS, Shop

VIEW_EVERY_S = 0.25
PLAIN_EVERY_MS = 5_000
SERVICES_EVERY_MS = 30_000
SAMPLE_EVERY_S, SAMPLE = 1.0, 200
"""How often the newest windows are looked at while the history is learned, and how many of each partition."""
ROLES = ("ingest", "analyse", "analyse", "act")
"""A worker each: a process runs on one core, and the history is to be learned soon; learning takes the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to do.

    ``for_s``: seconds after set-up at which it ends (``None``: when asked to). ``history_ms``: simulated time before
    the live shop. ``speed``: of the history, a multiple of real time (``None``: as fast as it goes).
    """

    for_s: float | None
    seed: int
    history_ms: int
    speed: float | None
    view: Literal["live", "plain", "json"]


class Run:
    """One run; :meth:`until_done` does all of it, :meth:`interrupt` ends it early."""

    def __init__(
        self,
        *,
        plan: Plan,
        settings: Settings,
        announcement: str,
        config: Path | None,
        overrides: Mapping[str, str],
        logs: Path,
    ) -> None:
        self.was_interrupted = False
        self._plan = plan
        self._settings = settings
        self._announcement = announcement
        self._config = config
        self._overrides = overrides
        self._logs = logs
        self._stop = asyncio.Event()
        self._demo = Demo(params=DemoParams())
        self._shop = LiveShop(Shop(seed=plan.seed))
        self._progress = Progress()
        self._live_from_ms = now_ms() // WINDOW_MS * WINDOW_MS
        self._board = Board(live_from_ms=self._live_from_ms)
        self._plain = _PlainView(as_json=plan.view == "json")

    def interrupt(self) -> None:
        """Ask the run to end now."""
        self.was_interrupted = True
        self._stop.set()

    async def until_done(self) -> Outcome:
        """Set up, run, and stop feed, readers and workers in this order; return what was seen.

        Raises
        ------
        BrokerError
            If the broker cannot be used, or a worker ends by itself.

        """
        await topics.create(self._settings.connection, self._settings.topics)
        async with self._workers() as workers:
            set_up_ms = now_ms()
            status = Status(
                broker=self._announcement, set_up_at_ms=set_up_ms, history_start_ms=self._live_from_ms - self._plan.history_ms
            )
            tasks = [
                asyncio.create_task(self._feed(status), name="feed"),
                asyncio.create_task(self._watch(), name="watch"),
                asyncio.create_task(self._watch_signals(), name="watch signals"),
                asyncio.create_task(self._view(status), name="view"),
                *(asyncio.create_task(worker.ended(), name="worker") for worker in workers),
                asyncio.create_task(self._wait(), name="stop"),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:  # the feed first
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([task])
        first_ms = self._board.first_live_at_ms
        return Outcome(
            first_signal_s=None if first_ms is None else round((first_ms - set_up_ms) / 1000, 1),
            first_alert_windows=self._demo.first_alert_windows,
            alerts=self._board.n_fired,
            remediations=self._board.n_requests,
            resolved=self._board.n_resolved,
            is_resolved=self._demo.is_resolved,
        )

    @contextlib.asynccontextmanager
    async def _workers(self) -> AsyncIterator[list[WorkerProcess]]:
        """Start a worker for each role with our own settings, and stop them, the first of the pipeline first."""
        arguments = ["--broker", self._settings.connection.bootstrap]
        for key, value in self._overrides.items():
            arguments += ["--set", f"{key}={value}"]
        if self._config is not None:
            arguments += ["--config", str(self._config)]
        workers: list[WorkerProcess] = []
        try:
            for i, role in enumerate(ROLES):
                log_file = self._logs / f"{role}-{i}.log"
                workers.append(await WorkerProcess.start(["--role", role, *arguments], log_file))
            yield workers
        finally:
            for worker in workers:
                await worker.stop()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._plan.for_s)

    async def _feed(self, status: Status) -> None:
        """Send the history, then go on live."""
        connection, names = self._settings.connection, self._settings.topics.names()
        start_ms = status.history_start_ms
        pace = None if self._plan.speed is None else Pace(origin_ms=start_ms, began_ms=now_ms(), speed=self._plan.speed)
        async with speaking_to(connection), producer(connection) as sender:
            history = self._shop.history(start_ms, self._live_from_ms)
            await send_all(sender, history, names=names, now_ms=now_ms, pace=pace, progress=self._progress)
            live = Pace(origin_ms=self._live_from_ms, began_ms=self._live_from_ms, speed=1.0)
            messages = self._shop.live(self._live_from_ms)
            await send_all(sender, messages, names=names, now_ms=now_ms, pace=live, progress=self._progress)

    async def _watch(self) -> None:
        """Take in what Tocsin says of alerts, requests and dead letters."""
        names = self._settings.topics.names()
        watched = {name: names[name] for name in WATCHED if name != SIGNALS}
        async for record in read(self._settings.connection, watched, follow=True):
            self._board.apply(record.topic, record.value, now_ms())

    async def _watch_signals(self) -> None:
        """Take in the newest windows now and then until they are of the present, from there on all of them.

        Reading each window of the history would be a fifth of all the work, the broker's above all.
        """
        signals = {SIGNALS: self._settings.topics.names()[SIGNALS]}
        while not self._is_current():
            await asyncio.sleep(SAMPLE_EVERY_S)
            async for record in read(self._settings.connection, signals, last=SAMPLE):
                self._board.apply(record.topic, record.value, now_ms())
        async for record in read(self._settings.connection, signals, last=SAMPLE, follow=True):
            self._board.apply(record.topic, record.value, now_ms())

    async def _view(self, status: Status) -> None:
        """Show it, and let the demonstration go on."""
        if self._plan.view != "live":
            self._plain.began(status)
            while True:
                self._step(status)
                self._plain.show(self._board, status)
                await asyncio.sleep(VIEW_EVERY_S)
        console = Console(highlight=False)
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while True:
                self._step(status)
                live.update(render(self._board, status, now_ms(), console.size), refresh=True)
                await asyncio.sleep(VIEW_EVERY_S)

    def _step(self, status: Status) -> None:
        span_ms = self._live_from_ms - status.history_start_ms
        if self._progress.time_ms is not None:
            status.history_share = min(1.0, (self._progress.time_ms - status.history_start_ms) / max(1, span_ms))
        status.records = self._progress.records
        seen = Seen(
            events=list(self._board.events),
            requests=list(self._board.requests),
            live_since_ms=self._board.first_live_at_ms if self._is_current() else None,
        )
        for announcement in self._demo.step(seen, now_ms()):
            status.announcements.append(announcement)
        self._shop.suffer(self._demo.faults)

    def _is_current(self) -> bool:
        """Whether the signals have caught up with the present."""
        newest_ms = self._board.seen_through_ms
        return newest_ms is not None and now_ms() - newest_ms < 2 * WINDOW_MS


class _PlainView:
    """Lines instead of a table that stays: progress of the history, then services now and then, and every event."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._shown: set[str] = set()
        self._n_announced = 0
        self._next_ms = 0

    def began(self, status: Status) -> None:
        """Say what was started."""
        self._say({"broker": status.broker}, status.broker)

    def show(self, board: Board, status: Status) -> None:
        """Say what is new."""
        for line in status.announcements[self._n_announced :]:
            self._say({"demonstration": line}, line)
        self._n_announced = len(status.announcements)
        for event in list(board.events):
            if event.id not in self._shown:
                self._shown.add(event.id)
                told = event_plain(event)
                if told is not None:
                    self._say({"alert_event": event}, told)
        for request in list(board.requests):
            if request.idempotency_key not in self._shown:
                self._shown.add(request.idempotency_key)
                self._say({"remediation": request}, f"remediation request: {request_line(request)}")
        if monotonic_ms() >= self._next_ms:
            self._now_and_then(board, status)

    def _now_and_then(self, board: Board, status: Status) -> None:
        if board.first_live_at_ms is None:
            self._next_ms = monotonic_ms() + PLAIN_EVERY_MS
            data: dict[str, object] = {
                "history_sent": round(status.history_share, 3),
                "learned": round(status.learned_share(board), 3),
            }
            self._say(data, plain_progress(board, status))
            return
        self._next_ms = monotonic_ms() + SERVICES_EVERY_MS
        for key in sorted(board.windows):
            newest = board.windows[key][-1]
            firing = [event for event in board.firing.values() if f"{event.environment}/{event.service}" == key]
            self._say({"signals": msgspec.structs.replace(newest, histogram=None, operations={})}, plain_service(newest, firing))

    def _say(self, data: dict[str, object], line: str) -> None:
        if self._as_json:
            say_json(data)
        else:
            say(line)
