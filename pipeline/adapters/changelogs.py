"""Makes tables' changelog topics before the group is joined: a leader that does not see one would leave it unassigned."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from pipeline.adapters.kafka import Connection, client_settings, partition_counts, speaking_to
from pipeline.adapters.tables import CHANGELOG_CONFIG, RowTable, changelog_name
from pipeline.errors import BrokerError, ConfigError

_VISIBLE_S = 15.0
_POLL_S = 0.1


async def ensure_changelogs(connection: Connection, tables: Sequence[RowTable], *, replication_factor: int) -> None:
    """Create what is missing, and wait until the broker shows all of them.

    Raises
    ------
    ConfigError
        If a changelog has another partition count than its table: its rows would be looked for in the wrong place.
    BrokerError
        If the broker refuses one, or does not show it in time.

    """
    wanted = {changelog_name(table): int(table.partitions or 0) for table in tables}
    there = await partition_counts(connection)
    missing = {name: count for name, count in wanted.items() if name not in there}
    if missing:
        await _create(connection, missing, replication_factor)
        there = await _visible(connection, missing)
    wrong = [
        f"changelog {name} has {there[name]} partitions, its table {count}: partition counts are fixed for the life of the data, "
        "start with a new app_id"
        for name, count in wanted.items()
        if there[name] != count
    ]
    if wrong:
        raise ConfigError(wrong)


async def _create(connection: Connection, missing: dict[str, int], replication_factor: int) -> None:
    async with speaking_to(connection):
        admin = AIOKafkaAdminClient(**client_settings(connection))
        try:
            await admin.start()
            settings = {"cleanup.policy": "compact", **CHANGELOG_CONFIG}
            answer: Any = await admin.create_topics(
                [
                    NewTopic(
                        name,
                        count,
                        replication_factor,
                        replica_assignments={} if replication_factor == -1 else None,
                        topic_configs=settings,
                    )
                    for name, count in missing.items()
                ]
            )
        finally:
            await admin.close()
    for name, code, *reason in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another worker may have been first
            raise BrokerError(f"changelog {name} cannot be created: {error.__name__} {reason[0] if reason else ''}".rstrip())


async def _visible(connection: Connection, names: dict[str, int]) -> dict[str, int]:
    for _ in range(round(_VISIBLE_S / _POLL_S)):
        there = await partition_counts(connection)
        if all(there.get(name) for name in names):
            return there
        await asyncio.sleep(_POLL_S)
    raise BrokerError(f"created changelogs do not show up within {_VISIBLE_S:.0f} s: {', '.join(sorted(names))}")
