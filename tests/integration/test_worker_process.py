"""`tocsin worker` as a process: what it refuses, how it ends, and that it says why in one sentence."""

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from benchmarks.own_config import REPOSITORY, write_config
from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.kafka import Connection, partition_counts
from tests.scenarios.running import running

pytestmark = pytest.mark.embedded
LIMIT_S = 60.0


async def tocsin(*arguments: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.cli", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, said.decode()


def last_words(said: str) -> list[str]:
    """Return what was said besides logs."""
    return [line for line in said.splitlines() if line.strip() and not line.startswith("{")]


def config(folder: Path, bootstrap: str, partitions: int = 2, prefix: str = "") -> tuple[str, str]:
    """Write a configuration; return its folder and prefix."""
    prefix = prefix or f"p{uuid4().hex[:8]}-"
    write_config(folder, prefix=prefix, bootstrap=bootstrap, partitions=partitions, changed={"worker": {"embedded_broker": True}})
    return str(folder), prefix


async def test_missing_topics_are_refused_with_what_to_do(embedded_broker: LocalBroker, tmp_path: Path) -> None:
    folder, prefix = config(tmp_path / "config", embedded_broker.bootstrap)

    code, said = await tocsin("worker", "--config", folder)

    assert code == 1
    assert f"{prefix}telemetry.metrics" in said
    assert "tocsin topics create" in said
    assert "Traceback" not in said


async def test_topics_with_another_partition_count_are_refused(embedded_broker: LocalBroker, tmp_path: Path) -> None:
    made, prefix = config(tmp_path / "made", embedded_broker.bootstrap, partitions=2)
    assert (await tocsin("topics", "create", "--config", made))[0] == 0
    folder, _ = config(tmp_path / "config", embedded_broker.bootstrap, partitions=3, prefix=prefix)

    code, said = await tocsin("worker", "--config", folder)

    assert code == 1
    assert f"{prefix}tocsin.partials" in said
    assert "has 2 partitions" in said
    assert "Traceback" not in said


async def test_a_broker_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    folder, _ = config(tmp_path / "config", "127.0.0.1:1")

    code, said = await tocsin("worker", "--config", folder)

    assert code == 1
    assert "127.0.0.1:1" in said
    assert len(last_words(said)) == 1, said


async def test_sigterm_ends_a_worker_in_order_with_exit_code_0(broker: LocalBroker, tmp_path: Path) -> None:
    async with running(broker, tmp_path) as worker:
        await until_ready(worker.folder / "all.log")

        code = await worker.stop()

    assert code == 0
    assert "worker stopped" in (tmp_path / "all.log").read_text()


async def test_a_worker_that_cannot_go_on_ends_with_one_sentence_that_says_why(
    embedded_broker: LocalBroker, tmp_path: Path
) -> None:
    folder, prefix = config(tmp_path / "config", embedded_broker.bootstrap)
    assert (await tocsin("topics", "create", "--config", folder))[0] == 0
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.cli", "worker", "--role", "act", "--config", folder,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        await until_changelog(embedded_broker, f"{prefix}tocsin-act-act-changelog")
        producer = AIOKafkaProducer(bootstrap_servers=embedded_broker.bootstrap)
        await producer.start()
        await producer.send_and_wait(f"{prefix}tocsin-act-act-changelog", b"x", key=b"0|head", partition=0)
        await producer.send_and_wait(f"{prefix}tocsin.alert-events", b"{}", key=b"k", partition=0)
        await producer.stop()
        _, said = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 1
    (sentence,) = last_words(said.decode())
    assert f"the state of {prefix}tocsin.alert-events/0 cannot be read" in sentence


async def until_ready(log_file: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        while "worker is ready" not in log_file.read_text():  # noqa: ASYNC110, ASYNC240 - another process
            await asyncio.sleep(0.1)


async def until_changelog(broker: LocalBroker, name: str) -> None:
    """Wait until the worker has made its changelog."""
    async with asyncio.timeout(LIMIT_S):
        while name not in await partition_counts(Connection(bootstrap=broker.bootstrap)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
