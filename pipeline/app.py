"""The three apps, wired: reads like the picture in docs/architecture.md."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, cast

import structlog

import pipeline.act.agents as act_agents
import pipeline.analyse.agents as analyse_agents
import pipeline.ingest.agents as ingest_agents
from pipeline.adapters import clock, configs, kafka, topics
from pipeline.adapters.changelogs import ensure_changelogs
from pipeline.adapters.codecs import MAX_BATCH_BYTES
from pipeline.adapters.collector import settle_collector
from pipeline.adapters.faust_apps import FETCH_BYTES, FaustAppSettings, TocsinApp, make_app, settings_for
from pipeline.adapters.faust_run import run_apps
from pipeline.adapters.faust_timeouts import Profile
from pipeline.adapters.health import HealthBoard, HealthParams
from pipeline.adapters.ledger import Ledger
from pipeline.adapters.metrics import Telemetry, prometheus_telemetry
from pipeline.adapters.observer import MetricsObserver
from pipeline.adapters.outbox import Outbox
from pipeline.adapters.precedence import EQUAL, Precedence, Turns
from pipeline.adapters.reports import Reporter, probe
from pipeline.adapters.stage_shell import StageShell, run_stage
from pipeline.adapters.tables import RowTable, SnapshottedRows, TableRows, make_snapshot_table, make_table
from pipeline.adapters.transport import BulkProducer, bulk_topic
from pipeline.adapters.transport_view import TransportView
from pipeline.adapters.watch import LivenessWatch
from pipeline.adapters.web import start_web
from pipeline.contracts.config import IngestConfig
from pipeline.gauges import DetectionReport, report_windows, state_gauges
from pipeline.settings import VERSION, Settings

Role = Literal["ingest", "analyse", "act"]
ROLES: tuple[Role, ...] = ("ingest", "analyse", "act")
TICK_S = 0.25
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class House:
    """What the apps of one worker share."""

    settings: Settings
    telemetry: Telemetry
    board: HealthBoard
    partition_counts: dict[str, int]
    configs: Mapping[str, IngestConfig]
    reporters: list[Reporter] = field(default_factory=list)
    tables: list[RowTable] = field(default_factory=list)
    shells: list[StageShell] = field(default_factory=list)

    @property
    def names(self) -> dict[str, str]:
        """Topic name by logical name."""
        return self.settings.topics.names()

    def app(self, role: Role, inputs: list[str]) -> tuple[TocsinApp, Ledger]:
        """Return a role's Faust app that reads ``inputs`` (topic names) in bulk."""
        ledger = Ledger()
        max_batch_bytes = self.settings.ingest.max_batch_bytes
        app = make_app(
            _faust_settings(self.settings, role),
            app_id=f"{self.settings.app_id}-{role}",
            bulk_topics=inputs,
            ledger=ledger,
            on_jump=lambda topic, partition, expected, got: self.telemetry.offset_jump(
                topic, partition, expected=expected, delivered=got
            ),
            max_batch_bytes=max_batch_bytes if role == "ingest" else max(max_batch_bytes, MAX_BATCH_BYTES),
        )
        return app, ledger

    def outbox(self, app: TocsinApp) -> Outbox:
        """Return a new outbox that sends with an app's producer."""
        return Outbox(lambda: cast(BulkProducer, app.producer), self.names)

    def watch(  # noqa: PLR0917 - one call a role
        self,
        app: TocsinApp,
        role: Role,
        ledger: Ledger,
        shells: Sequence[Any],
        gauges: Sequence[Callable[[], None]] = (),
        tables: Sequence[RowTable] = (),
    ) -> None:
        """Let shells forget revoked partitions, tick, and have the app's progress reported."""
        reporter = Reporter(
            app=app,
            role=role,
            shells=shells,
            ledger=ledger,
            gauges=gauges,
            board=self.board,
            telemetry=self.telemetry,
            work=[shell.work for shell in shells if isinstance(shell, StageShell)],
            tables=tables,
            windows_of=self.names["partials"],
        )
        self.reporters.append(reporter)

        async def revoked(*args: Any, **_more: Any) -> None:
            partitions = args[1]
            given_up = {(tp.topic, tp.partition) for tp in partitions}
            for shell in shells:
                shell.revoked(given_up)
            reporter.revoked(given_up)

        async def assigned(*args: Any, **_more: Any) -> None:
            reporter.assigned({(tp.topic, tp.partition) for tp in args[1]})

        app.on_partitions_revoked.connect(revoked, weak=False)
        app.on_partitions_assigned.connect(assigned, weak=False)

        @app.timer(TICK_S, on_leader=False)  # type: ignore[untyped-decorator] # Faust's
        async def tick(_app: Any = None) -> None:
            for shell in shells:
                await shell.tick()
            reporter.report()


def ingest_app(house: House) -> TocsinApp:
    """Telemetry ─▶ decode, validate, reduce a chunk ─▶ partials, dead letters."""
    settings = house.settings
    app, ledger = house.app("ingest", list(settings.ingest.decoders))
    shell = ingest_agents.IngestShell(
        ledger=ledger,
        consumer=TransportView(app),
        outbox=partial(house.outbox, app),
        config=settings.ingest,
        configs=house.configs,
        read_configs=partial(_configs, settings),
        params=settings.source,
        partitions=lambda: {topic: house.partition_counts.get(topic, 0) for topic in settings.ingest.decoders},
        n_targets=settings.topics.service_partitions,
        now_ms=clock.now_ms,
        observer=MetricsObserver(house.telemetry, clock.now_ms),
    )

    @app.agent(bulk_topic(app, *settings.ingest.decoders), name="ingest")
    async def ingest(stream: Any) -> None:
        await ingest_agents.run(stream, shell)

    house.watch(app, "ingest", ledger, [shell])
    return app


def analyse_app(house: House) -> TocsinApp:
    """Partials ─▶ windows ─▶ signals ─▶ verdicts ─▶ anomalies ─▶ life cycle ─▶ alert-events."""
    settings = house.settings
    agents = analyse_agents.agents(
        window_params=settings.windows,
        detection_params=settings.detection,
        around=settings.surroundings,
        alerting=settings.alerting,
        directory=settings.directory,
    )
    app, ledger = house.app("analyse", [house.names[agent.topic] for agent in agents])
    n_tables = len(house.tables)
    first = agents[0]  # closes windows
    closing = Precedence(partial(TransportView(app).is_waiting, house.names[first.topic]), clock.monotonic_ms)
    shells = [
        stage_shell(
            house,
            app,
            ledger,
            agent.topic,
            agent.table,
            agent.restore,
            settings.topics.service_partitions,
            snapshots=agent.snapshots,
            turns=closing.first() if agent is first else closing.others(),
        )
        for agent in agents
    ]
    tables = house.tables[n_tables:]
    gauges: list[Callable[[], None]] = [
        partial(report_windows, house.telemetry, shells[0]),
        DetectionReport(house.telemetry, shells[1]),
        *state_gauges(house.telemetry, tables),
    ]
    house.watch(app, "analyse", ledger, shells, gauges, tables)
    return app


def act_app(house: House) -> TocsinApp:
    """Alert events ─▶ alerts, remediation requests; remediation results ─▶ counted."""
    settings, names = house.settings, house.names
    app, ledger = house.app("act", [names["alert-events"], names["remediation.results"]])
    restore = act_agents.restore(settings.act, settings.remediation)
    shell = stage_shell(house, app, ledger, "alert-events", "act", restore, 1)

    @app.agent(bulk_topic(app, names["remediation.results"]), name="results")
    async def count(stream: Any) -> None:
        await act_agents.count_results(
            stream,
            ledger,
            on_result=house.telemetry.remediation_result,
            on_invalid=lambda problem, offset: log.warning("unreadable remediation result", offset=offset, problem=str(problem)),
        )

    tables = house.tables[-1:]
    house.watch(app, "act", ledger, [shell], state_gauges(house.telemetry, tables), tables)
    return app


def stage_shell(  # noqa: PLR0917 - one line a stage where it is called
    house: House,
    app: TocsinApp,
    ledger: Ledger,
    topic: str,
    table_name: str,
    restore: Callable[..., Any],
    partitions: int,
    *,
    snapshots: str = "",
    turns: Turns = EQUAL,
) -> StageShell:
    """Return the shell of one stage, with its tables and its agent declared; ``turns`` say who goes first."""
    table = make_table(app, table_name, partitions)
    house.tables.append(table)
    checkpoints = TableRows(table)
    if snapshots:
        models = make_snapshot_table(app, snapshots, partitions, topic_name=house.names[snapshots], owner=house.settings.app_id)
        house.tables.append(models)
        checkpoints = SnapshottedRows(table, models)
    shell = StageShell(
        topic=house.names[topic],
        ledger=ledger,
        checkpoints=checkpoints,
        restore=restore,
        outbox=partial(house.outbox, app),
        seek=TransportView(app).seek,
        now_ms=clock.now_ms,
        monotonic_ms=clock.monotonic_ms,
        checkpoint_ms=house.settings.worker.checkpoint_ms,
        observer=MetricsObserver(house.telemetry, clock.now_ms),
        turns=turns,
    )
    house.shells.append(shell)

    @app.agent(bulk_topic(app, house.names[topic]), name=table_name)
    async def agent(stream: Any) -> None:
        await run_stage(stream, shell)

    return shell


BUILDERS: Mapping[Role, Callable[[House], TocsinApp]] = {"ingest": ingest_app, "analyse": analyse_app, "act": act_app}


async def run_worker(settings: Settings, role: Literal["ingest", "analyse", "act", "all"]) -> None:
    """Run one role, or all, until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError
        If the topics on the broker are not as configured.
    BrokerError
        If the broker cannot be reached.
    PipelineError
        If an app crashed: a supervisor should start the worker again.

    """
    wanted: tuple[Role, ...] = ROLES if role == "all" else (role,)
    for problem in await topics.require(settings.connection, settings.topics, tuple(settings.topics.names())):
        log.warning("topic differs from the configuration", problem=problem.sentence)
    telemetry, registry = prometheus_telemetry()
    telemetry.build(version=VERSION, app=settings.app_id, role=role)
    board = HealthBoard(HealthParams(stall_ms=settings.worker.stall_ms), clock.monotonic_ms)
    house = House(
        settings=settings,
        telemetry=telemetry,
        board=board,
        partition_counts=await kafka.partition_counts(settings.connection),
        configs=await _configs(settings) if "ingest" in wanted else {},
    )
    apps = [BUILDERS[each](house) for each in wanted]
    await ensure_changelogs(settings.connection, house.tables, replication_factor=settings.topics.replication_factor)
    for each in wanted:
        board.starting(each)
    server = await start_web(
        bind=settings.worker.web_bind,
        port=settings.worker.web_port,
        registry=registry,
        health=board.health,
        version={"version": VERSION, "role": role, "app_id": settings.app_id},
    )
    settle_collector()
    log.info("worker starts", role=role, version=VERSION, broker=settings.connection.bootstrap, web=server.url)

    async def ready() -> None:
        log.info("worker is ready", role=role)

    stop = asyncio.Event()
    watches = [asyncio.create_task(_watch_broker(house)), asyncio.create_task(_watch_liveness(house))]
    for watch in watches:
        watch.add_done_callback(lambda _watch: stop.set())
    try:
        await run_apps(apps, stop=stop, on_ready=ready, on_stop=partial(_hand_over, house))
        for watch in watches:
            if watch.done():
                watch.result()
    finally:
        for watch in watches:
            watch.cancel()
        await server.stop()
        log.info("worker stopped", role=role)


async def _hand_over(house: House) -> None:
    """Checkpoint everything before the apps stop, models too, so that whoever comes next has nothing to fold in again."""
    for shell in house.shells:
        await shell.hand_over()


async def _configs(settings: Settings) -> dict[str, IngestConfig]:
    return await configs.publish_and_read(
        settings.connection,
        settings.topics.names()["config"],
        settings.ingest,
        environment=settings.environment,
        version=VERSION,
    )


async def _watch_broker(house: House) -> None:
    """Tell the board, and once the log, whether the broker answers, and learn of added partitions."""
    answered = True
    while True:
        await asyncio.sleep(10)
        counts = await probe(house.settings.connection)
        answers = counts is not None
        if answered and not answers:
            log.warning("the broker does not answer", broker=house.settings.connection.bootstrap)
        elif answers and not answered:
            log.warning("the broker answers again", broker=house.settings.connection.bootstrap)
        answered = answers
        for reporter in house.reporters:
            reporter.broker_answers(answers=answers)
        house.partition_counts.update(counts or {})


async def _watch_liveness(house: House) -> None:
    """Log when the worker is not live, and when it is again; end it when it stays stuck."""
    liveness = LivenessWatch(house.settings.worker.end_stuck_ms, clock.monotonic_ms)
    while True:
        await asyncio.sleep(1)
        health = house.board.health()
        if liveness.step(health):
            if health.is_live:
                log.info("worker is live again")
            else:
                log.error("worker is not live", reasons=health.reasons)


def _faust_settings(settings: Settings, role: Role) -> FaustAppSettings:
    worker = settings.worker
    profile: Profile = "local" if worker.profile == "embedded" else worker.profile
    is_embedded = worker.profile == "embedded" or worker.embedded_broker
    return settings_for(
        settings.connection,
        profile=profile,
        instance_id=f"{worker.instance_id}-{role}" if worker.instance_id else None,
        is_embedded=is_embedded,
        replication_factor=max(1, settings.topics.replication_factor),
        fetch_bytes=settings.topics.max_message_bytes if is_embedded else FETCH_BYTES,  # Tansu gives no more than it is asked for
        max_request_bytes=kafka.MAX_REQUEST_BYTES,
    )
