"""What is kept of models: whatever is written when, whoever writes it, the next stage goes on as if nothing had happened."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from benchmarks.restore import Run, Shop, Store, difference
from models.errors import ModelStateError
from pipeline.analyse.detection import DetectionParams, DetectionStage, Surroundings, restore
from pipeline.analyse.detection_params import TemplateParams
from pipeline.analyse.memory import MAX_POINTS, Memory, MemoryParams, phase_ms, points_after
from pipeline.analyse.memory_rows import snapshot_row
from pipeline.analyse.novelty_params import NoveltyParams
from pipeline.contracts.anomalies import Verdict
from pipeline.contracts.codec import encode
from pipeline.contracts.models import MemoryPart, ModelSnapshot, read_snapshot, write_snapshot
from pipeline.contracts.records import InRecord
from pipeline.contracts.rows import HEAD, applied_of, pack
from pipeline.errors import RecordInvalid

AROUND = Surroundings(
    memory=MemoryParams(snapshot_s=60, novelty_snapshot_s=200), novelty=NoveltyParams(mode="alert"), app="tocsin", version="1"
)
PARAMS = DetectionParams(ready_windows=30, templates=TemplateParams(ready_s=300, max_kinds=20))
SNAPSHOT = snapshot_row("prod/service-0", MemoryPart.DETECTORS)
RECORDS = list(Shop(1, 2, 300, rollup_ms=20_000).records())


class Summing:
    """A model that adds numbers up."""

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def fold(self, point: int) -> int:
        self.total += point
        return self.total

    def to_state(self) -> dict[str, Any]:
        return {"total": self.total}


def fed(records: list[InRecord], stage: DetectionStage) -> dict[int, bytes]:
    """Return the verdicts by the offset that caused them."""
    said = {}
    for record in records:
        if record.offset > stage.applied:
            for output in stage.step(record, 0):
                assert output.value is not None
                said[record.offset] = output.value
    return said


def kept(stage: DetectionStage) -> dict[str, bytes]:
    return {name: row for name, row in stage.take_changes().items() if row is not None}


def of(rows: Mapping[str, bytes]) -> DetectionStage:
    return restore(PARAMS, 0, rows, AROUND)


MID = 400
NEXT = next(
    record.offset
    for record in RECORDS[MID:]
    if b'"service":"service-0"' in (record.value or b"") and b"rollup" not in (record.value or b"")
)
"""The first window of service-0 from there on."""
WHOLE = fed(RECORDS, of({}))


def test_log_lines_are_judged_in_these_runs() -> None:
    told = [
        found for value in WHOLE.values() for found in msgspec.json.decode(value, type=Verdict).findings if found.log is not None
    ]

    assert {found.condition for found in told} == {"template_new", "template_rate"}


def crashed(seed: int) -> Run:
    """Return a run that was cut off in the middle of 8 checkpoints."""
    draw = random.Random(seed)
    run = Run(PARAMS, AROUND, set(draw.sample(range(15), 8)), draw)
    run(RECORDS, WHOLE)
    return run


def is_equal(run: Run) -> bool:
    return run.said.keys() == WHOLE.keys() and (run.worst, run.n_cold) == (0.0, 0)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_checkpoint_got_written_before_a_crash_the_verdicts_are_those_of_a_run_without(seed: int) -> None:
    run = crashed(seed)

    assert run.n_restored == 8
    assert is_equal(run)


def points_first(rows: dict[str, bytes | None]) -> dict[str, bytes | None]:
    return dict(reversed(rows.items()))


def novelty_last(rows: dict[str, bytes | None]) -> dict[str, bytes | None]:
    return dict(sorted(rows.items(), key=lambda row: (row[0] == HEAD, "novelty" in row[0])))


@pytest.mark.parametrize("order", [points_first, novelty_last])
def test_the_crashes_find_rows_that_are_written_in_another_order(
    monkeypatch: pytest.MonkeyPatch, order: Callable[[dict[str, bytes | None]], dict[str, bytes | None]]
) -> None:
    taken = DetectionStage.take_changes
    monkeypatch.setattr(DetectionStage, "take_changes", lambda stage: order(taken(stage)))

    assert not all(is_equal(crashed(seed)) for seed in range(20))


@pytest.mark.parametrize("seed", range(6))
def test_a_zombie_that_goes_on_writing_beside_its_successor_does_no_harm(seed: int) -> None:
    draw, store = random.Random(seed), Store("tocsin")
    owner, successor = of({}), None
    positions = [0, 0]
    while positions[1] < len(RECORDS) - 200:
        for who, stage in enumerate((owner, successor)):
            if stage is None or (who == 0 and positions[0] > 400):
                continue
            until = min(len(RECORDS), positions[who] + draw.randint(1, 80))
            fed(RECORDS[positions[who] : until], stage)
            positions[who] = until
            for name, row in stage.take_changes().items():
                store.write(name, row)
        if successor is None and positions[0] > 150:
            successor = of(dict(store.rows))
            positions[1] = successor.applied + 1
            zombie_is_ahead = draw.random() < 0.5
            positions[1] -= 0 if zombie_is_ahead else 40
    third = of(dict(store.rows))

    said = fed(RECORDS[positions[1] :], third)

    assert third.n_cold == 0
    assert len(said) > 50
    assert all(difference(WHOLE[offset], verdict) == 0.0 for offset, verdict in said.items())


def test_a_snapshot_is_not_written_at_every_window_and_services_take_turns() -> None:
    stage, at = of({}), {0: set[int](), 1: set[int]()}
    for i in range(0, len(RECORDS), 2):
        fed(RECORDS[i : i + 2], stage)
        for name in kept(stage):
            if name.startswith("models") and name[-1].isdecimal():
                at[int(name[-1])].add(i)

    assert all(300 / 6 * 0.8 < len(turns) < 300 / 6 * 1.3 for turns in at.values())
    assert phase_ms("prod/service-0", 300_000) != phase_ms("prod/service-1", 300_000)
    assert phase_ms("prod/service-0", 300_000) == phase_ms("prod/service-0", 300_000)


def test_before_a_hand_over_everything_is_in_snapshots() -> None:
    stage = of({})
    fed(RECORDS[:100], stage)
    rows = kept(stage)
    fed(RECORDS[100:110], stage)
    stage.hasten()

    rows |= kept(stage)

    assert read_snapshot(rows[SNAPSHOT]).applied >= 105
    assert stage.take_changes().keys() == {HEAD}


@pytest.mark.parametrize(
    "snapshot",
    [b"", b"{", msgspec.msgpack.encode({"schema": 1}), b"\xc1" * 40],
    ids=["empty", "json", "incomplete", "never-msgpack"],
)
def test_an_unreadable_snapshot_starts_cold_and_is_counted(snapshot: bytes) -> None:
    stage = of({})
    fed(RECORDS[:MID], stage)
    rows = kept(stage) | {SNAPSHOT: snapshot}

    again = of(rows)
    said = fed(RECORDS[MID:], again)

    assert again.n_cold == 1
    assert again.cold_reason.startswith("prod/service-0: ")
    assert said.keys() == {offset for offset in WHOLE if offset >= MID}
    assert b"not_ready" in said[NEXT]


@pytest.mark.parametrize("change", [{"schema": 99}, {"state": {"kind": "service_watch", "v": 99}}, {"state": {}}])
def test_a_snapshot_of_a_version_that_is_not_read_starts_cold_and_is_replaced(change: dict[str, Any]) -> None:
    stage = of({})
    fed(RECORDS[:MID], stage)
    rows = kept(stage)
    rows[SNAPSHOT] = write_snapshot(msgspec.structs.replace(read_snapshot(rows[SNAPSHOT]), **change))

    again = of(rows)
    fed(RECORDS[MID : MID + 100], again)
    rows |= kept(again)
    third = of(rows)
    fed(RECORDS[MID + 100 :], third)

    assert (again.n_cold, third.n_cold) == (1, 0)


def test_a_row_of_the_version_before_is_read() -> None:
    stage = of({})
    fed(RECORDS[:MID], stage)
    rows = kept(stage)
    old = {HEAD: rows[HEAD]}
    for name in ("prod/service-0", "prod/service-1"):
        snapshot = read_snapshot(rows[f"models\t{name}"])
        old[name] = pack(snapshot.applied, encode({"schema": 1, "model": snapshot.state["model"]}))

    again = of(old)
    said = fed(RECORDS[MID:], again)
    changes = again.take_changes()

    assert again.n_cold == 0
    assert changes["prod/service-0"] is None
    assert b"not_ready" not in said[NEXT]


def test_a_snapshot_of_another_app_is_a_warm_start_and_its_offsets_mean_nothing() -> None:
    stage = of({})
    fed(RECORDS[:MID], stage)
    foreign = msgspec.structs.replace(read_snapshot(kept(stage)[SNAPSHOT]), app="other", applied=10**9)

    again = of({SNAPSHOT: write_snapshot(foreign)})
    said = fed(RECORDS[MID:], again)

    assert again.n_cold == 0
    assert b"not_ready" not in said[NEXT]


def test_a_snapshot_of_another_app_from_a_later_time_starts_cold_and_says_so() -> None:
    stage = of({})
    fed(RECORDS[:MID], stage)
    foreign = msgspec.structs.replace(read_snapshot(kept(stage)[SNAPSHOT]), app="other")

    again = of({SNAPSHOT: write_snapshot(foreign)})

    assert fed(RECORDS[:4], again).keys() == {offset for offset in WHOLE if offset < 4}
    assert again.n_cold == 1
    assert "later than the first window" in again.cold_reason


def test_a_missing_point_that_the_head_row_vouches_for_starts_cold() -> None:
    stage, rows = of({}), dict[str, bytes]()
    for i in range(0, 64, 2):
        fed(RECORDS[i : i + 2], stage)
        rows |= kept(stage)
    applied = read_snapshot(rows[SNAPSHOT]).applied
    behind = sorted(
        (applied_of(row), name) for name, row in rows.items() if name.startswith("prod/service-0\t") and applied_of(row) > applied
    )
    assert len(behind) > 1
    slot = behind[0][1]
    stage = of(rows)
    del rows[slot]

    again = of(rows)
    fed(RECORDS[64:], stage)
    fed(RECORDS[64:], again)

    assert stage.n_cold == 0
    assert again.n_cold == 1
    assert "missing" in again.cold_reason


def test_points_above_the_head_row_may_be_cut_off_and_those_at_or_below_the_snapshot_are_left_out() -> None:
    row = {
        slot: pack(offset, msgspec.msgpack.encode((n, n))) for slot, offset, n in [(0, 9, 4), (1, 11, 6), (2, 12, 7), (3, 14, 9)]
    }

    assert points_after(row, n=5, applied=10, head=11, point_type=int) == [(11, 6), (12, 7)]
    with pytest.raises(ModelStateError, match="missing"):
        points_after(row, n=5, applied=10, head=14, point_type=int)


def test_a_memory_with_more_points_than_fit_takes_a_snapshot_before_its_time() -> None:
    memory = Memory(Summing(), 10**9, 0, is_kept=True)
    for i in range(MAX_POINTS + 1):
        memory.fold(i, 1, i)

    taken = memory.take()

    assert taken.state == {"total": MAX_POINTS + 1}
    assert not taken.points


def test_a_snapshot_survives_its_bytes_and_another_schema_is_refused() -> None:
    snapshot = ModelSnapshot(
        app="a", version="1", part=MemoryPart.NOVELTY, environment="e", service="s", applied=3, n=2, at_ms=1, state={"x": [0.1]}
    )

    assert read_snapshot(write_snapshot(snapshot)) == snapshot
    with pytest.raises(RecordInvalid, match="schema 7"):
        read_snapshot(write_snapshot(msgspec.structs.replace(snapshot, schema=7)))
