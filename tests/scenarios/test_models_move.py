"""Models go from worker to worker as their partitions do: killed, taken over, handed back, and never another score for it."""

import pytest

from benchmarks.restore import TOLERANCE
from benchmarks.restore_broker import one_run
from pipeline.adapters.brokers import EmbeddedBroker


@pytest.mark.embedded
async def test_verdicts_through_kills_and_rebalances_are_those_of_a_stage_that_was_never_stopped(
    embedded_broker: EmbeddedBroker,
) -> None:
    """A few thousand windows; `make bench-restore` is the long one."""
    found = await one_run(7, embedded_broker, n_at_once=1_000)

    assert found["worst"] <= TOLERANCE
    assert found["cold"] == 0
    assert found["rebalances"] == 6
    assert found["verdicts"] > 1_000
