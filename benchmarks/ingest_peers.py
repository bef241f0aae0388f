"""The contestants of `make bench-ingest`: made ready once in the cache folder, then each run as a process of its own."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.adapters.brokers.kafka_jars import cache_folder

LIMIT_S = 540
QUIX = ("quixstreams==3.28.0",)
BYTEWAX = ("bytewax==0.21.1", "confluent-kafka", "orjson")


class PeerMissingError(Exception):
    """A contestant could not be made ready, or said nothing; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """Where they run: the broker, a topic of ``messages`` for the fast ones and one of ``few`` for the others."""

    peers: Path
    bootstrap: str
    topic: str
    messages: int
    few_topic: str
    few: int
    partitions: int


@dataclass(frozen=True)
class Peer:
    """One contestant: what it is called, and what a round of it gives in messages a second."""

    name: str
    run: Callable[[Course], float]


def peers() -> list[Peer]:
    """Return all contestants, in the order in which they run."""
    return [
        Peer("raw aiokafka", lambda course: _python(course, "raw.py", course.topic, course.messages, "none")),
        Peer("raw aiokafka + orjson.loads", lambda course: _python(course, "raw.py", course.topic, course.messages, "orjson")),
        Peer("Kafka Streams, 1 thread", lambda course: _kafka_streams(course, 1)),
        Peer("Kafka Streams, 2 threads", lambda course: _kafka_streams(course, 2)),
        Peer("Bytewax", lambda course: _foreign(course, "bytewax_.py", "bytewax", BYTEWAX, course.few)),
        Peer("Quix Streams", lambda course: _foreign(course, "quix.py", "quix", QUIX, min(course.few, 300_000))),
        Peer("stock Faust", _stock_faust),
    ]


def fill(peers_folder: Path, bootstrap: str, topic: str, messages: int, **options: int) -> None:
    """Fill a topic with the comparison's workload, as the shared folder has it."""
    extra = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, str(peers_folder / "fill.py"), bootstrap, topic, "--messages", str(messages), *extra]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def create_topic(bootstrap: str, name: str, partitions: int) -> None:
    """Create a topic that keeps old record times."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs={"retention.ms": "-1"})])
    finally:
        await admin.close()


def _python(course: Course, script: str, topic: str, *arguments: object) -> float:
    return _rate([sys.executable, str(course.peers / script), course.bootstrap, topic, *map(str, arguments)])


def _foreign(course: Course, script: str, name: str, packages: Sequence[str], messages: int) -> float:
    python = _environment(name, packages)
    return _rate([str(python), str(course.peers / script), course.bootstrap, course.few_topic, str(messages)])


def _stock_faust(course: Course) -> float:
    settings = {"BROKER": course.bootstrap, "TOPIC": course.few_topic, "MESSAGES": str(min(course.few, 40_000))}
    command = [
        sys.executable,
        str(course.peers / "stock_faust.py"),
        "worker",
        "-l",
        "error",
        "--without-web",
    ]  # it binds a port of its own otherwise
    return _rate(command, settings | {"PARTITIONS": str(course.partitions)})


def _kafka_streams(course: Course, threads: int) -> float:
    classes, jars = _kafka_streams_classes(course.peers)
    out = f"kstreams-out-{time.monotonic_ns()}"
    asyncio.run(create_topic(course.bootstrap, out, course.partitions))
    given = (course.bootstrap, course.topic, course.messages, threads, out)
    return _rate(["java", "-cp", f"{classes}:{jars}/*", "KafkaStreamsPeer", *map(str, given)])


def _kafka_streams_classes(source: Path) -> tuple[Path, Path]:
    digest = hashlib.sha256((source / "pom.xml").read_bytes() + (source / "KafkaStreamsPeer.java").read_bytes()).hexdigest()[:8]
    folder = cache_folder() / f"peers-kstreams-{digest}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(source / "pom.xml", folder)  # Maven may write beside it
        copy = [
            "mvn",
            "-B",
            "-q",
            "-f",
            str(folder / "pom.xml"),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={folder}/libs",
        ]
        _must(copy)
        _must(["javac", "-cp", f"{folder}/libs/*", "-d", f"{folder}/classes", str(source / "KafkaStreamsPeer.java")])
        (folder / "done").touch()
    return folder / "classes", folder / "libs"


def _environment(name: str, packages: Sequence[str]) -> Path:
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    folder = cache_folder() / f"peers-{name}-{digest}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _must([sys.executable, "-m", "venv", str(folder)])
        _must([f"{folder}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages])
        (folder / "done").touch()
    return folder / "bin" / "python"


def _must(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise PeerMissingError(f"{command[0]}: {problem}") from problem
    if done.returncode:
        raise PeerMissingError(f"{' '.join(command[:3])} ...: {(done.stdout + done.stderr)[-300:]}")


def _rate(command: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """Return the messages a second of a peer's one line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
                cwd=folder,
                env=os.environ | (environment or {}),
            )
        except subprocess.TimeoutExpired as problem:
            raise PeerMissingError(f"{Path(command[1]).name} was not done within {LIMIT_S} s") from problem
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"peer"'):
            return float(json.loads(line)["msgs_per_s"])
    raise PeerMissingError(f"{' '.join(command[:2])} told no result: {done.stderr.strip().splitlines()[-1:]}")
