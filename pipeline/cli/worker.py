"""`tocsin worker`: one worker of the pipeline, in the foreground."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of


class Role(StrEnum):
    """Which part of the pipeline a worker runs."""

    INGEST = "ingest"
    ANALYSE = "analyse"
    ACT = "act"
    ALL = "all"


def worker(
    *,
    role: Annotated[Role, typer.Option("--role", help="Which part of the pipeline it runs.")] = Role.ALL,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,  # noqa: ARG001 - its logs are JSON lines already; everything takes --json
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; its logs are JSON lines on stderr. Topics must exist."""
    settings = settings_of(config, broker)
    from pipeline.app import run_worker  # noqa: PLC0415 - Faust takes a second, which --help need not wait for

    asyncio.run(run_worker(settings, role.value))
