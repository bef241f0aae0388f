"""`tocsin simulate`: a small seeded shop that reports its telemetry, live or as fast as it goes, to Kafka or a file."""

import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from pipeline.adapters.clock import now_ms
from pipeline.cli.options import AsJson, Broker, ConfigDir, settings_of
from pipeline.cli.output import say, say_json, tell
from pipeline.cli.running import run
from pipeline.cli.sending import send
from pipeline.errors import UsageError
from pipeline.simulation.times import to_ms

if TYPE_CHECKING:
    from pipeline.simulation.records import Detail, Record
    from pipeline.simulation.shop import Shop

FOREVER_MS = 10 * 365 * 86_400_000
HISTORY_SPAN_MS = 10_000


def simulate(
    *,
    seed: Annotated[int, typer.Option(help="Of all chance: the same seed and time give the same records.")] = 7,
    environment: Annotated[str, typer.Option(help="Of every record.")] = "demo",
    visits: Annotated[float, typer.Option(min=0.1, help="Visits a second, mean of a day.")] = 24.0,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Of simulated time, in steps of 10; default: without end.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Simulated time to begin at, RFC 3339 or epoch; default: so that it ends now."),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="Summaries at full speed (needs --duration) instead of live requests.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:SERVICE:START:DURATION[:SIZE]",
            help="Break a service, seconds from the start: latency, errors, traffic_drop, silence, saturation. Repeatable.",
        ),
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE|-", help="Write NDJSON there instead of sending it to Kafka.")] = None,
    config: ConfigDir = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Run a small shop: six services that call one another, with day rhythm, noise, deploys and faults on request."""
    if fast and duration is None:
        raise UsageError("--as-fast-as-possible needs --duration SECONDS, or it would never end")
    if duration is not None and duration <= 0:
        raise UsageError(f"--duration must be above 0 seconds, got {duration:g}")
    from pipeline.simulation.records import Detail  # noqa: PLC0415 - numpy, which --help need not wait for

    span_ms = FOREVER_MS if duration is None else math.ceil(duration * 1000 / HISTORY_SPAN_MS) * HISTORY_SPAN_MS
    start_ms = _start(start, span_ms if fast else 0)
    shop = _shop(seed, environment, visits, fault or [], start_ms)
    detail = Detail.SUMMARIES if fast else Detail.REQUESTS
    if out is not None:
        n = _write(out, _until_now(shop, start_ms, start_ms + span_ms, detail, is_live=not fast))
        if out != "-":
            _report({"records": n, "out": out}, f"{n:,} records in {out}", as_json=as_json)
        return
    settings = settings_of(config, broker)
    from pipeline.simulation.messages import arrays, one_each  # noqa: PLC0415
    from pipeline.simulation.records import records  # noqa: PLC0415

    made = records(shop, start_ms, start_ms + span_ms, detail)
    messages = arrays(made, HISTORY_SPAN_MS) if fast else one_each(made)
    tell(f"the shop reports to {settings.connection.bootstrap}; Ctrl-C ends it")
    done = run(
        send(settings, messages, speed=None if fast else 1.0, origin_ms=start_ms, span_ms=None if duration is None else span_ms)
    )
    _report({"messages": done.messages, "records": done.records}, f"{done.records:,} records sent", as_json=as_json)


def _start(text: str | None, back_ms: int) -> int:
    """Return the simulated time at which to begin, on a whole window."""
    window_ms = 10_000
    if text is None:
        return (now_ms() - back_ms) // window_ms * window_ms
    start_ms = to_ms(float(text) if text.replace(".", "", 1).isdigit() else text)
    if start_ms is None:
        raise UsageError(f"--start is RFC 3339 or epoch seconds or milliseconds, got {text!r}")
    return start_ms // window_ms * window_ms


def _shop(seed: int, environment: str, visits: float, faults: list[str], start_ms: int) -> "Shop":
    from pipeline.simulation.faults import parse_fault  # noqa: PLC0415
    from pipeline.simulation.shop import Shop  # noqa: PLC0415

    try:
        return Shop(
            environment=environment,
            seed=seed,
            visits_per_second=visits,
            faults=tuple(parse_fault(text, start_ms) for text in faults),
        )
    except ValueError as problem:
        raise UsageError(f"--fault: {problem}") from problem


def _until_now(shop: "Shop", start_ms: int, end_ms: int, detail: "Detail", *, is_live: bool) -> "Iterator[Record]":
    """Yield the records; live ones when they are due."""
    from pipeline.simulation.records import records, time_of  # noqa: PLC0415

    if not is_live:
        yield from records(shop, start_ms, end_ms, detail)
        return
    import time  # noqa: PLC0415 - to sleep, not to ask the time

    for record in records(shop, start_ms, end_ms, detail):
        left_ms = time_of(record) - now_ms()
        if left_ms > 0:
            sys.stdout.flush()
            time.sleep(left_ms / 1000)
        yield record


def _write(out: str, records: "Iterable[Record]") -> int:
    n = 0
    if out == "-":
        for record in records:
            sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            n += 1
        sys.stdout.buffer.flush()
        return n
    try:
        with Path(out).open("wb") as file:
            for record in records:
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
                n += 1
    except OSError as problem:
        raise UsageError(f"--out {out}: {problem.strerror}") from problem
    return n


def _report(data: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        say_json(data)
    else:
        say(text)
