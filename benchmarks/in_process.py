"""The live stages without Kafka, as `tocsin backtest` runs them, for the benchmarks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.backtest.chain import Chain
from pipeline.backtest.fired import Fired

__all__ = ["Chain", "Fired", "message"]


def message(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Return one message that holds the records as an array."""
    return json.dumps(records, separators=(",", ":")).encode()
