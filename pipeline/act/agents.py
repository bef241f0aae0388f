"""The agents of ACT: alert events become alerts and requests; what bots report is counted."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.act.alerts import restore as restore_stage
from pipeline.act.params import ActParams
from pipeline.act.remediation import RemediationParams
from pipeline.act.results import outcome
from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.transport import Batch, batches
from pipeline.contracts.remediation import ResultStatus
from pipeline.contracts.stage import Stage
from pipeline.errors import RecordInvalid


def restore(params: ActParams, remediation: RemediationParams) -> Callable[[int, Mapping[str, bytes]], Stage]:
    """Return how the alert stage is restored."""
    return lambda partition, rows: restore_stage(params, remediation, partition, rows)


async def count_results(
    stream: Any, ledger: Ledger, *, on_result: Callable[[ResultStatus], None], on_invalid: Callable[[RecordInvalid, int], None]
) -> None:
    """Count what bots report; an unreadable report is told (with its offset) and passed over: it is still on its topic."""
    async for event in batches(stream):
        batch: Batch = event.message.value
        tp = (batch.topic, batch.partition)
        if not ledger.owns(tp):
            continue
        if ledger.standing(tp) is None:
            ledger.began(tp, Standing(batch.begins_at, ""))
        for record in batch.records:
            if record.refused is not None:
                on_invalid(RecordInvalid(record.refused.detail), record.offset)
                continue
            try:
                on_result(outcome(record.value or b"").status)
            except RecordInvalid as problem:
                on_invalid(problem, record.offset)
        ledger.finish(tp, batch.next_offset)
