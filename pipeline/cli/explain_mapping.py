"""`tocsin explain-mapping`: what a sample of telemetry would become, and why; nothing is sent, no broker is asked."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, ConfigDir, settings_of
from pipeline.cli.output import say, say_json
from pipeline.errors import UsageError


def explain_mapping(
    file: Annotated[Path, typer.Argument(help="A message as it is on Kafka: OTLP in protobuf or JSON, a sample, lines of a log.")],
    *,
    topic: Annotated[
        str, typer.Option(help="As if it came from this topic: its entry in ingest.origins applies.")
    ] = "telemetry.metrics",
    decoder: Annotated[str, typer.Option(help="A decoder's name; auto finds it out from the bytes.")] = "auto",
    config: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what a sample becomes: who reads it, whose signals its readings are, what is refused or ignored, and why.

    Times are not judged: a sample may be old.
    """
    from pipeline.adapters import clock  # noqa: PLC0415 - as settings: --help need not wait for it
    from pipeline.cli.mapping import explanation, lines_of  # noqa: PLC0415

    settings = settings_of(config, None)
    try:
        value = file.read_bytes()
    except OSError as problem:
        raise UsageError(f"{file}: {problem.strerror}") from problem
    found = explanation(settings.ingest, topic, decoder, value, now_ms=clock.now_ms())
    if as_json:
        say_json(found)
        return
    for line in lines_of(found):
        say(line)
