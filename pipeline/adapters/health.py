"""Whether a worker lives and is ready: bad as soon as a partition that has records to read stops advancing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum

from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS

TopicPartition = tuple[str, int]
Milliseconds = Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class HealthParams:
    """When waiting becomes a fault.

    Attributes
    ----------
    stall_ms
        A partition that is behind and does not advance, or of which nothing is heard, for so long is stalled, ms.
        Longer than a rebalance or a checkpoint takes.
    broker_away_ms
        So long a worker without a broker stays live, ms: a restart does not bring the broker back.
    start_ms
        An app that waits for its partitions, or recovers its tables, and has come no further for so long is stuck, ms.
        Longer than a rebalance takes.

    """

    stall_ms: int = 30_000
    broker_away_ms: int = 300_000
    start_ms: int = 120_000


class Phase(StrEnum):
    """How far an app has come."""

    STARTING = "starting"
    RECOVERING = "recovering"
    """It has its partitions, and reads its tables back."""
    RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one partition has been read.

    Attributes
    ----------
    position, end
        Next offset to read, and the log's end; ``None``: nothing was reported yet.
    work
        What the record at hand has made so far, as any number that changes while it goes on.
    moving_ms
        When it last advanced or had nothing to do, injected clock.
    heard_ms
        When it was last reported.

    """

    position: int | None = None
    end: int | None = None
    work: int = 0
    moving_ms: int
    heard_ms: int

    @property
    def n_behind(self) -> int:
        """Records between position and end."""
        return 0 if self.position is None or self.end is None else max(0, self.end - self.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """What is known of one app.

    ``moving_ms``: when it last came further in its phase; ``n_recovered`` rows are how far recovery is.
    ``broker_away_since_ms``: ``None`` while the broker answers.
    """

    phase: Phase = Phase.STARTING
    since_ms: int
    moving_ms: int
    n_recovered: int = 0
    broker_away_since_ms: int | None = None
    partitions: Mapping[TopicPartition, Progress] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The answer to /live and /ready, and a sentence for each thing that is wrong."""

    is_live: bool
    is_ready: bool
    reasons: tuple[str, ...] = ()


def assess(apps: Mapping[str, AppState], now_ms: int, params: HealthParams) -> Health:
    """Return a worker's health.

    Parameters
    ----------
    apps
        State of each app of the worker, by role; a worker without any is not ready.
    now_ms
        The clock that stamped the states, ms.
    params
        When waiting becomes a fault.

    Examples
    --------
    >>> stuck = Progress(position=1200, end=6231, moving_ms=0, heard_ms=41_000)
    >>> app = AppState(phase=Phase.RUNNING, since_ms=0, moving_ms=0, partitions={("telemetry.metrics", 3): stuck})
    >>> assess({"ingest": app}, 41_000, HealthParams()).reasons[0]
    'ingest telemetry.metrics/3 has not advanced for 41 s at offset 1200, 5,031 behind'

    """
    deadly: list[str] = []
    hindering: list[str] = [] if apps else ["no app is started"]
    for name, app in apps.items():
        if app.broker_away_since_ms is not None:
            away_ms = now_ms - app.broker_away_since_ms
            into = deadly if away_ms >= params.broker_away_ms else hindering
            into.append(f"{name} has had no broker for {_seconds(away_ms)}")
        elif app.phase is not Phase.RUNNING:
            into = deadly if now_ms - app.moving_ms >= params.start_ms else hindering
            into.append(f"{name} has been {app.phase} for {_seconds(now_ms - app.since_ms)}")
        else:
            deadly += [
                f"{name} {topic}/{partition} {stall}"
                for (topic, partition), progress in sorted(app.partitions.items())
                if (stall := _stall(progress, now_ms, params.stall_ms))
            ]
    return Health(is_live=not deadly, is_ready=not deadly and not hindering, reasons=(*deadly, *hindering))


def advanced(before: Progress, *, position: int, end: int, work: int, now_ms: int) -> Progress:
    """Return a partition's progress after a report.

    A position that moved in either direction is progress (a seek back re-reads); so is having nothing to read, and work
    on a record that is long (the empty windows of hours come from one).
    """
    is_new = before.position is None or position != before.position or work != before.work
    has_moved = is_new or before.n_behind == 0 or position >= end
    moving_ms = now_ms if has_moved else before.moving_ms
    return Progress(position=position, end=end, work=work, moving_ms=moving_ms, heard_ms=now_ms)


class HealthBoard:
    """Where the apps of one worker report, and /live and /ready ask.

    State: one entry per app and assigned partition.

    Parameters
    ----------
    params
        When waiting becomes a fault.
    clock_ms
        A clock that never goes back (ms), so that a corrected wall clock is no stall.

    """

    def __init__(self, params: HealthParams, clock_ms: Milliseconds) -> None:
        self._params = params
        self._clock_ms = clock_ms
        self._apps: dict[str, AppState] = {}

    def starting(self, app: str) -> None:
        """Note that an app begins to join its group."""
        self._apps[app] = self._fresh()

    def assigned(self, app: str, partitions: Iterable[TopicPartition]) -> None:
        """Note the whole assignment of an app, which may be empty; it recovers until :meth:`recovered`."""
        now = self._clock_ms()
        fresh = {at: Progress(moving_ms=now, heard_ms=now) for at in partitions}
        self._apps[app] = replace(
            self._app(app), phase=Phase.RECOVERING, since_ms=now, moving_ms=now, n_recovered=0, partitions=fresh
        )

    def recovering(self, app: str, *, n_recovered: int) -> None:
        """Note how many rows of its tables an app has read back."""
        state = self._app(app)
        if state.phase is Phase.RECOVERING and n_recovered != state.n_recovered:
            self._apps[app] = replace(state, n_recovered=n_recovered, moving_ms=self._clock_ms())

    def revoked(self, app: str) -> None:
        """Note that an app has no partitions until it is assigned some."""
        self._apps[app] = replace(self._fresh(), broker_away_since_ms=self._app(app).broker_away_since_ms)

    def recovered(self, app: str) -> None:
        """Note that an app processes; what it waited for until now is no stall."""
        self._apps[app] = replace(self._restarted(app), phase=Phase.RUNNING, since_ms=self._clock_ms())

    def progress(self, app: str, topic: str, partition: int, *, position: int, end: int, work: int = 0) -> None:
        """Note the next offset that will be processed and the log's end; of an assigned partition, others are ignored.

        ``work`` is any number that changes while the record at ``position`` is being worked on.
        """
        state, now = self._app(app), self._clock_ms()
        before = state.partitions.get((topic, partition))
        if before is not None:
            after = advanced(before, position=position, end=end, work=work, now_ms=now)
            self._apps[app] = replace(state, partitions={**state.partitions, (topic, partition): after})

    def broker_away(self, app: str) -> None:
        """Note that the broker does not answer; the first such note counts."""
        state = self._app(app)
        if state.broker_away_since_ms is None:
            self._apps[app] = replace(state, broker_away_since_ms=self._clock_ms())

    def broker_back(self, app: str) -> None:
        """Note that the broker answers; time without it is no stall."""
        if self._app(app).broker_away_since_ms is not None:
            self._apps[app] = replace(self._restarted(app), broker_away_since_ms=None)

    def health(self) -> Health:
        """Return the worker's health now."""
        return assess(self._apps, self._clock_ms(), self._params)

    def _app(self, app: str) -> AppState:
        return self._apps.get(app) or self._fresh()

    def _fresh(self) -> AppState:
        now = self._clock_ms()
        return AppState(since_ms=now, moving_ms=now)

    def _restarted(self, app: str) -> AppState:
        """Return an app's state with its clocks set to now."""
        state, now = self._app(app), self._clock_ms()
        return replace(
            state, moving_ms=now, partitions={at: replace(p, moving_ms=now, heard_ms=now) for at, p in state.partitions.items()}
        )


def _stall(progress: Progress, now_ms: int, stall_ms: int) -> str:
    """Return what is wrong with a partition; empty: nothing."""
    if progress.n_behind and now_ms - progress.moving_ms >= stall_ms:
        since = _seconds(now_ms - progress.moving_ms)
        return f"has not advanced for {since} at offset {progress.position}, {progress.n_behind:,} behind"
    if now_ms - progress.heard_ms >= stall_ms:
        return f"has not been reported for {_seconds(now_ms - progress.heard_ms)}"
    return ""


def _seconds(duration_ms: int) -> str:
    return f"{duration_ms // 1000} s"
