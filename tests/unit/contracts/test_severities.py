"""A severity that nobody knows (a decoder of another package may send one) counts as info, in whatever order lines come."""

import itertools

import pytest

from pipeline.analyse.log_lines import told_lines
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.partials import OTHER_TEMPLATE, Partial, TemplatePartial
from pipeline.contracts.readings import LogReading, Origin
from pipeline.ingest.decoders.kinds import SEVERITY_BY_WORD
from pipeline.ingest.reduce import PartialKey, fold


@pytest.mark.parametrize(
    ("said", "worst"),
    [
        (["notable"], "info"),
        (["notable", "info"], "info"),
        (["notable", "debug", "trace"], "info"),
        (["notable", "warn"], "warn"),
    ],
)
def test_a_severity_that_nobody_knows_is_no_worse_and_no_better_than_info(said: list[str], worst: str) -> None:
    for order in itertools.permutations(said):
        together = TemplatePartial()
        for severity in order:
            together.absorb(1, severity, "a line", 1)
        assert together == TemplatePartial(n=len(said), severity=worst, example="a line", time_ms=1)


def test_its_lines_find_the_room_of_info_and_stand_above_those_of_debug() -> None:
    partials: dict[PartialKey, Partial] = {}
    origin = Origin(environment="prod", service="shop")
    for line, severity in (("quiet", "debug"), ("odd", "notable"), ("odder", "notable")):
        reading = LogReading(origin=origin, time_ms=1_767_571_210_000, severity=severity, is_error=False, text=line)
        fold(partials, reading, IngestConfig(max_templates=2))

    (partial,) = partials.values()
    assert partial.templates.keys() == {"quiet", "odd", OTHER_TEMPLATE}
    assert [*told_lines(partial.templates, 2)] == ["odd", "quiet", OTHER_TEMPLATE]


def test_each_word_is_of_a_severity_that_has_a_rank() -> None:
    assert {*SEVERITY_BY_WORD.values()} == {"trace", "debug", "info", "warn", "error", "fatal"}
