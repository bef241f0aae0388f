"""What a worker answers over HTTP: /metrics, /live, /ready and /version."""

import errno
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Literal

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from pipeline.adapters.health import Health
from pipeline.errors import UsageError

Handler = Callable[[web.Request], Awaitable[web.Response]]
LOCAL = "127.0.0.1"
_SHUTDOWN_S = 1.0
"""How long open connections are waited for when it stops."""


class WebServer:
    """A server that runs; ``port`` is the one really bound."""

    def __init__(self, runner: web.AppRunner, bind: str, port: int) -> None:
        self._runner = runner
        self.bind = bind
        self.port = port

    @property
    def url(self) -> str:
        """Address without a path."""
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        return f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Stop listening and close what is open; may be called twice."""
        await self._runner.cleanup()


async def start_web(
    *,
    bind: str = LOCAL,
    port: int,
    registry: CollectorRegistry,
    health: Callable[[], Health],
    version: Mapping[str, str],
) -> WebServer:
    """Serve a worker's metrics and health until :meth:`WebServer.stop`.

    Parameters
    ----------
    bind
        Address to listen on; by default only this machine reaches it.
    port
        In ``[0, 65535]``; 0 takes a free one.
    registry
        What /metrics shows.
    health
        Asked at each /live and /ready: 200 if well, else 503; the body tells the reasons.
    version
        What /version shows.

    Raises
    ------
    UsageError
        If the address cannot be bound; the message says what would do.

    """
    app = web.Application()
    app.router.add_get("/metrics", _metrics(registry))
    app.router.add_get("/live", _asked(lambda: _answer(health(), "is_live")))
    app.router.add_get("/ready", _asked(lambda: _answer(health(), "is_ready")))
    app.router.add_get("/version", _asked(lambda: _json(dict(version))))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, bind, port).start()
    except (OSError, OverflowError) as problem:  # OverflowError: a port beyond 65535
        await runner.cleanup()
        raise UsageError(_why_not(bind, port, problem)) from problem
    return WebServer(runner, bind, int(runner.addresses[0][1]))


def _metrics(registry: CollectorRegistry) -> Handler:
    def show() -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return _asked(show)


def _asked(answer: Callable[[], web.Response]) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        return answer()

    return handle


def _answer(health: Health, question: Literal["is_live", "is_ready"]) -> web.Response:
    is_well = health.is_live if question == "is_live" else health.is_ready
    body = {question.removeprefix("is_"): is_well, "reasons": health.reasons}
    return _json(body, status=HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE)


def _json(body: object, *, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers)


def _why_not(bind: str, port: int, problem: Exception) -> str:
    where = f"{bind}:{port}"
    match getattr(problem, "errno", None):
        case errno.EADDRINUSE:
            return f"cannot serve metrics and health on {where}: the port is in use; set TOCSIN_WEB_PORT (0 takes a free one)"
        case errno.EACCES:
            return f"cannot serve metrics and health on {where}: not permitted; set TOCSIN_WEB_PORT to 1024 or higher"
        case _:
            return f"cannot serve metrics and health on {where}: {problem}; set TOCSIN_WEB_BIND and TOCSIN_WEB_PORT"
