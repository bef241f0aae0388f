"""What came of a sender's telemetry: the records on its topic, the windows that the pure stages make of them, their sums."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.kafka import Connection
from pipeline.adapters.reading import read_topic
from pipeline.contracts.config import IngestConfig, TopicOrigin
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord
from pipeline.contracts.signals import Signals
from pipeline.ingest.decoders import decode
from tests.formats_world import SETTINGS, signals_of_records

PATIENCE_S = 60.0
_POLL_S = 0.2


async def new_topics(broker: LocalBroker, *names: str) -> dict[str, str]:
    """Create topics of one partition each under names that nobody else has; return these by the given ones."""
    made = {name: f"s{uuid4().hex[:10]}-{name}" for name in names}
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1) for topic in made.values()])
    finally:
        await admin.close()
    return made


async def arrived(broker: LocalBroker, topic: str, n: int, *, patience_s: float = PATIENCE_S) -> list[InRecord]:
    """Return the records of a topic of one partition, once there are ``n``."""
    end_s = time.monotonic() + patience_s
    while len(found := await all_records(broker, topic)) < n:
        assert time.monotonic() < end_s, f"waited {patience_s:.0f} s for {n} records on {topic}, saw {found}"
        await asyncio.sleep(_POLL_S)
    return found


async def all_records(broker: LocalBroker, topic: str) -> list[InRecord]:
    """Return the records that are on a topic now."""
    return [read.record async for read in read_topic(Connection(bootstrap=broker.bootstrap), topic)]


def config_for(decoder: str, *, topic: str = "telemetry.metrics", service: str = "", **changes: object) -> IngestConfig:
    """Return the shipped configuration of ingest with one telemetry topic; ``service`` is whose unnamed messages it holds."""
    origins = {topic: TopicOrigin(service=service)} if service else {}
    return replace(SETTINGS.ingest, decoders={topic: decoder}, origins=origins, **changes)


@dataclass
class Sum:
    """A service's windows, added up."""

    requests: int = 0
    errors: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    logs: Counter[str] = field(default_factory=Counter)
    versions: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    saturation: dict[str, list[float]] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    windows: list[Signals] = field(default_factory=list)

    def add(self, window: Signals) -> None:
        """Add a window."""
        self.windows.append(window)
        self.requests += window.traffic.requests
        self.errors += window.errors.count
        self.operations.update({name: one.traffic.requests for name, one in window.operations.items()})
        self.logs.update(window.logs)
        self.versions |= {window.version} - {""}
        self.environments.add(window.environment)
        for resource, level in window.saturation.items():
            self.saturation.setdefault(resource, []).append(level.mean)
        if window.histogram is not None:
            self.latency.absorb(window.histogram)


def sums(windows: Iterable[Signals]) -> dict[str, Sum]:
    """Return the windows of each service, added up."""
    found: dict[str, Sum] = {}
    for window in windows:
        found.setdefault(window.service, Sum()).add(window)
    return found


def sums_of(records: list[InRecord], config: IngestConfig) -> dict[str, Sum]:
    """Return what the pure stages of INGEST and ANALYSE make of a topic's records, by service; none may be refused."""
    (topic,) = config.decoders
    return sums(signals_of_records(records, replace(SETTINGS, ingest=config), topic).values())


def decoded(records: list[InRecord], config: IngestConfig) -> list[Decoded]:
    """Return what each record holds."""
    (topic,) = config.decoders
    return [decode(config, topic, record) for record in records]
