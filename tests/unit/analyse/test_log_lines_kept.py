"""Of what is final in a window only so many kinds of log lines are kept: its row has to fit the changelog."""

from pipeline.analyse.contributions import Contribution, WindowRow
from pipeline.analyse.log_lines import MAX_KEPT
from pipeline.contracts.partials import OTHER_TEMPLATE, Partial, TemplatePartial


def contribution(chunk: int) -> Contribution:
    lines = {f"kind {chunk} {i} <*>": TemplatePartial(n=1 + (i == 0), severity="error", example="x") for i in range(100)}
    partial = Partial(environment="prod", service="cart", start_ms=0, size_ms=10_000, readings=101, templates=lines)
    return Contribution(source="logs/0", epoch=0, chunk=chunk, through=chunk, partial=partial)


def test_lines_beyond_the_bound_count_together_and_none_is_lost() -> None:
    row = WindowRow(environment="prod", service="cart", start_ms=0, size_ms=10_000)
    for chunk in range(20):
        row = row.put(contribution(chunk))

    assert row.base is not None
    lines = row.base.templates
    assert len(lines) == MAX_KEPT + 1
    assert sum(one.n for one in lines.values()) == 19 * 101
    assert lines[OTHER_TEMPLATE].severity == "error"
    assert all(f"kind {chunk} 0 <*>" in lines for chunk in range(19))  # the most frequent
