"""How Faust apps live together in one event loop: started, watched, stopped in order, and heard when one crashes."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import faust
from aiokafka.errors import KafkaConnectionError, KafkaError

from pipeline.errors import BrokerError, PipelineError

POLL_S = 0.1
"""A crash may be set from the consumer's thread, whose events do not wake ours: so it is looked for."""
STOP_LIMIT_S = 10.0
LAST_WORDS_S = 3.0
"""What is left to do when a worker is told to stop: a broker that is away does not hold it up for longer."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class AppCrashed(PipelineError):
    """An app, or one of its agents, ended with an exception, which is this one's cause."""


async def run_apps(
    apps: Sequence[faust.App],
    *,
    stop: asyncio.Event,
    on_ready: Callable[[], Awaitable[None]] | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run apps until ``stop`` is set, SIGTERM or SIGINT comes, or one of them crashes; then stop all, the last first.

    Parameters
    ----------
    apps
        In the order of the data flow.
    stop
        Set by the caller, or by a signal, to end the run.
    on_ready
        Awaited once all apps have their partitions and have recovered their tables.
    on_stop
        Awaited, for 3 s at most, before the first app is stopped; not after a crash.

    Raises
    ------
    BrokerError
        If the broker cannot be reached at the start, or refuses what a worker needs.
    AppCrashed
        If an app or an agent crashed.

    """
    installed = _stop_on_signals(stop)
    watch = asyncio.ensure_future(_watch(apps, stop))
    try:
        start = asyncio.ensure_future(_start(apps))
        await asyncio.wait({start, watch}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            if on_ready is not None:
                await on_ready()
            await watch
            if on_stop is not None:
                with suppress(TimeoutError, BrokerError):
                    await asyncio.wait_for(on_stop(), LAST_WORDS_S)
        else:
            start.cancel()
            with suppress(asyncio.CancelledError):
                await start
            watch.result()
    finally:
        watch.cancel()
        await _stop(apps)
        for number in installed:
            asyncio.get_running_loop().remove_signal_handler(number)


def crash_of(app: faust.App) -> BaseException | None:
    """Return why an app crashed; ``None`` while it has not."""
    if not app._crashed.is_set():  # noqa: SLF001 - `crashed` raises on mode services that never started
        return None
    return app._crash_reason or AppCrashed(f"{app.conf.id} crashed without a reason")  # noqa: SLF001


async def _start(apps: Sequence[faust.App]) -> None:
    try:
        await asyncio.gather(*(app.start() for app in apps))
    except KafkaConnectionError as problem:
        raise BrokerError(f"no broker at {_addresses(apps)}: {problem}") from problem
    except KafkaError as problem:
        raise BrokerError(f"the broker at {_addresses(apps)} refuses: {problem!r}") from problem


async def _watch(apps: Sequence[faust.App], stop: asyncio.Event) -> None:
    while not stop.is_set():
        for app in apps:
            reason = crash_of(app)
            if isinstance(reason, PipelineError):
                raise reason
            if reason is not None:
                raise AppCrashed(f"{app.conf.id} crashed: {reason!r}") from reason
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), POLL_S)


async def _stop(apps: Sequence[faust.App]) -> None:
    for app in reversed(apps):
        with suppress(TimeoutError):
            await asyncio.wait_for(app.stop(), STOP_LIMIT_S)


def _stop_on_signals(stop: asyncio.Event) -> list[signal.Signals]:
    installed = []
    for number in SIGNALS:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, or not a Unix
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
            installed.append(number)
    return installed


def _addresses(apps: Sequence[faust.App]) -> str:
    urls = apps[0].conf.broker
    return ", ".join(f"{url.host}:{url.port}" for url in urls)
