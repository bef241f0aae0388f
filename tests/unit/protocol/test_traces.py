"""Edges from a sample of traces: caller's and callee's spans come in different messages, in any order, and still meet."""

import random
from collections.abc import Iterable

import msgspec
import pytest

from pipeline.adapters.tables import MAX_ROW_BYTES
from pipeline.analyse import traces
from pipeline.analyse.windows import WindowParams, WindowStage, restore
from pipeline.contracts.codec import encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.partials import Bundle, Partial
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.topology import Edge
from pipeline.contracts.trace_samples import (
    ENVIRONMENT,
    MAX_NAME_BYTES,
    MAX_STUBS,
    SERVICE,
    SpanStub,
    TraceSample,
    hash_below,
    is_below,
    stub_key,
)
from tests.unit.protocol.test_window_stage import store

T0 = 1_700_000_100_000
MINUTES_5 = 300_000
EDGE = "prod/web->service:prod/cart (sampled)"
DAY_MS = 86_400_000


def test_the_test_begins_with_five_minutes() -> None:
    assert T0 % MINUTES_5 == 0


def sample(spans: Iterable[tuple[int, SpanStub]], share: float = 1.0) -> TraceSample:
    """Return the sample of single spans of traces with these numbers; one service has one span in each."""
    kept = TraceSample(share=share)
    for trace, stub in spans:
        own = CART if stub.service == "prod/cart" else WEB
        kept.add(stub_key(hash_below(trace.to_bytes(16, "big"), 1.0), own), stub, MAX_STUBS)
    return kept


WEB, CART = "0" * 15 + "a", "0" * 15 + "b"


def calling(*traces_: int, failed: bool = False) -> list[tuple[int, SpanStub]]:
    return [(trace, SpanStub(service="prod/web", failed=failed)) for trace in traces_]


def called(*traces_: int) -> list[tuple[int, SpanStub]]:
    return [(trace, SpanStub(service="prod/cart", parent=WEB)) for trace in traces_]


class Desk:
    """A window stage that two sources feed."""

    def __init__(self, **params: int) -> None:
        self.params = WindowParams(**params)
        self.stage: WindowStage = restore(self.params, Directory(), 0, {})
        self.rows: dict[str, bytes] = {}
        self.offset = -1
        self.said: list[OutRecord] = []

    def send(self, source: int, watermark_s: int, *samples: tuple[int, TraceSample]) -> dict[str, Edge | None]:
        """Send samples, each with the number of its five minutes since T0; return what is said of edges."""
        self.offset += 1
        partials = [
            Partial(
                environment=ENVIRONMENT,
                service=SERVICE,
                start_ms=T0 + at * MINUTES_5,
                size_ms=MINUTES_5,
                readings=len(own.stubs),
                traces=own,
            )
            for at, own in samples
        ]
        bundle = Bundle(
            source=f"t/{source}", chunk=self.offset, through=self.offset, watermark_ms=T0 + watermark_s * 1000,
            partitions={"t": 2}, partials=partials,
        )  # fmt: skip
        said = list(self.stage.step(InRecord(self.offset, T0, None, encode(bundle)), 0))
        self.said += said
        return {
            out.key: None if out.value is None else msgspec.json.decode(out.value, type=Edge)
            for out in said
            if out.topic == "topology"
        }

    def close(self, watermark_s: int) -> dict[str, Edge | None]:
        return self.send(0, watermark_s) | self.send(1, watermark_s)

    def restart(self) -> None:
        store(self.stage, self.rows)
        self.stage = restore(self.params, Directory(), 0, self.rows)


def test_spans_of_two_sources_make_an_edge_with_its_rate_whichever_comes_first() -> None:
    for order in (0, 1):
        desk = Desk()
        parts = [(0, (0, sample([*calling(1, 2), *calling(3, failed=True)]))), (1, (0, sample(called(1, 2, 3, 4))))]
        for source, part in reversed(parts) if order else parts:
            desk.send(source, 100, part)

        assert desk.close(359) == {}
        assert desk.close(360) == {
            EDGE: Edge(
                environment="prod", service="web", version="", callee_kind=traces.CalleeKind.SERVICE, callee_environment="prod",
                callee="cart", window_start_ms=T0, window_end_ms=T0 + MINUTES_5, calls=3, errors=1, calls_per_minute=0.6,
                errors_per_minute=0.2, last_seen_ms=T0 + MINUTES_5, sampled_share=1.0,
            )
        }  # fmt: skip
        assert desk.close(700) == {}
        assert {out.topic for out in desk.said} == {"topology"}, "a sample has no windows, and is no service"


def test_a_callers_span_may_end_in_the_five_minutes_after_or_before() -> None:
    desk = Desk()
    desk.send(0, 290, (0, sample([*called(1), *calling(2)])))
    desk.send(1, 310, (1, sample([*calling(1), *called(2)])))

    first, second = desk.close(360)[EDGE], desk.close(660)[EDGE]

    assert first is not None
    assert second is not None
    assert (first.calls, second.calls, second.window_start_ms) == (1, 1, T0 + MINUTES_5)


def test_what_a_chunk_says_again_counts_once() -> None:
    desk = Desk()
    for n in (1, 2, 3):
        desk.send(0, 100, (0, sample(calling(*range(n)))))
        desk.send(1, 100, (0, sample(called(*range(n)))))

    edge = desk.close(360)[EDGE]

    assert edge is not None
    assert edge.calls == 3


def test_what_comes_when_its_edges_are_told_changes_nothing() -> None:
    desk = Desk()
    desk.send(0, 100, (0, sample(calling(1, 2))))
    desk.send(1, 100, (0, sample(called(1))))
    desk.close(360)

    assert desk.send(1, 361, (0, sample(called(2)))) == {}
    assert desk.close(1_500) == {}


@pytest.mark.parametrize("at", range(8))
def test_a_restart_at_any_place_says_the_same(at: int) -> None:
    def run(restarts_at: int | None) -> list[OutRecord]:
        desk = Desk(edge_max_age_ms=1_000_000)
        draw = random.Random(5)
        for step in range(8):
            if step == restarts_at:
                desk.restart()
            five = step // 2
            make = calling if step % 2 else called
            numbers = range(100 * five, 100 * five + 100)
            desk.send(step % 2, step * 150, (five, sample(make(*draw.sample(numbers, 50)))))
        desk.close(2_500)
        return desk.said

    whole = run(None)

    assert len(whole) == 5, "four times five minutes, and a tombstone"
    assert run(at) == whole


def test_a_checkpoint_that_was_cut_off_before_the_head_says_no_edge_twice() -> None:
    desk = Desk()
    desk.send(0, 100, (0, sample(calling(1))))
    desk.send(1, 100, (0, sample(called(1))))
    desk.send(0, 360)
    desk.restart()
    at = desk.offset
    told = desk.send(1, 360)
    ahead = {name: row for name, row in desk.stage.take_changes().items() if row is not None and name.startswith("profile")}
    desk.stage = restore(desk.params, Directory(), 0, desk.rows | ahead)
    desk.offset = at

    assert told.keys() == {EDGE}
    assert desk.send(1, 360) == {}, "it was said before the row was written"


def test_a_share_is_reckoned_in() -> None:
    desk = Desk()
    numbers = range(2_000)
    desk.send(0, 100, (0, sample(calling(*numbers), share=0.25)))
    desk.send(1, 100, (0, sample(called(*numbers), share=0.5)))

    edge = desk.close(360)[EDGE]

    both = sum(is_below(hash_below(i.to_bytes(16, "big"), 1.0), 0.25) for i in numbers)
    assert edge is not None
    assert (edge.sampled_share, edge.calls) == (0.25, both * 4)
    assert edge.calls_per_minute == pytest.approx(400, rel=0.15)


def test_the_bound_holds_and_the_rate_is_still_right() -> None:
    desk = Desk()
    for part in range(8):
        numbers = range(part * 1_000, part * 1_000 + 1_000)
        desk.send(0, 100, (0, sample(calling(*numbers))))
        desk.send(1, 100, (0, sample(called(*numbers))))
    (profile,) = desk.stage._state.profiles.values()

    edge = desk.close(360)[EDGE]

    assert len(profile.samples[T0].stubs) <= MAX_STUBS
    assert edge is not None
    assert edge.sampled_share is not None
    assert edge.sampled_share <= 0.125
    assert edge.calls == pytest.approx(8_000, rel=0.15), "about 1,000 pairs are left of 8,000"


def test_an_edge_not_seen_for_long_is_taken_off_and_its_spans_are_forgotten() -> None:
    desk = Desk(edge_max_age_ms=DAY_MS)
    desk.send(0, 100, (0, sample(calling(1))))
    desk.send(1, 100, (0, sample(called(1))))
    desk.close(360)

    assert desk.close(660) == {}
    assert desk.close(300 + 86_399) == {}
    assert desk.close(300 + 86_400) == {EDGE: None}
    (profile,) = desk.stage._state.profiles.values()
    assert (profile.samples, profile.edges) == ({}, {})


def test_past_the_bound_the_edge_seen_longest_ago_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_EDGES", 1)
    desk = Desk()
    desk.send(0, 100, (0, sample(calling(1))))
    desk.send(1, 100, (0, sample(called(1))))
    assert desk.close(360).keys() == {EDGE}
    other = SpanStub(service="prod/till", parent=WEB)
    desk.send(0, 361, (1, sample([*calling(2), (3, other)])))
    desk.send(1, 361, (1, TraceSample(stubs={stub_key(hash_below((2).to_bytes(16, "big"), 1.0), "c" * 16): other})))

    said = desk.close(660)

    assert said[EDGE] is None
    assert said["prod/web->service:prod/till (sampled)"] is not None


def test_a_source_that_is_hours_ahead_leaves_each_five_minutes_less_room_and_rates_that_are_right() -> None:
    desk = Desk()
    desk.send(1, 0)
    for five in range(40):
        numbers = range(five * 1_000, five * 1_000 + 400)
        desk.send(0, five * 300, (five, sample([*calling(*numbers), *called(*numbers)])))
    (profile,) = desk.stage._state.profiles.values()

    said = [desk.close(five * 300 + 360)[EDGE] for five in range(40)]

    assert len(profile.samples) == 40
    assert sum(len(kept.stubs) for kept in profile.samples.values()) <= traces.MAX_KEPT
    assert sum(edge.calls for edge in said if edge) == pytest.approx(40 * 400, rel=0.1)


def test_the_row_is_never_larger_than_a_changelog_takes() -> None:
    desk = Desk()
    name = "p/" + "\\" * ((MAX_NAME_BYTES - 10) // 2)
    for five in range(3):
        callers = {
            stub_key(hash_below(bytes([i % 256, i // 256, five]), 1.0), WEB): SpanStub(service=f"{name}{i:04}")
            for i in range(MAX_STUBS // 2)
        }
        callees = {stub_key(key[:16], CART): SpanStub(service=stub.service, parent=WEB) for key, stub in callers.items()}
        desk.send(0, five * 300, (five, TraceSample(stubs=callers | callees)))
        desk.send(1, five * 300)
    desk.close(960 - 1)

    (row,) = [row for key, row in desk.stage.take_changes().items() if key.startswith("profile") and row is not None]
    (profile,) = desk.stage._state.profiles.values()
    assert len(profile.edges) == 1_000
    assert MAX_ROW_BYTES / 4 < len(row) < MAX_ROW_BYTES
