"""A worker as its operator sees it over HTTP: /live, /ready and /metrics, by value."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.clock import now_ms
from pipeline.adapters.health import Health, HealthBoard
from pipeline.adapters.watch import WorkerStuck
from pipeline.app import run_worker
from tests.scenarios.running import PARTITIONS, Sent, Tocsin, running

LIMIT_S = 60.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Asking:
    """What a worker answers over HTTP."""

    def __init__(self, tocsin: Tocsin, session: aiohttp.ClientSession) -> None:
        self._log_file = tocsin.folder / "all.log"
        self._session = session

    async def url(self) -> str:
        said = ""
        try:
            async with asyncio.timeout(LIMIT_S):
                while (found := re.search(r'"web":\s*"(http://[^"]+)"', said)) is None:
                    await asyncio.sleep(0.1)
                    said = self._log_file.read_text()
        except TimeoutError:
            raise AssertionError(f"it does not say where it listens:\n{said[-2000:]}") from None
        return found[1]

    async def until_ready(self) -> None:
        url, answer = await self.url(), ""
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    async with self._session.get(f"{url}/ready") as response:
                        answer = await response.text()
                        if response.status == 200:
                            return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not ready after {LIMIT_S:.0f} s: {answer}\n{self._log_file.read_text()[-2000:]}") from None

    async def is_live(self) -> bool:
        async with self._session.get(f"{await self.url()}/live") as response:
            return response.status == 200

    async def metrics(self) -> Samples:
        async with self._session.get(f"{await self.url()}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
            return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    async def families(self) -> set[str]:
        async with self._session.get(f"{await self.url()}/metrics") as response:
            return set(re.findall(r"^# TYPE (\w+)", await response.text(), re.MULTILINE))

    async def until(self, condition: Callable[[Samples], bool], what: str) -> Samples:
        samples: Samples = {}
        try:
            async with asyncio.timeout(LIMIT_S):
                while not condition(samples := await self.metrics()):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.2)
        except TimeoutError:
            shown = "\n".join(f"{name}{dict(labels)} {value}" for (name, labels), value in samples.items() if value)
            raise AssertionError(f"within {LIMIT_S:.0f} s it did not happen that {what}\n{shown}") from None
        return samples


def of(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    return sum(value for (each, theirs), value in samples.items() if each == name and labels.items() <= dict(theirs).items())


def request(time_ms: int, at_ms: int, **fields: object) -> Sent:
    record = {"kind": "request", "service": "cart", "time": time_ms, "duration_ms": 5, "status": 200, **fields}
    return "telemetry.metrics", None, json.dumps(record).encode(), at_ms, ()


async def test_a_worker_becomes_ready_and_its_metrics_tell_what_it_was_sent(broker: LocalBroker, tmp_path: Path) -> None:
    async with running(broker, tmp_path, worker={"stall_ms": 3000}) as tocsin, aiohttp.ClientSession() as session:
        worker, topic = Asking(tocsin, session), tocsin.names["telemetry.metrics"]
        await worker.until_ready()
        begin_ms = now_ms() - 30_000
        await tocsin.send([request(begin_ms + i, begin_ms + i) for i in range(30)])
        await tocsin.send([request(begin_ms, now_ms(), duration_ms="slow")])
        await worker.until(lambda seen: of(seen, "tocsin_window_close_delay_seconds_count") >= 1, "a window closed")
        await tocsin.send([request(begin_ms - 600_000, now_ms())])

        seen = await worker.until(
            lambda seen: (
                of(seen, "tocsin_late_readings_total") == 1
                and of(seen, "tocsin_records_total", topic=topic) == 32
                and of(seen, "tocsin_consumer_lag") == 0
                and of(seen, "tocsin_state_rows", table="windows") > 0
            ),
            "all was read and what came late was told",
        )
        families = await worker.families()
        await asyncio.sleep(4)  # longer than stall_ms: what has nothing to read is not stalled
        await worker.until_ready()
        is_live = await worker.is_live()

    assert of(seen, "tocsin_readings_total", topic=topic) == 31
    assert of(seen, "tocsin_rejected_total", topic=topic, reason="wrong_type") == 1
    assert of(seen, "tocsin_rejected_total") == 1
    assert of(seen, "tocsin_dead_letters_total", topic=topic) == 1
    lags = {dict(labels)["app"] for (name, labels) in seen if name == "tocsin_consumer_lag"}
    assert lags == {"ingest", "analyse", "act"}
    lagging = [labels for (name, labels) in seen if name == "tocsin_consumer_lag" and ("topic", topic) in labels]
    assert len(lagging) == PARTITIONS
    assert {"tocsin_alert_events_total", "tocsin_remediation_requests_total", "tocsin_watermark_age_seconds"} <= families
    assert is_live


@pytest.mark.embedded
async def test_a_worker_that_takes_partitions_over_in_a_rebalance_is_ready_again(
    embedded_broker: LocalBroker, tmp_path: Path
) -> None:
    async with running(embedded_broker, tmp_path) as tocsin, aiohttp.ClientSession() as session:
        worker = Asking(tocsin, session)
        await worker.until_ready()
        n_all = 4 * PARTITIONS  # of four telemetry topics
        await worker.until(lambda seen: n_assigned(seen, "ingest") == n_all, "all partitions are its own")
        await tocsin.start("ingest")
        await worker.until(lambda seen: 0 < n_assigned(seen, "ingest") < n_all, "the second worker took some")
        await worker.until_ready()
        await tocsin.stop("ingest")
        await worker.until(lambda seen: n_assigned(seen, "ingest") == n_all, "all came back")
        await worker.until_ready()


@pytest.mark.embedded
async def test_a_worker_that_stays_stuck_ends(
    embedded_broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(embedded_broker, tmp_path, worker={"end_stuck_ms": 2000, "web_port": 0}) as tocsin:
        monkeypatch.setattr(HealthBoard, "health", lambda _: Health(is_live=False, is_ready=False, reasons=("stuck on purpose",)))

        with pytest.raises(WorkerStuck, match="stuck on purpose"):
            await asyncio.wait_for(run_worker(tocsin.settings, "ingest"), LIMIT_S)


def n_assigned(samples: Samples, app: str) -> int:
    return sum(name == "tocsin_consumer_lag" and ("app", app) in labels for name, labels in samples)
