"""`tocsin up`: broker, topics, workers, a simulated shop and a live view in one, with a fault to see it work."""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say_json, tell

if TYPE_CHECKING:
    from pipeline.cli.demo import Outcome
    from pipeline.cli.run import Run

INTERRUPTED = 130
OWN = {"worker.web_port": "0"}
"""Settings of a worker that `up` starts: a port that is free."""
EMBEDDED = {
    "worker.profile": "embedded",
    "topics.service_partitions": "2",
    "topics.telemetry_partitions": "2",
    "ingest.chunk_ms": "600000",
    "source.idle_ms": "1000",
}
"""With a broker of our own, which forgets. A few small workers have no use for more partitions; each chunk that ends costs
a round trip, of which a day would be full (2,880 chunks a partition at 30 s); and as long as quiet topics hold the
watermark, no window of the history is published while it piles up."""


def up(
    *,
    for_: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=1, help="End by itself; exit code 0 only if the demonstration succeeded."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated shop.")] = 7,
    history: Annotated[
        float, typer.Option(metavar="HOURS", min=0, max=24 * 14, help="Simulated history to learn from first.")
    ] = 24.0,
    speed: Annotated[str, typer.Option(metavar="N|max", help="Of the history: a multiple of real time, or max.")] = "max",
    live_view: Annotated[bool, typer.Option("--live-view/--no-live-view", help="A table that stays, or plain lines.")] = True,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """See it work: an embedded broker (or --broker), workers, a day of history, then a live shop that breaks and mends."""
    from pipeline.cli.replay import parse_speed  # noqa: PLC0415 - what --help need not wait for
    from pipeline.cli.run import Plan, Run  # noqa: PLC0415

    plan = Plan(
        for_s=for_,
        seed=seed,
        history_ms=int(history * 3_600_000),
        speed=parse_speed(speed),
        view="json" if as_json else "live" if live_view and sys.stdout.isatty() else "plain",
    )
    with _broker(broker) as (address, announcement, overrides), _log_folder() as logs:
        settings = settings_of(config, address, overrides)
        run = Run(plan=plan, settings=settings, announcement=announcement, config=config, overrides=overrides, logs=logs)
        outcome, was_interrupted = asyncio.run(_interruptible(run))
    failures = outcome.failures()
    if for_ is not None and not was_interrupted:
        for failure in failures:
            tell(f"tocsin: {failure}")
    if for_ is not None or as_json:
        say_json(outcome.as_json())
    if for_ is not None and (failures or was_interrupted):
        raise typer.Exit(INTERRUPTED if was_interrupted else 1)


async def _interruptible(run: "Run") -> tuple["Outcome", bool]:
    """Run until it ends, or Ctrl-C or SIGTERM asks it to."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.interrupt)
    return await run.until_done(), run.was_interrupted


@contextlib.contextmanager
def _broker(address: str | None) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give the address of the broker, a sentence about it, and the settings that go with it."""
    if address is not None:
        yield address, f"Kafka at {address}", OWN
        return
    from pipeline.adapters.brokers import EmbeddedBroker  # noqa: PLC0415 - what --help need not wait for

    with EmbeddedBroker() as broker:
        yield broker.bootstrap, broker.announcement, {**OWN, **EMBEDDED}


@contextlib.contextmanager
def _log_folder() -> Iterator[Path]:
    """Give a folder for logs, which stays when something went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-up-"))
    try:
        yield folder
    except BaseException:
        tell(f"logs are kept in {folder}")
        raise
    shutil.rmtree(folder, ignore_errors=True)
