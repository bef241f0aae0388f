"""Brokers start, are frozen, killed and started again; what persists does; and no process is ever left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters import topics as adapter
from pipeline.adapters.brokers import EmbeddedBroker, KafkaBroker, LocalBroker, readiness
from pipeline.adapters.clock import monotonic_ms
from pipeline.adapters.kafka import Connection, partition_counts, producer
from pipeline.adapters.reading import read_topic
from pipeline.contracts.topics import Topics
from pipeline.errors import BrokerError
from tests.brokers_fixture import ROOT

Fresh = Callable[..., Topics]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that is dead and not yet buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def answers(broker: LocalBroker, *, timeout_s: float = 2.0) -> bool:
    return readiness.n_brokers("127.0.0.1", broker.port, timeout_s=timeout_s) == 1


def wait_until(condition: Callable[[], bool], *, limit_s: float = 20.0) -> None:
    """Ask every 20 ms; fails when it does not become true in time."""
    until = monotonic_ms() + limit_s * 1000
    while not condition():
        assert monotonic_ms() < until, "it did not happen in time"
        time.sleep(0.02)


async def contents(connection: Connection, topic: str) -> list[bytes | None]:
    return [read.record.value async for read in read_topic(connection, topic)]


@pytest.mark.kafka
async def test_kafka_keeps_acknowledged_records_when_killed_and_when_restarted(own_kafka: KafkaBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=own_kafka.bootstrap)
    await adapter.create(connection, topics)
    topic, first_pid = topics.names()["partials"], own_kafka.pid
    async with producer(connection) as sender:
        await sender.send_and_wait(topic, b"before the kill", partition=0)

    own_kafka.kill()
    own_kafka.start()
    async with producer(connection) as sender:
        await sender.send_and_wait(topic, b"after it", partition=0)
    own_kafka.restart()

    assert await contents(connection, topic) == [b"before the kill", b"after it"]
    assert own_kafka.pid != first_pid
    assert not is_alive(first_pid)


@pytest.mark.kafka
def test_a_frozen_kafka_answers_again_when_thawed_and_stops_when_frozen(own_kafka: KafkaBroker) -> None:
    own_kafka.freeze()
    while_frozen = answers(own_kafka, timeout_s=0.5)
    own_kafka.thaw()
    wait_until(lambda: answers(own_kafka))
    own_kafka.freeze()
    pid = own_kafka.pid
    own_kafka.stop()

    assert not while_frozen
    assert not is_alive(pid)


@pytest.mark.embedded
async def test_the_embedded_broker_forgets_when_it_stops_and_says_so(own_embedded: EmbeddedBroker, fresh_topics: Fresh) -> None:
    topics, connection = fresh_topics(), Connection(bootstrap=own_embedded.bootstrap)
    await adapter.create(connection, topics)

    own_embedded.restart()

    assert "it forgets everything when it stops" in own_embedded.announcement
    assert not own_embedded.is_persistent
    assert not set(topics.names().values()) & (await partition_counts(connection)).keys()


@pytest.mark.embedded
def test_a_frozen_embedded_broker_answers_again_when_thawed(own_embedded: EmbeddedBroker) -> None:
    own_embedded.freeze()
    while_frozen = answers(own_embedded, timeout_s=0.3)
    own_embedded.thaw()

    assert not while_frozen
    assert answers(own_embedded)


@pytest.mark.embedded
def test_leaving_the_context_ends_the_process_and_removes_its_temporary_folder() -> None:
    with EmbeddedBroker() as broker:
        pid, folder = broker.pid, broker.folder
        assert folder.is_dir()

    assert not is_alive(pid)
    assert not folder.exists()


@pytest.mark.embedded
def test_a_folder_that_was_given_stays_with_the_log(tmp_path: Path) -> None:
    with EmbeddedBroker(folder=tmp_path / "mine") as broker:
        pass

    assert "ready in" in broker.log_file.read_text()


@pytest.mark.embedded
def test_a_port_that_is_taken_is_an_error_and_never_shared(own_embedded: EmbeddedBroker, tmp_path: Path) -> None:
    second = EmbeddedBroker(folder=tmp_path / "second", port=own_embedded.port)

    with pytest.raises(BrokerError, match=f"cannot have port {own_embedded.port}: another program listens there"):
        second.start()

    assert not second.is_running
    assert own_embedded.is_running


@pytest.mark.kafka
def test_a_kafka_that_cannot_start_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    broker = KafkaBroker(folder=tmp_path / "broken", heap_mb=1)

    with pytest.raises(BrokerError, match=r"(?s)could not format.*[Hh]eap"):
        broker.start()

    assert not broker.is_running


def test_asking_a_stopped_broker_for_its_process_is_an_error() -> None:
    broker = EmbeddedBroker()

    with pytest.raises(BrokerError, match=r"does not run: start\(\) it first"):
        _ = broker.pid


@pytest.mark.embedded
def test_the_broker_dies_with_the_process_that_started_it_even_by_kill_9(tmp_path: Path) -> None:
    with started_by_another_process(tmp_path, "signal.pause()") as (parent, pid):
        alive_before = is_alive(pid)

        parent.kill()
        parent.wait()

        assert alive_before
        wait_until(lambda: not is_alive(pid), limit_s=5)


@pytest.mark.embedded
def test_a_frozen_broker_dies_with_its_parent_too(tmp_path: Path) -> None:
    freezes = "broker.freeze(); print('frozen', flush=True); signal.pause()"
    with started_by_another_process(tmp_path, freezes) as (parent, pid):
        line(parent)

        parent.kill()
        parent.wait()

        wait_until(lambda: not is_alive(pid), limit_s=5)


@pytest.mark.embedded
def test_the_broker_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    broker = EmbeddedBroker(folder=tmp_path)
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()

    assert answers(broker)
    broker.close()


@pytest.mark.embedded
def test_ctrl_c_reaches_the_program_and_not_the_broker(tmp_path: Path) -> None:
    waits = "print('waiting', flush=True)\n    signal.pause()"
    goes_on = f"try:\n    {waits}\nexcept KeyboardInterrupt:\n    {waits.replace('waiting', 'interrupted')}"
    with started_by_another_process(tmp_path, goes_on) as (parent, pid):
        line(parent)
        os.killpg(parent.pid, signal.SIGINT)  # what a terminal does: the whole foreground group
        said = line(parent)
        answered = readiness.n_brokers("127.0.0.1", int((tmp_path / "port").read_text()), timeout_s=2)

        assert said == "interrupted"
        assert answered == 1
        assert os.getpgid(pid) != parent.pid


@contextlib.contextmanager
def started_by_another_process(folder: Path, then: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a program that starts an embedded broker and goes on with ``then``; give it, and the broker's process id."""
    program = (
        "import signal\nfrom pathlib import Path\nfrom pipeline.adapters.brokers import EmbeddedBroker\n"
        f"broker = EmbeddedBroker(folder=Path({str(folder)!r})).start()\n(broker.folder / 'port').write_text(str(broker.port))\n"
        f"print(broker.pid, flush=True)\n{then}"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True)
    pid = 0
    try:
        pid = int(line(parent))
        yield parent, pid
    finally:
        with parent:  # waits, and closes its pipe
            parent.kill()
        with contextlib.suppress(ProcessLookupError):  # it should be gone by now
            os.kill(pid or parent.pid, signal.SIGKILL)


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
