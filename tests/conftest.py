"""Fixtures that every test may use: brokers, topics of a test's own, the shared data."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.adapters.brokers import EmbeddedBroker, KafkaBroker, LocalBroker
from pipeline.contracts.topics import Topics
from tests.brokers_fixture import ROOT, topics_of_their_own

settings.register_profile("tocsin", deadline=None)  # machines are shared and noisy: no test is about time
settings.load_profile("tocsin")


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """An embedded broker that the whole session shares: use topics of your own, never stop it."""
    with EmbeddedBroker(folder=tmp_path_factory.mktemp("embedded")) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """An Apache Kafka that the whole session shares: use topics of your own, never stop it."""
    with KafkaBroker(folder=tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(
    params=[pytest.param("embedded_broker", marks=pytest.mark.embedded), pytest.param("kafka_broker", marks=pytest.mark.kafka)],
    ids=["embedded", "kafka"],
)
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    """Each of the two shared brokers in turn."""
    found: LocalBroker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaBroker]:
    """An Apache Kafka of the test's own, started: stop, freeze or kill it. Mark the test ``kafka``."""
    with KafkaBroker(folder=tmp_path / "own-kafka") as broker:
        yield broker


@pytest.fixture
def own_embedded(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """An embedded broker of the test's own, started: stop, freeze or kill it. Mark the test ``embedded``."""
    with EmbeddedBroker(folder=tmp_path / "own-embedded") as broker:
        yield broker


@pytest.fixture
def fresh_topics() -> Callable[..., Topics]:
    """Give topics that no other test has: ``fresh_topics(service_partitions=2, telemetry_partitions=2)``; not created yet."""
    return topics_of_their_own


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with data sets and the exam: $TOCSIN_SHARED, else ../shared; skips without. Mark the test ``data``."""
    folder = Path(os.environ.get("TOCSIN_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set TOCSIN_SHARED")
    return folder
