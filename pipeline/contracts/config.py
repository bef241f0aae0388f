"""What decides a chunk's content, kept on the compacted `tocsin.config` under its hash."""

from dataclasses import field
from typing import Annotated, Any, Literal

import msgspec
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.ids import content_id

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
PARAMS = ConfigDict(extra="forbid", validate_default=True)
"""For every parameter dataclass: unknown keys are refused, defaults are checked too."""
AtLeastZero = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class IngestConfig:
    """Limits and choices of ingest. A different value is a different hash, and takes effect at the next chunk.

    Attributes
    ----------
    decoders
        Wire format by telemetry topic.
    chunk_records, chunk_ms
        A chunk ends at whichever comes first: records, or record time (ms).
    max_message_bytes, max_depth, max_records_per_message
        Of one message; beyond, it is rejected whole.
    max_text_length
        Of a service, environment, operation ... name, characters.
    max_future_ms
        A reading further ahead of its record's timestamp is rejected.
    earliest_time_ms
        A reading before this time is absurd (default 2000-01-01).
    max_utilization
        Above it a utilization is rejected; a little above 1 is real.
    max_operations
        Operations per service and chunk and window; further ones count as ``other``.
    max_resources, max_versions
        Likewise of resources (gauges) and of versions.
    max_changes
        Change notes kept per service and chunk and window, and feedback likewise; further ones are counted, not kept.

    """

    decoders: dict[str, Literal["native", "changes", "feedback"]] = field(
        default_factory=lambda: {
            "telemetry.metrics": "native",
            "telemetry.logs": "native",
            "tocsin.changes": "changes",
            "tocsin.feedback": "feedback",
        }
    )
    chunk_records: AtLeastOne = 65_536
    chunk_ms: AtLeastOne = 30_000
    max_message_bytes: AtLeastOne = 1_048_576
    max_depth: AtLeastOne = 32
    max_records_per_message: AtLeastOne = 10_000
    max_text_length: AtLeastOne = 256
    max_future_ms: AtLeastZero = 60_000
    earliest_time_ms: AtLeastZero = 946_684_800_000
    max_utilization: Annotated[float, Field(ge=1)] = 1.5
    max_operations: AtLeastOne = 100
    max_resources: AtLeastOne = 50
    max_versions: AtLeastOne = 8
    max_changes: AtLeastOne = 100

    @property
    def hash(self) -> str:
        """Name of this configuration: 32 hex digits."""
        return content_id(msgspec.json.encode(self, order="sorted").decode())


class ConfigRecord(msgspec.Struct, kw_only=True, frozen=True):
    """One configuration in use, keyed by its hash; ``environment`` and ``version`` are of the Tocsin that wrote it."""

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    hash: str
    environment: str
    version: str
    ingest: dict[str, Any]
