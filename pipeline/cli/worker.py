"""`tocsin worker`: one worker of the pipeline, in the foreground."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from pipeline.adapters.clock import monotonic_ms
from pipeline.adapters.logs import configure_logs
from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.errors import UsageError


class Role(StrEnum):
    """Which part of the pipeline a worker runs."""

    INGEST = "ingest"
    ANALYSE = "analyse"
    ACT = "act"
    ALL = "all"


def worker(
    *,
    role: Annotated[Role, typer.Option("--role", help="Which part of the pipeline it runs.")] = Role.ALL,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SETTING.KEY=VALUE", help="Over all else, such as windows.delay_ms=5000. Repeatable."),
    ] = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,  # noqa: ARG001 - its logs are JSON lines already; everything takes --json
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; its logs are JSON lines on stderr. Topics must exist."""
    settings = settings_of(config, broker, _overrides(set_ or []))
    configure_logs(clock_ms=monotonic_ms)
    from pipeline.app import run_worker  # noqa: PLC0415 - Faust takes a second, which --help need not wait for

    asyncio.run(run_worker(settings, role.value))


def _overrides(texts: list[str]) -> dict[str, str]:
    """Return what ``--set`` says.

    Raises
    ------
    UsageError
        If it is not of the form SETTING.KEY=VALUE.

    """
    overrides: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or "." not in key:
            raise UsageError(f"--set is SETTING.KEY=VALUE, such as windows.delay_ms=5000, got {text!r}")
        overrides[key] = value
    return overrides
