"""The shell around a stage: order, acknowledgement before state, one checkpoint, gaps and lost ownership."""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.outbox import MAX_PENDING, Outbox
from pipeline.adapters.precedence import CALM_LOOK_S, CALM_MS, EQUAL, PATIENCE_MS, Precedence, Turns
from pipeline.adapters.stage_shell import GATHER_MS, OVERDUE, SLICE, StageShell
from pipeline.adapters.transport import Batch, RunRecord, Sent
from pipeline.contracts.limits import Bound, Evicted, Limit
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import InRecord, OutRecord, RefusedBatch
from pipeline.contracts.stage import InTwoParts
from pipeline.errors import BrokerError, RecordInvalid, StateError


class Adding:
    """A stage that adds up the lengths of values, and publishes each sum."""

    def __init__(self, rows: Mapping[str, bytes]) -> None:
        self.is_hastened = False
        self.total, self.applied = (int(part) for part in rows.get("head", b"0,-1").split(b","))

    def step(self, record: InRecord, now_ms: int) -> Iterable[OutRecord]:  # noqa: ARG002 - the contract's
        if record.value == b"garbage":
            raise RecordInvalid("not a sum")
        self.total += len(record.value or b"")
        self.applied = record.offset
        return [OutRecord(topic="sums", key="k", value=str(self.total).encode())]

    @property
    def bounds_reached(self) -> Mapping[Bound, int]:
        return {Evicted.DETECTORS: self.total // 3}

    def take_changes(self) -> dict[str, bytes | None]:
        return {"head": f"{self.total},{self.applied}".encode(), **({"snapshot": b"whole"} if self.is_hastened else {})}

    def hasten(self) -> None:
        self.is_hastened = True


class Broker:
    """Records what is sent; acknowledges when allowed to."""

    def __init__(self) -> None:
        self.sent: list[bytes | None] = []
        self.log: list[str] = []
        self.rows: dict[str, bytes] = {}
        self.may_acknowledge = asyncio.Event()
        self.may_acknowledge.set()

    async def send(self, _topic: str, _key: bytes | None, value: bytes | None, *_rest: Any) -> Any:
        self.sent.append(value)

        async def acknowledged() -> None:
            await self.may_acknowledge.wait()
            self.log.append("acknowledged")

        return acknowledged()

    async def send_run(self, topic: str, _partition: int, records: Sequence[RunRecord]) -> list[Sent]:
        return [Sent(1, asyncio.ensure_future(await self.send(topic, record.key, record.value))) for record in records]

    def rows_of(self, _partition: int) -> Mapping[str, bytes]:
        return dict(self.rows)

    async def write(self, _event: Any, _partition: int, changes: Mapping[str, bytes | None]) -> None:
        self.log.append("rows")
        self.rows.update({name: row for name, row in changes.items() if row is not None})


class Quiet:
    """An observer that keeps nothing but discontinuities."""

    def __init__(self) -> None:
        self.jumps: list[tuple[int, int]] = []
        self.bounds: list[tuple[str, dict[Bound, int]]] = []

    def stage_stepped(self, *_: Any) -> None: ...
    def checkpointed(self, *_: Any) -> None: ...
    def published(self, *_: Any) -> None: ...

    def bounds_reached(self, topic: str, counts: Mapping[Bound, int]) -> None:
        self.bounds.append((topic, dict(counts)))

    def discontinued(self, _topic: str, _partition: int, expected: int, got: int) -> None:
        self.jumps.append((expected, got))


class House:
    """A shell with everything around it."""

    def __init__(self) -> None:
        self.broker, self.ledger, self.observer = Broker(), Ledger(), Quiet()
        self.seeks: list[tuple[str, int]] = []
        self.clock_ms = 0
        self.is_pressing = False
        self.calm = asyncio.Event()
        self.shell = self.new_shell()

    def writing(self) -> list[int]:
        """Return the partitions whose checkpoint is begun and not written."""
        return [partition for partition, owned in self.shell._owned.items() if owned.writing is not None]

    async def stand_back(self) -> None:
        await self.calm.wait()

    def new_shell(self, turns: Turns | None = None) -> StageShell:
        async def seek(topic: str, partition: int) -> None:
            self.seeks.append((topic, partition))

        return StageShell(
            topic="in",
            ledger=self.ledger,
            checkpoints=self.broker,
            restore=lambda _partition, rows: Adding(rows),
            outbox=lambda: Outbox(lambda: self.broker, {"sums": "sums", "dead-letters": "letters"}),
            seek=seek,
            now_ms=lambda: 0,
            monotonic_ms=lambda: self.clock_ms,
            checkpoint_ms=1000,
            observer=self.observer,
            turns=turns or Turns(EQUAL.at_work, EQUAL.give_way, self.stand_back, lambda: not self.is_pressing),
        )


def batch(first: int, *values: bytes, begins_at: int | None = None, partition: int = 0) -> Batch:
    records = [InRecord(offset=first + i, timestamp_ms=0, key=None, value=value) for i, value in enumerate(values)]
    end = first + len(values)
    at = first if begins_at is None else begins_at
    return Batch(topic="in", partition=partition, begins_at=at, records=records, next_offset=end, high_watermark=end)


class InTwo(InTwoParts):
    """A sum that is said at once, and what may wait."""

    def __init__(self, first: Iterable[OutRecord], later: Iterable[OutRecord] | None) -> None:
        self._first, self._later = first, later

    @property
    def first(self) -> Iterable[OutRecord]:
        return self._first

    @property
    def later(self) -> Iterable[OutRecord] | None:
        return self._later


class Telling(Adding):
    """Says, of every value with an ``r`` in it, a second thing that may wait."""

    def step(self, record: InRecord, now_ms: int) -> Iterable[OutRecord]:
        said = super().step(record, now_ms)
        later = (
            [OutRecord(topic="sums", key="k", value=b"later " + (record.value or b""))] if b"r" in (record.value or b"") else None
        )
        return InTwo(said, later)


@pytest.fixture
def house() -> House:
    house = House()
    house.ledger.began(("in", 0), Standing(0, ""))
    return house


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch, house: House) -> House:
    """Return a house whose stage says some of it later, with two partitions."""
    monkeypatch.setattr(sys.modules[__name__], "Adding", Telling)
    house.ledger.began(("in", 1), Standing(0, ""))
    return house


async def some_turns(n: int = 10) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_what_may_wait_is_said_when_nobody_has_anything_to_say_first(telling: House) -> None:
    await telling.shell.on_batch("event", batch(0, b"r"))
    await telling.shell.on_batch("event", batch(0, b"aaa", partition=1))
    await some_turns()
    assert telling.broker.sent == [b"1", b"3"]

    telling.calm.set()
    await some_turns()

    assert telling.broker.sent == [b"1", b"3", b"later r"]

    await telling.shell.on_batch("event", batch(1, b"rr"))
    await some_turns()

    assert telling.broker.sent[3:] == [b"3", b"later rr"]


async def test_what_may_wait_is_said_before_the_next_record_of_its_partition(telling: House) -> None:
    await telling.shell.on_batch("event", batch(0, b"r", b"a", b"rr"))
    await telling.shell.on_batch("event", batch(3, b"a"))

    assert telling.broker.sent == [b"1", b"later r", b"2", b"4", b"later rr", b"5"]


async def test_no_rows_are_taken_before_what_may_wait_is_said(telling: House) -> None:
    await telling.shell.on_batch("event", batch(0, b"r"))
    telling.clock_ms = 10 * OVERDUE * 1000
    await telling.shell.tick()
    await some_turns()
    assert telling.broker.rows == {}

    telling.calm.set()
    await some_turns()
    await telling.shell.tick()

    assert telling.broker.rows["head"] == b"1,0"
    assert telling.broker.log == ["acknowledged", "acknowledged", "rows"]


async def test_partitions_say_what_may_wait_and_checkpoint_in_one_calm(telling: House) -> None:
    telling.shell = telling.new_shell(Precedence(lambda: telling.is_pressing, lambda: telling.clock_ms).first())
    await telling.shell.on_batch("event", batch(0, b"r"))
    await telling.shell.on_batch("event", batch(0, b"rr", partition=1))
    telling.clock_ms += CALM_MS - 1
    await asyncio.sleep(3 * CALM_LOOK_S)
    assert telling.broker.sent == [b"1", b"2"]

    telling.clock_ms = 1000
    await asyncio.sleep(3 * CALM_LOOK_S)

    assert telling.broker.sent == [b"1", b"2", b"later r", b"later rr"]
    assert telling.broker.log.count("rows") == 2


async def test_where_there_is_never_calm_what_may_wait_is_said_and_checkpoints_are_taken_all_the_same(telling: House) -> None:
    telling.shell = telling.new_shell(Precedence(lambda: True, lambda: telling.clock_ms).first())
    await telling.shell.on_batch("event", batch(0, b"r"))
    await asyncio.sleep(3 * CALM_LOOK_S)
    assert telling.broker.sent == [b"1"]

    telling.clock_ms = PATIENCE_MS
    await asyncio.sleep(3 * CALM_LOOK_S)
    assert telling.broker.sent == [b"1", b"later r"]
    assert telling.broker.rows == {}

    telling.clock_ms = OVERDUE * 1000
    await asyncio.sleep(3 * CALM_LOOK_S)
    assert telling.broker.rows["head"] == b"1,0"


async def test_one_partition_after_the_other_is_checkpointed_in_a_calm_but_an_overdue_one_at_once(telling: House) -> None:
    telling.broker.may_acknowledge.clear()
    telling.calm.set()
    telling.ledger.began(("in", 2), Standing(0, ""))
    for partition in range(3):
        await telling.shell.on_batch("event", batch(0, b"a", partition=partition))
    telling.clock_ms = 1000
    for partition in range(2):
        await telling.shell.on_batch("event", batch(1, b"a", partition=partition))
    await some_turns()
    assert telling.writing() == [0]

    telling.clock_ms = OVERDUE * 1000
    await telling.shell.on_batch("event", batch(1, b"a", partition=2))
    await some_turns()
    assert telling.writing() == [0, 2]

    telling.broker.may_acknowledge.set()
    await some_turns(20)
    assert telling.broker.log.count("rows") == 3


async def test_what_may_wait_is_said_by_whoever_reads_it_again_if_the_log_does_not_go_on(telling: House) -> None:
    await telling.shell.on_batch("event", batch(0, b"r"))
    await telling.shell.on_batch("event", batch(5, b"a"))
    telling.calm.set()
    await some_turns()
    assert telling.seeks == [("in", 0)]
    assert telling.broker.sent == [b"1"]

    await telling.shell.on_batch("event", batch(0, b"r"))
    await some_turns()

    assert telling.broker.sent == [b"1", b"1", b"later r"]


async def test_before_the_worker_stops_what_may_wait_is_said(telling: House) -> None:
    await telling.shell.on_batch("event", batch(0, b"r"))
    await telling.shell.hand_over()

    assert telling.broker.sent == [b"1", b"later r"]
    assert telling.broker.rows["head"] == b"1,0"

    telling.clock_ms += 1000
    telling.calm.set()
    await some_turns()

    assert telling.broker.log.count("rows") == 1


async def test_what_may_wait_is_not_said_of_a_partition_that_was_given_up(telling: House) -> None:
    await telling.shell.on_batch("event", batch(0, b"r"))
    telling.shell.revoked({("in", 0)})
    telling.calm.set()
    await some_turns()

    assert telling.broker.sent == [b"1"]


async def test_of_a_stage_that_failed_at_what_may_wait_nothing_is_written(telling: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await telling.shell.on_batch("event", batch(0, b"r"))

    async def refused(*_: Any) -> list[Sent]:
        raise BrokerError("no")

    monkeypatch.setattr(telling.broker, "send_run", refused)
    monkeypatch.setattr(telling.broker, "send", refused)
    telling.calm.set()
    await some_turns()
    telling.clock_ms = 10_000

    with pytest.raises(BrokerError, match="no"):
        await telling.shell.tick()
    assert telling.shell.stages() == {}


async def test_outputs_are_published_in_order_and_committed_only_at_a_checkpoint(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a", b"bb"))

    assert house.broker.sent == [b"1", b"3"]
    assert house.ledger.standing(("in", 0)) == Standing(0, "")

    house.clock_ms = 1000
    await house.shell.tick()

    standing = house.ledger.standing(("in", 0))
    assert standing is not None
    assert standing.next_offset == 2


async def test_rows_are_written_only_after_every_output_was_acknowledged(house: House) -> None:
    house.broker.may_acknowledge.clear()
    await house.shell.on_batch("event", batch(0, b"a"))
    house.clock_ms = 1000
    task = asyncio.create_task(house.shell.tick())
    await some_turns()

    assert "rows" not in house.broker.log

    house.broker.may_acknowledge.set()
    await task

    assert house.broker.log == ["acknowledged", "rows"]


async def test_a_checkpoint_waits_while_what_goes_first_has_something_to_do_but_not_for_ever(house: House) -> None:
    house.is_pressing = True
    await house.shell.on_batch("event", batch(0, b"a"))
    house.clock_ms = OVERDUE * 1000 - 1
    await house.shell.tick()
    assert "rows" not in house.broker.log

    house.clock_ms = OVERDUE * 1000
    await house.shell.tick()
    assert house.broker.log.count("rows") == 1

    house.clock_ms += OVERDUE * 1000
    await house.shell.on_batch("event", batch(1, b"b"))
    await some_turns()
    assert house.broker.log.count("rows") == 2

    house.clock_ms += 1000
    await house.shell.on_batch("event", batch(2, b"b"))
    await some_turns()
    assert house.broker.log.count("rows") == 2

    house.is_pressing = False
    house.calm.set()
    await some_turns()
    assert house.broker.log.count("rows") == 3


async def test_a_stage_goes_on_while_its_checkpoint_is_written_which_holds_nothing_of_what_comes_meanwhile(house: House) -> None:
    house.broker.may_acknowledge.clear()
    await house.shell.on_batch("event", batch(0, b"a"))
    house.clock_ms = 1000
    task = asyncio.create_task(house.shell.tick())
    await asyncio.sleep(0)
    await house.shell.on_batch("event", batch(1, b"bb"))

    assert house.broker.sent == [b"1", b"3"]

    house.broker.may_acknowledge.set()
    await task

    assert house.broker.rows["head"] == b"1,0"
    assert house.ledger.standing(("in", 0)) == Standing(1, "")


async def test_a_checkpoint_that_the_broker_refuses_ends_the_shell(house: House) -> None:
    async def refuse(*_: Any) -> None:
        raise BrokerError("no room")

    house.broker.write = refuse  # type: ignore[method-assign]
    await house.shell.on_batch("event", batch(0, b"a"))
    house.clock_ms = 1000
    with pytest.raises(BrokerError, match="no room"):
        await house.shell.tick()

    with pytest.raises(BrokerError, match="no room"):
        await house.shell.on_batch("event", batch(1, b"a"))


async def test_a_restored_stage_skips_what_its_rows_hold(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a", b"bb"))
    house.clock_ms = 1000
    await house.shell.tick()
    house.ledger.forget(("in", 0))
    house.ledger.began(("in", 0), Standing(0, ""))  # the commit was lost: everything is read again
    again = house.new_shell()

    await again.on_batch("event", batch(0, b"a", b"bb", b"ccc"))

    assert house.broker.sent == [b"1", b"3", b"6"]


async def test_what_does_not_belong_on_the_topic_becomes_a_dead_letter_and_the_stage_goes_on(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a", b"garbage", b"bb"))

    assert house.broker.sent == [b"1", b"garbage", b"3"]


async def test_a_batch_that_does_not_go_on_is_sought_again_and_not_folded(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a"))
    await house.shell.on_batch("event", batch(5, b"zzzz"))

    assert house.broker.sent == [b"1"]
    assert house.seeks == [("in", 0)]
    assert house.observer.jumps == [(1, 5)]


async def test_a_batch_that_does_not_go_on_waits_for_the_writes_of_its_own_partition_only(house: House) -> None:
    may_write = [asyncio.Event(), asyncio.Event()]

    async def write(_event: Any, partition: int, _changes: Mapping[str, bytes | None]) -> None:
        await may_write[partition].wait()

    house.broker.write = write  # type: ignore[method-assign]
    house.ledger.began(("in", 1), Standing(0, ""))
    for partition in (0, 1):
        await house.shell.on_batch("event", batch(0, b"a", partition=partition))
    house.clock_ms = 1000
    tasks = [asyncio.create_task(house.shell.tick())]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(house.shell.on_batch("event", batch(5, b"z", partition=partition))) for partition in (0, 1)]
    sought = []
    for gate in may_write:
        for _ in range(20):
            await asyncio.sleep(0)
        sought.append(list(house.seeks))
        gate.set()
    await asyncio.gather(*tasks)

    assert [*sought, house.seeks] == [[], [("in", 0)], [("in", 0), ("in", 1)]]


async def test_a_checkpoint_that_is_cut_off_before_it_begins_ends_the_hand_over_too(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a"))
    house.clock_ms = 1000
    before = asyncio.all_tasks()
    ticking = asyncio.create_task(house.shell.tick())
    await asyncio.sleep(0)
    (writing,) = asyncio.all_tasks() - before - {ticking}
    writing.cancel()

    with pytest.raises(BrokerError, match="cut off"):
        await asyncio.wait_for(house.shell.hand_over(), 1)
    with pytest.raises(BrokerError, match="cut off"):
        await ticking


async def test_a_gap_that_the_log_itself_has_is_gone_over_the_second_time(house: House) -> None:
    house.ledger.forget(("in", 0))
    house.ledger.began(("in", 0), Standing(3, ""))
    await house.shell.on_batch("event", batch(9, b"a"))
    await house.shell.on_batch("event", batch(9, b"a"))

    assert house.broker.sent == [b"1"]


async def test_a_topic_that_begins_again_below_is_refused_with_what_to_do(house: House) -> None:
    house.ledger.forget(("in", 0))
    house.ledger.began(("in", 0), Standing(7, ""))
    await house.shell.on_batch("event", batch(0, b"a"))

    with pytest.raises(StateError, match="TOCSIN_APP_ID"):
        await house.shell.on_batch("event", batch(0, b"a"))


async def test_a_revoked_partition_writes_nothing_more(house: House) -> None:
    house.broker.may_acknowledge.clear()
    await house.shell.on_batch("event", batch(0, b"a"))
    house.clock_ms = 1000
    task = asyncio.create_task(house.shell.tick())
    for _ in range(5):
        await asyncio.sleep(0)
    house.shell.revoked({("in", 0)})
    house.broker.may_acknowledge.set()
    await task

    assert "rows" not in house.broker.log
    assert house.ledger.standing(("in", 0)) == Standing(0, "")


async def test_what_was_refused_once_is_refused_again_after_the_partition_was_read_properly(house: House) -> None:
    stale = batch(2, b"zzzz")
    await house.shell.on_batch("event", stale)
    await house.shell.on_batch("event", batch(0, b"a", b"bb", b"c"))
    house.ledger.forget(("in", 0))
    house.shell.revoked({("in", 0)})
    house.ledger.began(("in", 0), Standing(0, ""))

    await house.shell.on_batch("event", stale)

    assert house.seeks == [("in", 0), ("in", 0)]
    assert house.broker.sent == [b"1", b"3", b"4"]


class Long(Adding):
    """A stage that has very much to say of one record, and counts how much of it was made."""

    n_made = 0

    def step(self, record: InRecord, now_ms: int) -> Iterable[OutRecord]:
        super().step(record, now_ms)
        return self.said()

    def said(self) -> Iterator[OutRecord]:
        for n in range(20_000):
            Long.n_made += 1
            yield OutRecord(topic="sums", key="k", value=str(n).encode())


async def test_what_one_record_makes_is_made_as_the_broker_takes_it_and_counts_as_work(house: House) -> None:
    Long.n_made = 0
    house.shell._restore = lambda _partition, rows: Long(rows)
    house.broker.may_acknowledge.clear()
    task = asyncio.create_task(house.shell.on_batch("event", batch(0, b"a")))
    for _ in range(100):
        await asyncio.sleep(0)
    made, done = Long.n_made, house.shell.work()[("in", 0)]

    house.broker.may_acknowledge.set()
    await task

    assert 0 < done <= made <= MAX_PENDING + 2 * SLICE
    assert house.shell.work()[("in", 0)] == 20_000
    assert house.broker.sent == [str(n).encode() for n in range(20_000)]


async def test_bounds_that_a_stage_reached_are_told_as_they_grow(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a"))
    await house.shell.on_batch("event", batch(1, b"aa", b"aaaaaa"))

    assert house.observer.bounds == [("in", {Evicted.DETECTORS: 3})]


async def test_before_the_worker_stops_everything_is_checkpointed_and_snapshots_are_taken(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a", b"bb"))

    await house.shell.hand_over()

    assert house.broker.rows == {"head": b"3,1", "snapshot": b"whole"}
    assert house.broker.log == ["acknowledged", "acknowledged", "rows"]
    assert house.ledger.standing(("in", 0)) == Standing(2, "")


async def test_a_partition_that_was_revoked_is_not_handed_over(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a"))
    house.shell.revoked({("in", 0)})

    await house.shell.hand_over()

    assert house.broker.rows == {}


async def test_after_a_hand_over_that_was_cut_off_nothing_is_folded_or_checkpointed_any_more(house: House) -> None:
    await house.shell.on_batch("event", batch(0, b"a"))
    house.broker.may_acknowledge.clear()
    await house.shell.on_batch("event", batch(1, b"bb"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(house.shell.hand_over(), 0.01)
    house.broker.may_acknowledge.set()
    house.clock_ms = 5000

    await house.shell.on_batch("event", batch(2, b"ccc"))
    await house.shell.tick()

    assert house.broker.sent == [b"1", b"3"]
    assert house.broker.rows == {}
    assert house.ledger.standing(("in", 0)) == Standing(0, "")


async def test_a_record_batch_that_was_refused_is_a_dead_letter_that_the_stage_never_sees(house: House) -> None:
    why = RefusedBatch(RejectReason.BATCH_TOO_LARGE, "too large", 5)
    refused = msgspec.structs.replace(
        batch(0, b"a"), records=[InRecord(0, 0, None, b"a", (), why), InRecord(6, 0, None, b"bb")], next_offset=7
    )

    await house.shell.on_batch("event", refused)

    assert house.broker.sent == [b"a", b"2"]
    assert house.observer.bounds[0] == ("in", {Limit.BATCH_BYTES: 1})


class Wordy(Adding):
    """A stage that says a hundred things of each record; the fiftieth of the second one cannot be made."""

    def step(self, record: InRecord, now_ms: int) -> Iterable[OutRecord]:
        super().step(record, now_ms)
        return (self.made(record.offset, n) for n in range(100))

    def made(self, offset: int, n: int) -> OutRecord:
        if (offset, n) == (1, 50):
            raise RuntimeError("it cannot be made")
        return OutRecord(topic="sums", key="k", value=f"{offset}/{n}".encode(), partition=0)


class Placed(Adding):
    """A stage whose every step takes a while, and says one thing for a partition that it names."""

    step_ms = 0
    house: House

    def step(self, record: InRecord, now_ms: int) -> Iterable[OutRecord]:
        Placed.house.clock_ms += Placed.step_ms
        return [msgspec.structs.replace(output, partition=0) for output in super().step(record, now_ms)]


@pytest.mark.parametrize(("step_ms", "sizes"), [(0, [SLICE, 18]), (GATHER_MS, [2] * 25), (GATHER_MS - 1, [3] * 10 + [2] + [3] * 6)])
async def test_what_steps_say_is_sent_together_but_does_not_wait_for_long(
    house: House, monkeypatch: pytest.MonkeyPatch, step_ms: int, sizes: list[int]
) -> None:
    monkeypatch.setattr("tests.agents.test_stage_shell.Adding", Placed)
    Placed.house, Placed.step_ms = house, step_ms
    runs: list[int] = []
    real = house.broker.send_run

    async def counted(topic: str, partition: int, records: Sequence[RunRecord]) -> list[Sent]:
        runs.append(len(records))
        return await real(topic, partition, records)

    house.broker.send_run = counted  # type: ignore[method-assign]
    await house.shell.on_batch("event", batch(0, *[b"a"] * 50))

    assert runs == sizes
    assert house.broker.sent == [b"%d" % (n + 1) for n in range(50)]
    assert house.shell.work()[("in", 0)] == 50


async def test_what_waited_to_be_sent_is_not_when_its_partition_was_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class GivingUp(Placed):
        def step(self, record: InRecord, now_ms: int) -> Iterable[OutRecord]:
            if record.offset == 5:
                house.shell.revoked({("in", 0)})
            return super().step(record, now_ms)

    monkeypatch.setattr("tests.agents.test_stage_shell.Adding", GivingUp)
    Placed.house, Placed.step_ms = house, 0

    await house.shell.on_batch("event", batch(0, *[b"a"] * 10))

    assert house.broker.sent == []
    assert house.shell.stages() == {}


async def test_of_a_stage_whose_rows_could_not_be_taken_none_are_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Adding):
        n_taken = 0

        def take_changes(self) -> dict[str, bytes | None]:
            Failing.n_taken += 1
            if Failing.n_taken == 1:
                raise MemoryError
            return super().take_changes()

    monkeypatch.setattr("tests.agents.test_stage_shell.Adding", Failing)
    await house.shell.on_batch("event", batch(0, b"a"))
    house.clock_ms = 1000

    with pytest.raises(MemoryError):
        await house.shell.tick()
    await house.shell.hand_over()

    assert "rows" not in house.broker.log
    assert house.ledger.standing(("in", 0)) == Standing(0, "")


async def test_of_a_record_whose_outputs_were_sent_in_part_nothing_is_checkpointed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.agents.test_stage_shell.Adding", Wordy)
    await house.shell.on_batch("event", batch(0, b"a"))
    with pytest.raises(RuntimeError, match="cannot be made"):
        await house.shell.on_batch("event", batch(1, b"b"))
    house.clock_ms = 10_000

    await house.shell.tick()
    await house.shell.hand_over()

    assert house.broker.rows == {}
    assert house.ledger.standing(("in", 0)) == Standing(0, "")


async def test_a_partition_that_is_given_up_is_not_spoken_for_any_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.agents.test_stage_shell.Adding", Wordy)
    real = house.broker.send_run

    async def revoking(topic: str, partition: int, records: Sequence[RunRecord]) -> list[Sent]:
        house.shell.revoked({("in", 0)})
        return await real(topic, partition, records)

    house.broker.send_run = revoking  # type: ignore[method-assign]
    await house.shell.on_batch("event", batch(0, b"a", b"b"))

    assert len(house.broker.sent) == SLICE
    assert house.broker.rows == {}


async def test_no_checkpoint_is_begun_behind_one_that_failed_while_a_batch_was_in_work(house: House) -> None:
    refused, may_send = asyncio.Event(), asyncio.Event()
    real_write, real_send = house.broker.write, house.broker.send

    async def write(event: Any, partition: int, changes: Mapping[str, bytes | None]) -> None:
        if not refused.is_set():
            refused.set()
            raise BrokerError("no room")
        await real_write(event, partition, changes)

    async def slow(*given: Any) -> Any:
        await may_send.wait()
        return await real_send(*given)

    await house.shell.on_batch("event", batch(0, b"a"))
    house.broker.write = write  # type: ignore[method-assign]
    house.broker.send = slow  # type: ignore[method-assign]
    house.clock_ms = 1000
    ticking = asyncio.create_task(house.shell.tick())
    working = asyncio.create_task(house.shell.on_batch("event", batch(1, b"b")))
    await refused.wait()
    house.clock_ms = 10_000
    may_send.set()
    await asyncio.gather(ticking, working, return_exceptions=True)
    await some_turns()

    assert house.broker.rows == {}
    assert house.ledger.standing(("in", 0)) == Standing(0, "")
