"""A world for the window protocol: real readers and stages, shells that crash anywhere, zombies, and a truth of its own."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.analyse.windows import WindowParams, WindowStage, restore
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.directory import Directory
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, applied_of
from pipeline.ingest.source import Owner, SourceParams, SourceReader

T0 = 1_700_000_100_000  # a multiple of 300 s
TOPICS = {"telemetry.metrics": 2, "tocsin.changes": 1}
SOURCES = ("telemetry.metrics/0", "telemetry.metrics/1", "tocsin.changes/0")
TARGETS = 2
SERVICES = 6
CONFIG = IngestConfig(chunk_records=40, chunk_ms=15_000, max_templates=1)
PARAMS = WindowParams(grace_ms=20_000, refresh_ms=2_000, max_templates=2)
LAG = 1_500  # moves before the changelog is compacted: a zombie's life, and the time to the next whole checkpoint


@dataclass
class Rules:
    """What the shells hold to; a test breaks them one at a time."""

    commits_after_acks: bool = True
    commits_at_chunk_ends_only: bool = True
    head_is_written_last: bool = True
    recovery_takes_highest_applied: bool = True
    rows_are_written_in_order: bool = True
    params: WindowParams = PARAMS


@dataclass
class Log:
    """One life of a source topic's partition; records become visible at their time."""

    epoch: int
    records: list[tuple[int, InRecord]] = field(default_factory=list)


@dataclass
class World:
    seed: int
    rules: Rules = field(default_factory=Rules)
    truth: dict[tuple[str, int, int], int] = field(default_factory=lambda: defaultdict(int))
    n_bad: int = 0
    n_crashes: int = 0
    signals: list[OutRecord] = field(default_factory=list)
    dead_letters: list[OutRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = T0
        self.moves = 0
        self.generation = 0
        self.logs = {source: self.make_log(source, epoch=0, begin=T0) for source in SOURCES}
        self.recreated = self.rng.choice([None, "telemetry.metrics/0"])
        self.committed: dict[str, tuple[int, int, int | None]] = dict.fromkeys(SOURCES, (0, 0, None))
        self.partials: list[list[bytes]] = [[] for _ in range(TARGETS)]
        self.changelogs: list[list[tuple[int, str, bytes | None]]] = [[] for _ in range(TARGETS)]
        self.window_commits = [0] * TARGETS
        self.bytes = self.rng.choice([900, 524_288])
        self.end = max(log.records[-1][0] for log in self.logs.values())
        self.owners: dict[str, IngestShell] = {}
        self.windows: dict[int, WindowShell] = {}
        for source in SOURCES:
            self.take_over(source)
        for target in range(TARGETS):
            self.windows[target] = WindowShell(self, target)

    def make_log(self, source: str, *, epoch: int, begin: int) -> Log:
        rng, log, offset, time = self.rng, Log(epoch), 0, begin + self.rng.randint(0, 5_000)
        is_changes = source.startswith("tocsin.changes")
        for _ in range(rng.randint(2, 6) if is_changes else rng.randint(50, 250)):
            offset += 1 if rng.random() < 0.95 else rng.randint(2, 5)  # gaps: transaction markers, compaction
            usual = rng.random() < (0.5 if is_changes else 0.98)
            time += int(rng.expovariate(3 if usual else 0.05) * 1000)
            timestamp = time + rng.randint(-500, 500)
            value = self.make_change(timestamp) if is_changes else self.make_value(time, timestamp, begin)
            log.records.append((time, InRecord(offset, timestamp, None, value)))
        return log

    def make_value(self, time: int, timestamp: int, begin: int) -> bytes:
        rng = self.rng
        if rng.random() < 0.02:
            self.n_bad += 1
            return b"not json"
        at = time - int((rng.expovariate(1) if rng.random() < 0.97 else rng.uniform(0, 60)) * 1000)
        at = min(at, timestamp)
        service = f"s{rng.randrange(SERVICES)}"
        wide = {"s4": 60, "s5": 300}.get(service, 0) if time > begin + 20_000 and rng.random() < 0.5 else 0
        record = {"service": service, "time": at}
        size = 10_000
        if wide:
            record |= {"kind": "summary", "interval_s": wide, "requests": 10, "errors": 1}
            size = wide * 1000
        else:
            record |= {"kind": "request", "status": 200, "duration_ms": rng.randint(1, 500), "operation": rng.choice("ab")}
            if at % 3 == 0:
                said = f"{('slow', 'lost', 'full', 'late')[at % 4]} after {at} ms"
                record |= {"kind": "log", "severity": "warn" if at % 2 else "info", "body": said}
        place = at - 1 if wide else at
        self.truth[f"default/{service}", place // size * size, size] += 1
        return json.dumps(record).encode()

    def make_change(self, timestamp: int) -> bytes:
        service = f"s{self.rng.randrange(SERVICES)}"
        self.truth[f"default/{service}", timestamp // 10_000 * 10_000, 10_000] += 1
        kind = self.rng.choice(["deploy", "retirement"])
        return json.dumps({"kind": "change", "service": service, "time": timestamp, "type": kind}).encode()

    def take_over(self, source: str) -> None:
        self.generation += 1  # a rebalance; the living learn of it, zombies do not
        self.owners[source] = IngestShell(self, source)

    def recreate(self) -> None:
        """The topic is made anew once its owner has flushed all of the old one."""
        source = self.recreated
        if source is None:
            return
        old, owner = self.logs[source], self.owners[source]
        if self.now < old.records[-1][0] or owner.acked_through < old.records[-1][1].offset:
            return
        self.recreated = None
        self.logs[source] = self.make_log(source, epoch=1, begin=self.now)
        self.committed[source] = (1, 0, self.committed[source][2])
        self.end = max(self.end, self.logs[source].records[-1][0])
        self.leave(("ingest", source))
        self.take_over(source)

    def leave(self, actor: tuple[str, Any]) -> None:
        """The owner dies in the middle of what it does, or goes on for a while beside its successor."""
        if actor in self.running and self.rng.random() < 0.5:
            self.zombies.append([self.rng.randint(5, 60), self.running[actor]])
        self.running.pop(actor, None)

    def crash(self, actor: tuple[str, Any]) -> None:
        self.n_crashes += 1
        kind, name = actor
        if kind == "ingest":
            source = name
            if not self.rules.commits_at_chunk_ends_only:
                self.owners[source].cut()
            self.leave(("ingest", source))
            self.take_over(source)
        else:
            target = name
            self.leave(("windows", target))
            self.windows[target] = WindowShell(self, target)

    def run(self) -> None:
        self.running: dict[tuple[str, Any], Iterator[str]] = {}
        self.zombies: list[list[Any]] = []
        actors: list[tuple[str, Any]] = [("ingest", source) for source in SOURCES] + [
            ("windows", target) for target in range(TARGETS)
        ]
        rng = self.rng
        while self.now < self.end + 420_000 or self.zombies or self.recreated:
            is_over = self.now > self.end + 90_000 and not self.recreated
            self.now += int(rng.expovariate(20) * 1000) + (400 if is_over else 0)
            self.moves += 1
            if self.now < self.end + 60_000 and rng.random() < 0.02:
                self.crash(rng.choice(actors))
            self.recreate()
            actor = rng.choice(actors)
            if actor not in self.running:
                kind, name = actor
                self.running[actor] = self.owners[name].work() if kind == "ingest" else self.windows[name].work()
            step = next(self.running[actor], "end")
            if step == "end":
                del self.running[actor]
            elif step == "delicate" and self.now < self.end + 60_000 and rng.random() < 0.03:
                self.crash(actor)
            for zombie in list(self.zombies):
                zombie[0] -= 1
                if zombie[0] < 0 or next(zombie[1], "end") == "end":
                    self.zombies.remove(zombie)
        for work in self.running.values():
            for _ in work:
                pass
        for shell in self.windows.values():
            while shell.position < len(self.partials[shell.target]):
                for _ in shell.work():
                    pass

    def stored_rows(self, target: int) -> dict[str, bytes]:
        """What recovery reads: the highest applied of each row, deletions disregarded; old entries may be compacted."""
        log = self.changelogs[target]
        last = {name: i for i, (at, name, _) in enumerate(log) if self.moves - at >= LAG}
        log[:] = [e for i, e in enumerate(log) if self.moves - e[0] < LAG or (last[e[1]] == i and e[2] is not None)]
        rows: dict[str, bytes] = {}
        for _, name, row in log:
            if row is None:
                if not self.rules.recovery_takes_highest_applied:
                    rows.pop(name, None)
            elif name not in rows or not self.rules.recovery_takes_highest_applied or applied_of(row) >= applied_of(rows[name]):
                rows[name] = row
        return rows


class IngestShell:
    """Owner of one source partition. Every yield is a place where a crash can fall."""

    def __init__(self, world: World, source: str) -> None:
        self.world, self.source = world, source
        self.epoch, position, watermark = world.committed[source]
        self.log = world.logs[source]
        self.generation = world.generation
        self.heard = world.now
        self.acked_through = -1
        self.reader = SourceReader(
            config=CONFIG,
            params=SourceParams(max_bundle_bytes=world.bytes),
            source=source,
            epoch=self.epoch,
            position=position,
            watermark_ms=watermark,
        )

    def owner(self, *, is_caught_up: bool) -> Owner:
        if self.world.owners.get(self.source) is self:
            self.generation = self.world.generation
        return Owner(
            now_ms=self.world.now,
            generation=self.generation,
            is_caught_up=is_caught_up,
            heard_ms=self.heard,
            partitions=TOPICS,
            n_targets=TARGETS,
        )

    def work(self) -> Iterator[str]:
        rng, position = self.world.rng, self.reader.position
        visible = [record for time, record in self.log.records if record.offset >= position and time <= self.world.now]
        if not visible:
            yield from self.tick(is_caught_up=True)
            return
        self.heard = self.world.now
        batch = visible[: rng.randint(1, 25)]
        while batch:
            outcome = self.reader.read(batch, self.owner(is_caught_up=False))
            end = outcome.chunk_end
            if end is not None and not self.world.rules.commits_after_acks:
                self.commit((end.epoch, end.next_offset, end.watermark_ms))
                yield "delicate"
            yield from self.send(outcome.outputs, step="sent" if end is None else "delicate")
            if end is not None:
                self.commit((end.epoch, end.next_offset, end.watermark_ms))
                yield "delicate"
                self.reader.begin_chunk(CONFIG)
            batch = batch[outcome.n_read :]
        yield from self.tick(is_caught_up=False)

    def tick(self, *, is_caught_up: bool) -> Iterator[str]:
        through = self.reader.position - 1
        outputs = self.reader.tick(self.owner(is_caught_up=is_caught_up))
        yield from self.send(outputs)
        if outputs and not self.reader.holds_back:
            self.acked_through = through

    def send(self, outputs: list[OutRecord], step: str = "sent") -> Iterator[str]:
        for output in outputs:
            assert output.value is not None
            if output.topic == "partials":
                assert output.partition is not None
                self.world.partials[output.partition].append(output.value)
            else:
                self.world.dead_letters.append(output)
            yield step

    def commit(self, progress: tuple[int, int, int | None]) -> None:
        if progress[:2] > self.world.committed[self.source][:2]:
            self.world.committed[self.source] = progress

    def cut(self) -> None:
        """What must not be done: end the chunk because the owner goes."""
        outputs = self.reader._flush(self.owner(is_caught_up=False), watermark_ms=None, whole=True)
        for _ in self.send(outputs):
            pass
        self.commit((self.epoch, self.reader.position, None))


class WindowShell:
    """Owner of one target partition: a table with its changelog; the committed offset stays behind the checkpoints."""

    def __init__(self, world: World, target: int) -> None:
        self.world, self.target = world, target
        self.position = world.window_commits[target]
        self.stage: WindowStage = restore(world.rules.params, Directory(), target, world.stored_rows(target))

    def work(self) -> Iterator[str]:
        world = self.world
        for _ in range(world.rng.randint(1, 12)):
            if self.position >= len(world.partials[self.target]):
                return
            if self.position > self.stage.applied:
                value = world.partials[self.target][self.position]
                for output in self.stage.step(InRecord(self.position, world.now, None, value), world.now):
                    world.signals.append(output)
                    yield "sent"
            self.position += 1
            if world.rng.random() < 0.1:
                yield from self.checkpoint()

    def checkpoint(self) -> Iterator[str]:
        world = self.world
        changes = list(self.stage.take_changes().items())
        if not world.rules.rows_are_written_in_order:
            changes = [*reversed(changes[:-1]), *changes[-1:]]
        if not world.rules.head_is_written_last:
            changes = [*changes[-1:], *changes[:-1]]
        for name, row in changes:
            world.changelogs[self.target].append((world.moves, name, row))
            yield "delicate"
        assert not changes or HEAD in dict(changes)
        if world.windows.get(self.target) is self:  # the group refuses a zombie's commit
            world.window_commits[self.target] = max(world.window_commits[self.target], self.position)
        yield "committed"
