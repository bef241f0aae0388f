"""What recovery makes of a changelog, and which rows a partition has."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from pipeline.adapters.faust_apps import FaustAppSettings, make_app
from pipeline.adapters.tables import CHANGELOG_CONFIG, RowStore, RowTable, changelog_name, make_table, rows_of, write_rows
from pipeline.adapters.transport import RunRecord, Sent
from pipeline.analyse.params import WindowParams
from pipeline.contracts.rows import pack


@pytest.fixture
async def table() -> RowTable:
    app = make_app(FaustAppSettings(bootstrap="127.0.0.1:1", profile="test"), app_id="app")
    return make_table(app, "rows", 2)


def recover(store: RowStore, *events: tuple[bytes, bytes | None], partition: int = 0) -> None:
    batch: list[Any] = [SimpleNamespace(message=SimpleNamespace(key=k, value=v, partition=partition)) for k, v in events]
    store.apply_changelog_batch(batch, None, None)


async def test_the_highest_applied_row_wins_whoever_wrote_last(table: RowTable) -> None:
    recover(
        table.rows, (b"0|a", pack(5, b"new")), (b"0|a", pack(3, b"of a zombie")), (b"0|b", pack(1, b"")), (b"0|b", pack(2, b"x"))
    )

    assert rows_of(table, 0) == {"a": pack(5, b"new"), "b": pack(2, b"x")}


async def test_recovery_ignores_tombstones(table: RowTable) -> None:
    recover(table.rows, (b"0|a", pack(5, b"kept")), (b"0|a", None))

    assert rows_of(table, 0) == {"a": pack(5, b"kept")}


async def test_an_unreadable_row_is_kept_for_its_stage_to_stop_at(table: RowTable) -> None:
    recover(table.rows, (b"0|a", pack(5, b"")), (b"0|a", b"short"), (b"0|a", pack(6, b"")))

    assert rows_of(table, 0) == {"a": b"short"}


async def test_rows_belong_to_their_partition(table: RowTable) -> None:
    recover(table.rows, (b"0|a", pack(1, b"")))
    recover(table.rows, (b"1|a", pack(2, b"")), (b"1|with|bars", pack(3, b"")), partition=1)

    assert rows_of(table, 0) == {"a": pack(1, b"")}
    assert rows_of(table, 1) == {"a": pack(2, b""), "with|bars": pack(3, b"")}


async def test_rows_of_revoked_and_of_new_partitions_are_dropped(table: RowTable) -> None:
    topic = changelog_name(table)
    for partition in range(3):
        recover(table.rows, (b"%d|a" % partition, pack(1, b"")), partition=partition)

    await table.on_rebalance({TP(topic, 0), TP(topic, 2)}, {TP(topic, 1)}, {TP(topic, 2)})

    assert [rows_of(table, partition) for partition in range(3)] == [{"a": pack(1, b"")}, {}, {}]


async def test_a_changelog_compacts_but_not_before_a_zombie_is_dead(table: RowTable) -> None:
    topic = table.changelog_topic

    assert topic.compacting
    assert topic.partitions == 2
    assert topic.config == CHANGELOG_CONFIG
    assert int(CHANGELOG_CONFIG["min.compaction.lag.ms"]) > WindowParams().refresh_ms + 60_000


async def test_rows_are_sent_in_the_order_given_and_the_head_only_when_the_others_are_acknowledged(
    table: RowTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    may_acknowledge = asyncio.Event()

    async def send_run(_topic: str, _partition: int, records: Sequence[RunRecord]) -> list[Sent]:
        sent.extend(record.key for record in records)
        return [Sent(len(records), asyncio.ensure_future(may_acknowledge.wait()))]

    monkeypatch.setattr(type(table.app), "producer", SimpleNamespace(send_run=send_run))
    changes: dict[str, bytes | None] = {"rollup": b"r", "window": b"w", "late": None, "profile": b"p", "head": b"h"}
    task = asyncio.create_task(write_rows(table, None, 1, changes))
    for _ in range(10):
        await asyncio.sleep(0)
    before = list(sent)
    may_acknowledge.set()
    await task

    assert before == [b"1|rollup", b"1|window", b"1|late", b"1|profile"]
    assert sent == [*before, b"1|head"]
