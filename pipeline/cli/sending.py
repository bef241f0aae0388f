"""Sends simulated or recorded telemetry for a command: opens the producer, paces, shows progress."""

import asyncio
import contextlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.adapters.clock import monotonic_ms, now_ms
from pipeline.cli.output import tell
from pipeline.cli.wording import moment

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.simulation.feed import Progress
    from pipeline.simulation.messages import Message

REPORT_EVERY_S = 2.0


async def send(
    settings: "Settings", messages: "Iterable[Message]", *, speed: float | None, origin_ms: int, span_ms: int | None
) -> "Progress":
    """Send messages, and say on stderr every two seconds how far it is.

    Parameters
    ----------
    settings
        Say where, and the topics' names.
    messages
        In order of time.
    speed
        Multiple of real time; ``None``: as fast as the broker takes them.
    origin_ms
        Event time that happens now (or, if it lies ahead, when it comes), UTC epoch ms.
    span_ms
        Event time that they cover in all, for the progress; ``None``: unknown.

    Raises
    ------
    BrokerError
        If the broker cannot be reached or refuses.

    """
    from pipeline.adapters.kafka import producer, speaking_to  # noqa: PLC0415 - what --help need not wait for
    from pipeline.simulation.feed import Pace, Progress, send_all  # noqa: PLC0415

    progress = Progress()
    pace = None if speed is None else Pace(origin_ms=origin_ms, began_ms=now_ms(), speed=speed)
    async with speaking_to(settings.connection), producer(settings.connection) as sender:
        reporter = asyncio.create_task(_report(progress, origin_ms, span_ms))
        try:
            await send_all(sender, messages, names=settings.topics.names(), now_ms=now_ms, pace=pace, progress=progress)
        finally:
            reporter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reporter
    return progress


async def _report(progress: "Progress", origin_ms: int, span_ms: int | None) -> None:
    began_ms = monotonic_ms()
    while True:
        await asyncio.sleep(REPORT_EVERY_S if not sys.stderr.isatty() else REPORT_EVERY_S / 4)
        rate = progress.records * 1000 / max(1, monotonic_ms() - began_ms)
        share = ""
        if span_ms and progress.time_ms is not None:
            share = f"{min(1.0, (progress.time_ms - origin_ms) / span_ms):.0%}, "
        line = f"{share}{progress.records:,} records, {rate:,.0f}/s, now at {moment(progress.time_ms, with_date=True)}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            tell(line)
