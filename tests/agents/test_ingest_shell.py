"""The shell around a telemetry partition: commits at chunk ends, nothing folded out of turn, lost and re-created logs."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaTimeoutError

from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.outbox import Outbox
from pipeline.adapters.transport import Batch, RunRecord, Sent
from pipeline.cli.lines import decode_dead_letter
from pipeline.contracts.codec import decode
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.partials import Bundle
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import InRecord, RefusedBatch
from pipeline.errors import BrokerError, StateError
from pipeline.ingest.agents import ChunkMark, IngestShell
from pipeline.ingest.source import SourceParams

T0 = 1_700_000_100_000
TP = ("telemetry.metrics", 0)
OURS = IngestConfig(chunk_records=3)
OLD = IngestConfig(chunk_records=2)


class Broker:
    """Records what is sent; acknowledges when allowed to; refuses when told to."""

    def __init__(self) -> None:
        self.bundles: list[Bundle] = []
        self.letters: list[Any] = []
        self.refuses = False
        self.may_acknowledge = asyncio.Event()
        self.may_acknowledge.set()

    async def send(self, topic: str, _key: bytes | None, value: bytes | None, *rest: Any) -> Any:
        if topic == "letters":
            self.letters.append((value, rest))
        else:
            self.bundles.append(decode(value or b"", Bundle))

        async def acknowledged() -> None:
            await self.may_acknowledge.wait()
            if self.refuses:
                raise KafkaTimeoutError

        return acknowledged()

    async def send_run(self, topic: str, _partition: int, records: Sequence[RunRecord]) -> list[Sent]:
        return [Sent(1, asyncio.ensure_future(await self.send(topic, record.key, record.value))) for record in records]


class Observing:
    """An observer that keeps discontinuities and finished chunks."""

    def __init__(self) -> None:
        self.jumps: list[tuple[int, int]] = []
        self.n_chunks = 0

    def ingested(self, *_: Any) -> None: ...
    def published(self, *_: Any) -> None: ...
    def bounds_reached(self, *_: Any) -> None: ...

    def chunk_finished(self, *_: Any) -> None:
        self.n_chunks += 1

    def discontinued(self, _topic: str, _partition: int, expected: int, got: int) -> None:
        self.jumps.append((expected, got))


class House:
    """A shell with everything around it; one partition, one target."""

    def __init__(self, standing: Standing | None = None) -> None:
        self.broker, self.ledger, self.observer = Broker(), Ledger(), Observing()
        self.seeks: list[tuple[str, int]] = []
        self.limits: list[int | None] = []
        self.known_later: dict[str, IngestConfig] = {}
        self.is_all_read = False
        self.clock_ms = T0 + 100
        self.ledger.began(TP, standing)
        self.shell = self.new_shell()

    def new_shell(self, configs: Mapping[str, IngestConfig] | None = None) -> IngestShell:
        async def read_configs() -> Mapping[str, IngestConfig]:
            return self.known_later

        return IngestShell(
            ledger=self.ledger,
            consumer=self,
            outbox=lambda: Outbox(lambda: self.broker, {"partials": "partials", "dead-letters": "letters"}),
            config=OURS,
            configs=configs or {},
            read_configs=read_configs,
            params=SourceParams(idle_ms=5_000, header_ms=1_000),
            partitions=lambda: {TP[0]: 1},
            n_targets=1,
            now_ms=lambda: self.clock_ms,
            observer=self.observer,
        )

    # --- what the transport knows

    def assigned(self) -> set[tuple[str, int]]:
        return {TP}

    def generation(self) -> int:
        return 3

    def is_caught_up(self, _topic: str, _partition: int) -> bool:
        return self.is_all_read

    async def seek(self, topic: str, partition: int, *, max_batch_bytes: int | None = None) -> None:
        self.seeks.append((topic, partition))
        self.limits.append(max_batch_bytes)

    # --- what the broker does

    def commit(self) -> Standing | None:
        """Commit what is due, as the driver does every second."""
        standing = self.ledger.standing(TP)
        if standing is not None:
            self.ledger.committed(TP, standing)
        return standing

    def reassign(self, standing: Standing | None) -> None:
        """Give the partition up, and take it over again."""
        self.ledger.forget(TP)
        self.shell.revoked({TP})
        self.ledger.began(TP, standing)

    async def commits_while(self, work: Any) -> None:
        """Do something while the driver commits."""
        task = asyncio.ensure_future(work)
        while not task.done():
            self.commit()
            await asyncio.sleep(0.01)
        task.result()


def batch(first: int, n: int, *, begins_at: int | None = None, next_offset: int | None = None) -> Batch:
    records = [InRecord(offset, T0 + offset, None, request(T0 + offset)) for offset in range(first, first + n)]
    end = first + n if next_offset is None else next_offset
    at = first if begins_at is None else begins_at
    return Batch(topic=TP[0], partition=0, begins_at=at, records=records, next_offset=end, high_watermark=end)


def request(time_ms: int) -> bytes:
    return json.dumps({"kind": "request", "service": "cart", "time": time_ms, "duration_ms": 5, "status": 200}).encode()


def mark(config: IngestConfig, epoch: int = 0) -> str:
    return msgspec.json.encode(ChunkMark(config=config.hash, epoch=epoch, watermark_ms=T0)).decode()


def spoken(standing: Standing | None) -> tuple[int, ChunkMark]:
    assert standing is not None
    return standing.next_offset, msgspec.json.decode(standing.metadata, type=ChunkMark)


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_only_the_end_of_a_chunk_is_committed_and_its_mark_tells_the_watermark() -> None:
    house = House(Standing(0, mark(OURS)))
    await house.shell.on_batch(batch(0, 2))
    within = house.ledger.standing(TP)

    await house.shell.on_batch(batch(2, 2))

    assert within == Standing(0, mark(OURS))
    assert spoken(house.ledger.standing(TP)) == (3, ChunkMark(config=OURS.hash, watermark_ms=T0 + 2))
    assert house.observer.n_chunks == 1


async def test_a_chunk_is_finished_only_when_all_of_it_is_acknowledged_and_the_next_begins_only_then() -> None:
    house = House(Standing(0, mark(OURS)))
    house.broker.may_acknowledge.clear()
    task = asyncio.create_task(house.shell.on_batch(batch(0, 5)))
    await some_turns()
    before = house.ledger.standing(TP)
    chunks_before = {bundle.chunk for bundle in house.broker.bundles}

    house.broker.may_acknowledge.set()
    await task

    assert before == Standing(0, mark(OURS))
    assert chunks_before == {0}
    assert spoken(house.ledger.standing(TP))[0] == 3


async def test_a_refused_bundle_ends_the_worker_with_a_sentence_and_commits_nothing() -> None:
    house = House(Standing(0, mark(OURS)))
    house.broker.refuses = True

    with pytest.raises(BrokerError, match="partials does not take a record"):
        await house.shell.on_batch(batch(0, 5))

    assert house.ledger.standing(TP) == Standing(0, mark(OURS))


async def test_a_refused_header_is_noticed_at_the_next_one_not_at_the_end_of_the_chunk() -> None:
    house = House(Standing(0, mark(OURS)))
    house.broker.refuses = True
    await house.shell.tick()
    await some_turns()
    house.clock_ms += 1_000

    with pytest.raises(BrokerError, match="partials does not take a record"):
        await house.shell.tick()


async def test_a_batch_that_does_not_go_on_is_sought_again_and_not_folded() -> None:
    house = House(Standing(0, mark(OURS)))
    await house.shell.on_batch(batch(0, 1))

    await house.shell.on_batch(batch(2, 1))

    assert {bundle.through for bundle in house.broker.bundles} == {0}
    assert house.seeks == [TP]
    assert house.observer.jumps == [(1, 2)]


async def test_a_partition_that_is_being_sought_is_not_called_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(Standing(0, ""))
    house.is_all_read = True  # all was fetched; what is not folded will be read again

    async def seek(topic: str, partition: int, **_more: Any) -> None:
        house.seeks.append((topic, partition))
        await house.shell.tick()

    monkeypatch.setattr(house, "seek", seek)
    await house.shell.on_batch(batch(2, 1))
    during = len(house.broker.bundles)
    await house.shell.tick()

    assert house.seeks == [TP]
    assert during == 0
    assert [bundle.idle for bundle in house.broker.bundles] == [True]


async def test_what_was_read_of_a_log_that_is_gone_is_in_a_bundle() -> None:
    house = House(Standing(50, mark(OURS, epoch=4)))
    await house.shell.on_batch(batch(50, 2))  # held back: the window is not over

    await house.shell.on_batch(batch(0, 2))  # the topic was created anew

    sent = [bundle for bundle in house.broker.bundles if bundle.epoch == 4 and bundle.partials]
    assert [(bundle.chunk, bundle.through) for bundle in sent] == [(50, 51)]
    assert sum(partial.readings for bundle in sent for partial in bundle.partials) == 2


async def test_what_was_refused_once_is_refused_again_after_the_partition_was_read_properly() -> None:
    house = House(Standing(0, mark(OURS)))
    stale = batch(2, 1)
    await house.shell.on_batch(stale)
    await house.shell.on_batch(batch(0, 3))
    house.reassign(Standing(0, mark(OURS)))

    await house.shell.on_batch(stale)

    assert house.seeks == [TP, TP]
    assert house.ledger.standing(TP) == Standing(0, mark(OURS))


async def test_offsets_without_records_belong_to_the_chunk_and_are_no_reason_to_read_again() -> None:
    house = House(Standing(0, mark(OURS)))
    await house.shell.on_batch(batch(0, 1, next_offset=2))  # a transaction's mark
    await house.shell.on_batch(batch(2, 0, next_offset=3))  # and one that came alone
    await house.shell.on_batch(batch(3, 3))

    assert house.seeks == []
    assert spoken(house.ledger.standing(TP))[0] == 5
    assert {bundle.chunk for bundle in house.broker.bundles} == {0}


async def test_a_hole_inside_a_chunk_does_not_cut_it() -> None:
    house = House(Standing(0, mark(OURS)))
    for _ in range(2):  # sought in between
        await house.shell.on_batch(batch(0, 1))
        await house.shell.on_batch(batch(7, 1))

    assert house.seeks == [TP]
    assert house.ledger.standing(TP) == Standing(0, mark(OURS))
    assert {bundle.chunk for bundle in house.broker.bundles} == {0}
    assert house.shell.positions() == {TP: 8}


async def test_a_log_whose_beginning_is_gone_goes_on_where_it_begins_now() -> None:
    house = House(Standing(5, mark(OLD)))
    house.shell = house.new_shell({OLD.hash: OLD})
    await house.shell.on_batch(batch(9, 1))

    await house.commits_while(house.shell.on_batch(batch(9, 1)))

    assert house.seeks == [TP]
    assert spoken(house.commit()) == (9, ChunkMark(config=OLD.hash, watermark_ms=T0))


async def test_a_topic_that_was_created_anew_begins_with_a_higher_epoch_that_is_committed_first() -> None:
    house = House(Standing(50, mark(OURS, epoch=4)))
    await house.shell.on_batch(batch(0, 2))
    task = asyncio.create_task(house.shell.on_batch(batch(0, 2)))
    await asyncio.sleep(0.1)
    n_sent, due = len(house.broker.bundles), list(house.ledger.due())
    house.commit()
    await task

    assert (n_sent, due) == (0, [TP])
    assert spoken(house.commit()) == (0, ChunkMark(config=OURS.hash, epoch=5))
    assert {(bundle.epoch, bundle.chunk) for bundle in house.broker.bundles} == {(5, 0)}


async def test_a_chunk_that_was_begun_under_another_configuration_is_finished_under_it() -> None:
    house = House(Standing(0, mark(OLD)))
    house.shell = house.new_shell({OLD.hash: OLD})

    await house.commits_while(house.shell.on_batch(batch(0, 4)))

    assert spoken(house.ledger.standing(TP)) == (2, ChunkMark(config=OURS.hash, watermark_ms=T0 + 1))
    assert house.broker.bundles[0].config == OLD.hash


async def test_a_new_configuration_takes_effect_only_when_the_end_of_the_old_ones_chunk_is_committed() -> None:
    house = House(Standing(0, mark(OLD)))
    house.shell = house.new_shell({OLD.hash: OLD})
    task = asyncio.create_task(house.shell.on_batch(batch(0, 4)))
    await asyncio.sleep(0.1)
    before = {bundle.config for bundle in house.broker.bundles}
    position = house.shell.positions()[TP]

    house.commit()
    await task

    assert (before, position) == ({OLD.hash}, 2)
    assert house.shell.positions()[TP] == 4


async def test_a_configuration_that_a_newer_worker_brought_is_read_when_it_is_needed() -> None:
    house = House(Standing(0, mark(OLD)))
    house.known_later = {OLD.hash: OLD}

    await house.shell.tick()

    assert house.broker.bundles[0].config == OLD.hash


async def test_a_configuration_that_nobody_knows_is_a_clear_error() -> None:
    house = House(Standing(0, mark(OLD)))

    with pytest.raises(StateError, match=r"begun with ingest configuration .* not on tocsin.config"):
        await house.shell.tick()


async def test_a_revoked_partition_finishes_nothing_more() -> None:
    house = House(Standing(0, mark(OURS)))
    house.broker.may_acknowledge.clear()
    task = asyncio.create_task(house.shell.on_batch(batch(0, 5)))
    await some_turns()

    house.reassign(Standing(0, mark(OURS)))
    house.broker.may_acknowledge.set()
    await task

    assert house.ledger.standing(TP) == Standing(0, mark(OURS))
    assert house.shell.positions() == {}


async def test_a_batch_of_a_partition_that_was_given_up_is_passed_over() -> None:
    house = House(Standing(0, mark(OURS)))
    house.ledger.forget(TP)

    await house.shell.on_batch(batch(0, 5))

    assert house.broker.bundles == []


async def test_without_a_commit_the_first_chunk_begins_where_the_log_does() -> None:
    house = House(None)
    await house.shell.tick()

    await house.shell.on_batch(batch(7, 2))

    assert house.seeks == []
    assert house.ledger.standing(TP) == Standing(7, "")
    assert house.shell.positions() == {TP: 9}


async def test_headers_go_on_without_data_and_say_idle_only_when_everything_is_read() -> None:
    house = House(Standing(0, mark(OURS)))
    await house.shell.on_batch(batch(0, 1))
    house.broker.bundles.clear()
    for is_all_read in (False, True):
        house.clock_ms += 6_000
        house.is_all_read = is_all_read
        await house.shell.tick()
        await house.shell.tick()

    first, second = house.broker.bundles
    assert (first.idle, first.watermark_ms, first.generation) == (False, T0, 3)
    assert (second.idle, second.watermark_ms) == (True, T0 + 12_000)
    assert first.partitions == {TP[0]: 1}


def held_to(limit: int, one: Batch) -> Batch:
    return msgspec.structs.replace(one, max_batch_bytes=limit)


async def test_a_chunk_that_began_under_another_batch_limit_is_read_again_under_that_and_the_next_under_ours() -> None:
    old = IngestConfig(chunk_records=3, max_batch_bytes=2_000_000)
    ours = OURS.max_batch_bytes
    house = House(Standing(0, mark(old)))
    house.shell = house.new_shell({old.hash: old})

    await house.shell.on_batch(held_to(ours, batch(0, 5)))
    assert (house.seeks, house.limits, house.broker.bundles) == ([TP], [2_000_000], [])

    await house.commits_while(house.shell.on_batch(held_to(2_000_000, batch(0, 5))))  # its chunk ends behind the third record
    assert house.limits == [2_000_000, ours]
    assert spoken(house.ledger.standing(TP))[0] == 3
    assert {bundle.through for bundle in house.broker.bundles} == {2}

    await house.shell.on_batch(held_to(2_000_000, batch(5, 1, begins_at=3)))  # one that was on its way
    assert house.limits == [2_000_000, ours, ours]

    await house.shell.on_batch(held_to(ours, batch(3, 3)))
    await house.shell.on_batch(held_to(ours, batch(6, 1)))

    assert house.limits == [2_000_000, ours, ours]
    assert spoken(house.ledger.standing(TP))[0] == 6
    assert house.observer.jumps == []


async def test_a_refused_record_batch_is_one_dead_letter_with_its_offsets_and_the_chunk_goes_on() -> None:
    house = House(Standing(0, mark(OURS)))
    sound = [InRecord(offset, T0 + offset, None, request(T0 + offset)) for offset in (0, 9)]
    why = RefusedBatch(RejectReason.BATCH_TOO_LARGE, "too large", 8)
    stands_for = InRecord(1, T0 + 1, None, request(T0 + 1), (), why)  # even where its bytes happen to be a request

    await house.shell.on_batch(
        Batch(topic=TP[0], partition=0, begins_at=0, records=[sound[0], stands_for, sound[1]], next_offset=10, high_watermark=10)
    )
    await house.shell.on_batch(batch(10, 1))

    [(value, rest)] = house.broker.letters
    [letter] = [decode_dead_letter(dict(one)) for one in rest if isinstance(one, (tuple, list)) and one]
    assert value == stands_for.value
    assert (letter.topic, letter.partition, letter.offset, letter.last_offset, letter.n_rejected) == (*TP, 1, 8, 8)
    assert [(one.reason, one.detail) for one in letter.rejections] == [(RejectReason.BATCH_TOO_LARGE, "too large")]
    assert sum(partial.readings for bundle in house.broker.bundles for partial in bundle.partials if bundle.chunk == 0) == 2
    assert spoken(house.ledger.standing(TP))[0] == 10
