"""Whether the topics on the broker are what config/topics.yaml says: makes the missing ones, names what differs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from pipeline.adapters.kafka import Connection, client_settings, ensure_reachable, partition_counts, speaking_to
from pipeline.contracts.topics import Topics, TopicSpec
from pipeline.errors import BrokerError, ConfigError

_VISIBLE_LIMIT_S = 15.0
_POLL_S = 0.1

Outcome = Literal["created", "exists", "differs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicProblem:
    """One thing about a topic that is not as configured.

    Attributes
    ----------
    topic
        Name on the broker.
    setting
        ``missing``, ``partitions``, ``replication``, or Kafka's name of a setting.
    sentence
        What is wrong and what to do.
    is_fatal
        Totals or alerts would be wrong: workers refuse to start.

    """

    topic: str
    setting: str
    sentence: str
    is_fatal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicOutcome:
    """What became of one topic in :func:`create`."""

    logical: str
    topic: str
    outcome: Outcome
    partitions: int
    problems: tuple[TopicProblem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicReport:
    """What :func:`check` found; ``notes`` say what could not be checked."""

    problems: tuple[TopicProblem, ...]
    notes: tuple[str, ...]


async def create(connection: Connection, topics: Topics, env: Mapping[str, str] | None = None) -> list[TopicOutcome]:
    """Make every topic that is missing, and wait until the broker shows it; topics that exist are left as they are.

    Safe when several do it at the same time.

    Raises
    ------
    BrokerError
        If the broker cannot be reached, or refuses a topic.

    """
    existing = await partition_counts(connection, env)
    missing = [spec for spec in topics.topics if spec.name not in existing]
    async with _admin(connection, env) as admin:
        made = await _make(admin, topics, missing)
        await _until_visible(connection, missing, env)
        found = await _facts(admin, [spec for spec in topics.topics if spec.name not in made])
    outcomes = []
    for spec in topics.topics:
        problems = tuple(_differences(spec, topics, found[spec.name])) if spec.name in found else ()
        outcome: Outcome = "created" if spec.name in made else "differs" if problems else "exists"
        partitions = found[spec.name].partitions if spec.name in found else topics.partitions_of(spec)
        outcomes.append(
            TopicOutcome(logical=spec.logical, topic=spec.name, outcome=outcome, partitions=partitions, problems=problems)
        )
    return outcomes


async def check(
    connection: Connection, topics: Topics, only: Collection[str] | None = None, env: Mapping[str, str] | None = None
) -> TopicReport:
    """Compare the topics on the broker with the configured ones; changes nothing.

    Parameters
    ----------
    connection, topics
        Where, and what is wanted.
    only
        Logical names to check; ``None``: all.
    env
        Where the password is looked up; ``None``: this process's environment.

    Raises
    ------
    BrokerError
        If the broker cannot be reached or refuses.

    """
    wanted = [spec for spec in topics.topics if only is None or spec.logical in only]
    existing = await partition_counts(connection, env)
    problems = [
        TopicProblem(
            topic=spec.name,
            setting="missing",
            sentence=f"topic {spec.name} does not exist at {connection.bootstrap}: make it with `tocsin topics create`",
            is_fatal=True,
        )
        for spec in wanted
        if spec.name not in existing
    ]
    async with _admin(connection, env) as admin:
        found = await _facts(admin, [spec for spec in wanted if spec.name in existing])
    silent: set[str] = set()
    for spec in wanted:
        if spec.name in found:
            problems += _differences(spec, topics, found[spec.name])
            silent |= spec.settings.keys() - found[spec.name].settings.keys()
    notes = (f"the broker does not tell {', '.join(sorted(silent))} of every topic: not checked there",) if silent else ()
    return TopicReport(problems=tuple(problems), notes=notes)


async def require(
    connection: Connection, topics: Topics, only: Collection[str], env: Mapping[str, str] | None = None
) -> tuple[TopicProblem, ...]:
    """Refuse to go on with topics that would make totals wrong; return what else differs, to be warned of.

    Raises
    ------
    ConfigError
        If a topic is missing, has another partition count, or is compacted where it must not be.
    BrokerError
        If the broker cannot be reached or refuses.

    """
    report = await check(connection, topics, only, env)
    fatal = [problem.sentence for problem in report.problems if problem.is_fatal]
    if fatal:
        raise ConfigError(fatal)
    return report.problems


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the broker says of one topic; ``settings`` holds those that it tells."""

    partitions: int
    replication: int
    settings: Mapping[str, str]


@contextlib.asynccontextmanager
async def _admin(connection: Connection, env: Mapping[str, str] | None) -> AsyncIterator[AIOKafkaAdminClient]:
    await ensure_reachable(connection, env)
    async with speaking_to(connection):
        admin = AIOKafkaAdminClient(**client_settings(connection, env))
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


async def _make(admin: AIOKafkaAdminClient, topics: Topics, missing: Sequence[TopicSpec]) -> set[str]:
    """Create topics; return the names of those that were made here and not, meanwhile, by somebody else."""
    if not missing:
        return set()
    wanted = [
        NewTopic(
            name=spec.name,
            num_partitions=topics.partitions_of(spec),
            replication_factor=topics.replication_factor,
            # Only with an (empty) assignment does aiokafka let -1, the broker's default, through.
            replica_assignments={} if topics.replication_factor == -1 else None,
            topic_configs=spec.settings,
        )
        for spec in missing
    ]
    answer: Any = await admin.create_topics(wanted)
    made: set[str] = set()
    refused: list[str] = []
    for name, code, *text in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            made.add(name)
        elif error is not TopicAlreadyExistsError:
            refused.append(f"the broker refuses to make topic {name}: {error.__name__}: {text[0] if text else ''}")
    if refused:
        raise BrokerError("\n".join(refused))
    return made


async def _until_visible(connection: Connection, specs: Sequence[TopicSpec], env: Mapping[str, str] | None) -> None:
    """Wait until metadata shows the new topics: a worker that asks earlier would see none."""
    if not specs:
        return
    try:
        async with asyncio.timeout(_VISIBLE_LIMIT_S):
            while True:
                counts = await partition_counts(connection, env)
                if all(counts.get(spec.name, 0) >= 1 for spec in specs):
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError as problem:
        raise BrokerError(
            f"the Kafka at {connection.bootstrap} took topics, but does not show them after {_VISIBLE_LIMIT_S:.0f} s"
        ) from problem


async def _facts(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> dict[str, _Facts]:
    if not specs:
        return {}
    names = [spec.name for spec in specs]
    settings = await _settings(admin, names)
    found: dict[str, _Facts] = {}
    for topic in await admin.describe_topics(names):
        partitions: list[dict[str, Any]] = topic["partitions"]
        copies = min((len(partition["replicas"]) for partition in partitions), default=0)
        found[topic["topic"]] = _Facts(len(partitions), copies, settings.get(topic["topic"], {}))
    return found


async def _settings(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the settings that the broker tells, by topic; none when it tells none to us (an ACL, or no such request)."""
    try:
        answers: list[Any] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    except KafkaError:
        return {}
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for code, _text, _kind, name, entries in answer.resources
        if code == 0
    }


def _differences(spec: TopicSpec, topics: Topics, facts: _Facts) -> list[TopicProblem]:
    wanted, problems = topics.partitions_of(spec), []
    if facts.partitions != wanted:
        shared = {"services": " (service_partitions)", "telemetry": " (telemetry_partitions)"}.get(str(spec.partitions), "")
        sentence = (
            f"topic {spec.name} has {facts.partitions} partitions, config/topics.yaml says {wanted}{shared}: "
            "set that to what it has, or make the topic anew"
        )
        problems.append(TopicProblem(topic=spec.name, setting="partitions", sentence=sentence, is_fatal=True))
    if topics.replication_factor > facts.replication:
        sentence = (
            f"topic {spec.name} has {facts.replication} copies of a partition, config/topics.yaml says {topics.replication_factor}"
        )
        problems.append(TopicProblem(topic=spec.name, setting="replication", sentence=sentence))
    for setting, value in spec.settings.items():
        told = facts.settings.get(setting)
        if told is not None and not _is_same(told, value):
            problems.append(_difference(spec, setting, told, value))
    return problems


def _difference(spec: TopicSpec, setting: str, told: str, wanted: str) -> TopicProblem:
    # Compaction keeps one record a key: windows and events of a service would vanish before they are read.
    is_fatal = setting == "cleanup.policy" and "compact" in told and spec.cleanup == "delete"
    sentence = f"topic {spec.name} has {setting}={told}, config/topics.yaml says {wanted}"
    if setting == "retention.ms":
        sentence += ": the broker deletes records whose event time is older, replayed ones within minutes"
    return TopicProblem(topic=spec.name, setting=setting, sentence=sentence, is_fatal=is_fatal)


def _is_same(told: str, wanted: str) -> bool:
    """Compare two settings: lists in any order, numbers as numbers."""
    if set(told.split(",")) == set(wanted.split(",")):
        return True
    try:
        return float(told) == float(wanted)
    except ValueError:
        return False
