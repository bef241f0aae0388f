"""The worker's HTTP answers, asked over a real socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientConnectorError, ClientSession

from pipeline.adapters.health import Health
from pipeline.adapters.metrics import prometheus_telemetry
from pipeline.adapters.web import WebServer, start_web
from pipeline.errors import UsageError

WELL = Health(is_live=True, is_ready=True)
STUCK = Health(is_live=False, is_ready=False, reasons=("ingest telemetry.metrics/3 has not advanced for 41 s",))
STARTING = Health(is_live=True, is_ready=False, reasons=("ingest has been starting for 4 s",))


@dataclass
class Worker:
    """A worker whose health the test sets."""

    server: WebServer
    health: Health = WELL


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    telemetry, registry = prometheus_telemetry()
    telemetry.records_in("telemetry.metrics", 5)
    states: list[Worker] = []
    server = await start_web(
        port=0, registry=registry, health=lambda: states[0].health, version={"version": "0.1.0", "role": "ingest"}
    )
    states.append(Worker(server))
    yield states[0]
    await server.stop()


async def ask(worker: Worker, path: str) -> tuple[int, object]:
    async with ClientSession() as session, session.get(worker.server.url + path) as response:
        return response.status, await response.json()


async def test_metrics_are_prometheus_text(worker: Worker) -> None:
    async with ClientSession() as session, session.get(worker.server.url + "/metrics") as response:
        text = await response.text()

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'tocsin_records_total{topic="telemetry.metrics"} 5.0' in text.splitlines()
    assert "_created" not in text


async def test_a_well_worker_is_live_and_ready(worker: Worker) -> None:
    assert await ask(worker, "/live") == (200, {"live": True, "reasons": []})
    assert await ask(worker, "/ready") == (200, {"ready": True, "reasons": []})


async def test_a_stuck_worker_is_neither_and_says_why(worker: Worker) -> None:
    worker.health = STUCK

    assert await ask(worker, "/live") == (503, {"live": False, "reasons": [*STUCK.reasons]})
    assert await ask(worker, "/ready") == (503, {"ready": False, "reasons": [*STUCK.reasons]})


async def test_a_starting_worker_is_live_but_not_ready(worker: Worker) -> None:
    worker.health = STARTING

    assert (await ask(worker, "/live"))[0] == 200
    assert await ask(worker, "/ready") == (503, {"ready": False, "reasons": [*STARTING.reasons]})


async def test_the_version_is_told(worker: Worker) -> None:
    assert await ask(worker, "/version") == (200, {"version": "0.1.0", "role": "ingest"})


async def test_only_this_machine_reaches_it_by_default(worker: Worker) -> None:
    assert worker.server.bind == "127.0.0.1"
    assert worker.server.port > 0


async def test_a_port_in_use_is_a_clear_error(worker: Worker) -> None:
    _, registry = prometheus_telemetry()

    with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{worker.server.port}: the port is in use; set TOCSIN_WEB_PORT"):
        await start_web(port=worker.server.port, registry=registry, health=lambda: WELL, version={})


@pytest.mark.parametrize(("bind", "port"), [("203.0.113.7", 0), ("127.0.0.1", 70_000), ("no such host", 0)])
async def test_an_address_that_cannot_be_bound_is_a_clear_error(bind: str, port: int) -> None:
    _, registry = prometheus_telemetry()

    with pytest.raises(UsageError, match="set TOCSIN_WEB_BIND and TOCSIN_WEB_PORT"):
        await start_web(bind=bind, port=port, registry=registry, health=lambda: WELL, version={})


async def test_a_stopped_server_listens_no_more(worker: Worker) -> None:
    await worker.server.stop()
    await worker.server.stop()

    with pytest.raises(ClientConnectorError):
        await ask(worker, "/live")
