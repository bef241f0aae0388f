"""Options that many commands share, and the settings that they make."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.settings import Settings

ConfigDir = Annotated[
    Path | None,
    typer.Option("--config", metavar="DIR", envvar="TOCSIN_CONFIG", help="Folder with the configuration; default: ./config."),
]
Broker = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="HOST:PORT[,...]",
        help="Kafka to use instead of the configured one (TOCSIN_BROKER); TLS and SASL: TOCSIN_SECURITY_PROTOCOL, "
        "TOCSIN_SASL_*, TOCSIN_CA_FILE, or config/tocsin.yaml.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON on stdout, one object a line.")]


def settings_of(config: Path | None, broker: str | None, overrides: Mapping[str, str] | None = None) -> "Settings":
    """Return the settings of a command: config/, the environment over it, the options and ``overrides`` over both.

    Raises
    ------
    ConfigError
        With every problem found.

    """
    from pipeline.settings import load_settings  # noqa: PLC0415 - takes a second, which --help need not wait for

    return load_settings(config, overrides={**(overrides or {}), **({} if broker is None else {"connection.bootstrap": broker})})


def examples(*lines: str) -> str:
    """Return the epilog of a command's help: its examples, one a line."""
    return "\n".join(["Examples:", *(f"$ {line}" for line in lines)])
