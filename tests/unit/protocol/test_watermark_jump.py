"""After an outage one bundle makes hours of windows due: they are published as ever, and never held all at once."""

import tracemalloc
from typing import Any

from pipeline.analyse.windows import WindowParams, WindowStage, restore
from pipeline.contracts.codec import encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.partials import Bundle, ChangeNote, OperationPartial, Partial
from pipeline.contracts.records import InRecord, OutRecord

T0 = 1_700_000_100_000  # a multiple of 300 s
HOUR_S = 3600
PARAMS = WindowParams(grace_ms=20_000, silence_max_ms=5 * HOUR_S * 1000)


def partial(service: str, at_s: int, size_s: int = 10, **more: Any) -> Partial:
    return Partial(
        environment="default",
        service=service,
        start_ms=T0 + at_s * 1000,
        size_ms=size_s * 1000,
        readings=1,
        operations={"pay": OperationPartial(requests=1)},
        **more,
    )


class Feed:
    """Bundles of one source into one stage."""

    def __init__(self) -> None:
        self.stage: WindowStage = restore(PARAMS, Directory(), 0, {})
        self.offset = -1

    def step(self, watermark_s: int, *partials: Partial) -> list[OutRecord]:
        self.offset += 1
        bundle = Bundle(
            source="t/0",
            chunk=0,
            through=self.offset,
            watermark_ms=T0 + watermark_s * 1000,
            partitions={"t": 1},
            partials=list(partials),
        )
        return list(self.stage.step(InRecord(self.offset, T0, None, encode(bundle)), 0))


def fed() -> Feed:
    """A service of each kind: usual, with an open window far ahead, with wide windows, about to be retired, ended by a change."""
    feed = Feed()
    gone = ChangeNote(type="retirement", time_ms=T0)
    feed.step(0, partial("usual", 0), partial("ahead", 0), partial("wide", 0), partial("ended", 0, changes=[gone]))
    feed.step(0, partial("ahead", 2 * HOUR_S), partial("wide", 60, 60))
    return feed


def test_one_jump_publishes_the_same_records_as_many_small_steps() -> None:
    at_once, in_steps = fed(), fed()
    end_s = 6 * HOUR_S

    jumped = at_once.step(end_s)
    walked = [output for at_s in range(10, end_s + 10, 10) for output in in_steps.step(at_s)]

    assert len(jumped) > 3_000
    assert sorted(out.value or b"" for out in jumped) == sorted(out.value or b"" for out in walked)


def test_what_is_published_does_not_follow_the_state_that_goes_on() -> None:
    feed, same = fed(), fed()
    bundle = Bundle(source="t/0", chunk=0, through=2, watermark_ms=T0 + HOUR_S * 1000, partitions={"t": 1})

    waiting = feed.stage.step(InRecord(2, T0, None, encode(bundle)), 0)
    feed.offset = 2
    feed.step(4 * HOUR_S, partial("usual", HOUR_S))

    assert list(waiting) == same.step(HOUR_S)


def test_a_jump_of_hours_is_not_held_in_memory() -> None:
    feed = Feed()
    feed.step(0, *(partial(f"s{i}", 0) for i in range(100)))
    bundle = Bundle(source="t/0", chunk=0, through=1, watermark_ms=T0 + 4 * HOUR_S * 1000, partitions={"t": 1})
    tracemalloc.start()
    try:
        outputs = feed.stage.step(InRecord(1, T0, None, encode(bundle)), 0)
        n_bytes = sum(len(output.value or b"") for output in outputs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert n_bytes > 30_000_000
    assert peak < 2_000_000
