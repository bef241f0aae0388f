"""A checkpoint cut off between any two of its writes: what runs a second time says the same, row by row."""

import random

import msgspec
import pytest

from pipeline.analyse.overlay import Overlay
from pipeline.analyse.window_view import View
from pipeline.analyse.windows import WindowParams, WindowStage, restore
from pipeline.contracts.codec import encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.partials import Bundle, CallPartial, ChangeNote, OperationPartial, Partial
from pipeline.contracts.points import Point, Series, SeriesMeaning
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, applied_of
from pipeline.contracts.trace_samples import ENVIRONMENT, SERVICE, SpanStub, TraceSample, hash_below, stub_key

T0 = 1_700_000_100_000
PARAMS = WindowParams(grace_ms=20_000, silence_max_ms=60_000, revisions_before_delay=2)
EVERY = 9


def bundles(seed: int) -> list[InRecord]:
    """Two sources whose chunks hold a few services each: in time, late, wide, retiring; some with cumulative series."""
    rng, at, chunk = random.Random(seed), 0, [0, 0]
    made: list[InRecord] = []
    points: list[dict[tuple[str, int, int], dict[str, Series]]] = [{}, {}]
    totals: list[dict[tuple[str, int, int], int]] = [{}, {}]
    for offset in range(81):
        source = rng.randrange(2)
        at += rng.choice([1_000, 3_000, 6_000])
        if rng.random() < 0.2:
            chunk[source], totals[source], points[source] = offset, {}, {}
        partials: list[Partial] = []
        for _ in range(rng.randint(0, 3)):
            size = rng.choice([10_000] * 12 + [60_000, 300_000])
            start = max(0, T0 + at - rng.choice([0, 0, 0, 10_000, 30_000, 60_000])) // size * size
            key = (rng.choice("ab"), start, size)
            n = totals[source][key] = totals[source].get(key, 0) + 1
            changes = [ChangeNote(type="retirement", time_ms=start)] if rng.random() < 0.03 else []
            operations = {"": OperationPartial(requests=n)}
            series = points[source].setdefault(key, {})
            if size == 10_000:
                series = points[source][key] = with_point(rng, series, start)
            partial = Partial(
                environment="p",
                service=key[0],
                start_ms=start,
                size_ms=size,
                readings=n,
                operations=operations,
                changes=changes,
                points=series,
                calls={f"service:p/{rng.choice('cdef')}": CallPartial(calls=n)} if n % 2 else {},
            )
            if key not in {(p.service, p.start_ms, p.size_ms) for p in partials}:
                partials.append(partial)
        if offset % 3:
            partials.append(sampled_spans(seed, offset, source))
        bundle = Bundle(
            source=f"t/{source}",
            chunk=chunk[source],
            through=offset,
            watermark_ms=T0 + at,
            generation=1,
            partitions={"t": 2},
            partials=partials,
        )
        made.append(InRecord(offset, T0, None, encode(bundle)))
    return made


def sampled_spans(seed: int, offset: int, source: int) -> Partial:
    """Spans of traces, callers from one source and callees from the other; their edges are told at T0 + 60 s."""
    rng, kept = random.Random(f"{seed} {offset}"), TraceSample()
    start_ms = T0 - 300_000 if rng.random() < 0.7 else T0
    for trace in rng.sample(range(200), 20):
        stub = SpanStub(service="p/e", parent="0" * 16) if source else SpanStub(service="p/d")
        kept.add(stub_key(hash_below(trace.to_bytes(16, "big"), 1.0), str(source) * 16), stub, most=100)
    return Partial(environment=ENVIRONMENT, service=SERVICE, start_ms=start_ms, size_ms=300_000, readings=20, traces=kept)


def with_point(rng: random.Random, known: dict[str, Series], start: int) -> dict[str, Series]:
    """One more point of one of two counters, which begin anew now and then."""
    name, at = rng.choice(["x", "y"]), start + rng.randint(1, 10_000)
    since = T0 - 600_000 if rng.random() < 0.9 else at - 5_000
    point = Point(time_ms=at, start_ms=since, value=(at - since) // 100)
    meaning = SeriesMeaning(role="requests", operation=name)
    before = known[name].points if name in known else []
    return {**known, name: Series(meaning=meaning, points=[*before, point])}


def identity(output: OutRecord) -> tuple[str, int]:
    if output.topic == "topology":  # a window and a rollup may tell the same edge of the same time
        return f"{output.key} {output.value!r}", 0
    value = msgspec.json.decode(output.value or b"")
    return value["id"], value.get("revision", value.get("through", 0))


def second_run(records: list[InRecord], rows: dict[str, bytes], said: list[list[OutRecord]], written: int) -> None:
    """Run on from what is stored; up to the cut checkpoint a part of the first run may be said, after it all of it."""
    stage = restore(PARAMS, Directory(), 0, rows)
    for record in records[stage.applied + 1 :]:
        again = list(stage.step(record, 0))
        if record.offset > written:
            assert again == said[record.offset], ("after the checkpoint", record.offset)
            continue
        first = {identity(output): output for output in said[record.offset]}
        for output in again:
            assert first.get(identity(output)) == output, ("said something else", record.offset)


def every_cut(seed: int) -> int:
    records = bundles(seed)
    stage: WindowStage = restore(PARAMS, Directory(), 0, {})
    said: list[list[OutRecord]] = []
    stored: dict[str, bytes] = {}
    cuts: list[tuple[dict[str, bytes], int]] = []
    for record in records:
        said.append(list(stage.step(record, 0)))
        if record.offset % EVERY == EVERY - 1:
            for name, row in stage.take_changes().items():
                if row is not None:  # recovery disregards deletions
                    stored[name] = row
                if name != HEAD:
                    cuts.append((dict(stored), record.offset))
    for rows, written in cuts:
        second_run(records, rows, said, written)
    assert applied_of(stored[HEAD]) == records[-1].offset
    assert any(output.key.endswith("(sampled)") for outputs in said for output in outputs)
    return len(cuts)


@pytest.mark.parametrize("seed", range(4))
def test_a_checkpoint_cut_off_after_any_write_leads_to_the_same_signals(seed: int) -> None:
    assert every_cut(seed) > 50


def test_the_cuts_find_a_profile_that_is_used_ahead_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "is_done", lambda _view, _service: False)

    with pytest.raises(AssertionError):
        [every_cut(seed) for seed in range(4)]


def test_the_cuts_find_a_row_that_is_changed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Overlay, "is_ahead", lambda _overlay, _key: False)

    with pytest.raises(AssertionError):
        [every_cut(seed) for seed in range(4)]
