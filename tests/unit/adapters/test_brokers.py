"""What brokers do before there is a broker: jars fetched once, ports, missing programs."""

import os
import threading
from pathlib import Path

import pytest

from pipeline.adapters.brokers import EmbeddedBroker, KafkaBroker, embedded, kafka_jars, ports
from pipeline.errors import BrokerError

FAKE_MAVEN = """#!/bin/sh
echo fetched >> "{log}"
for argument in "$@"; do
  case "$argument" in -DoutputDirectory=*) folder="${{argument#-DoutputDirectory=}}";; esac
done
sleep 0.2
{then}
"""
FILLS = 'mkdir -p "$folder" && touch "$folder/kafka_2.13-4.3.1.jar"'
FAILS = 'mkdir -p "$folder" && touch "$folder/half.jar" && echo "Could not resolve" >&2 && exit 1'


@pytest.fixture
def fetches(tmp_path: Path) -> Path:
    """The file in which the fake Maven notes each of its runs."""
    return tmp_path / "fetches"


def put_maven_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path, fetches: Path, then: str) -> None:
    folder.mkdir()
    program = folder / "mvn"
    program.write_text(FAKE_MAVEN.format(log=fetches, then=then))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_jars_are_fetched_once_even_when_several_ask_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fetches: Path
) -> None:
    put_maven_on_path(monkeypatch, tmp_path / "bin", fetches, FILLS)
    found: list[Path] = []
    askers = [threading.Thread(target=lambda: found.append(kafka_jars.jar_folder(tmp_path / "cache"))) for _ in range(4)]

    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert len(set(found)) == 1
    assert (found[0] / "kafka_2.13-4.3.1.jar").exists()
    assert fetches.read_text().splitlines() == ["fetched"]


def test_a_failed_fetch_leaves_no_folder_and_tells_what_maven_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fetches: Path
) -> None:
    put_maven_on_path(monkeypatch, tmp_path / "bin", fetches, FAILS)

    with pytest.raises(BrokerError, match=r"(?s)Maven could not fetch Apache Kafka 4\.3\.1 .*Could not resolve"):
        kafka_jars.jar_folder(tmp_path / "cache")

    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    assert len(fetches.read_text().splitlines()) == 2


def test_a_machine_without_maven_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BrokerError, match=r"needs `mvn` on PATH \(Debian: apt-get install maven\)"):
        kafka_jars.jar_folder(tmp_path / "cache")


def test_a_machine_without_java_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    broker = KafkaBroker(folder=tmp_path / "kafka")

    with pytest.raises(BrokerError, match=r"needs `java` on PATH .* embedded broker needs neither"):
        broker.start()

    assert not broker.is_running


def test_the_cache_folder_is_configurable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOCSIN_CACHE", str(tmp_path))

    assert kafka_jars.cache_folder() == tmp_path


def test_a_machine_without_the_embedded_broker_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", str(tmp_path / "absent"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BrokerError, match="put a `tansu` on PATH, or name a Kafka with --broker HOST:PORT"):
        embedded.binary()


def test_a_broker_that_ends_at_once_is_an_error_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "tansu"
    broken.write_text("#!/bin/sh\necho no luck today\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(broken))
    broker = EmbeddedBroker(folder=tmp_path / "folder")

    with pytest.raises(BrokerError, match=r"(?s)ended while it started\. Its log, .*broker\.log, ends:\nno luck today"):
        broker.start()

    assert not broker.is_running


def test_a_broker_that_never_answers_is_ended_and_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mute = tmp_path / "tansu"
    mute.write_text("#!/bin/sh\necho $$ > pid\nexec sleep 60\n")
    mute.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(mute))
    broker = EmbeddedBroker(folder=tmp_path / "folder")
    broker.start_limit_s = 0.5

    with pytest.raises(BrokerError, match="did not answer within"):
        broker.start()

    pid = int((tmp_path / "folder" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_ports_are_below_those_of_outgoing_connections_and_differ() -> None:
    found = ports.free_ports(5)

    assert len(set(found)) == 5
    assert all(20_000 <= port < 32_000 for port in found)


def test_a_broker_that_is_never_started_leaves_no_folder() -> None:
    broker = EmbeddedBroker()

    broker.close()

    assert not broker.folder.exists()
