"""What decides a chunk's content, kept on the compacted `tocsin.config` under its hash."""

from dataclasses import field
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.exemplars import MAX_KEPT
from pipeline.contracts.ids import content_id
from pipeline.contracts.semantic import SemanticMapping
from pipeline.contracts.trace_samples import MAX_STUBS
from pipeline.contracts.units import PARAMS, AtLeastOne, AtLeastZero

__all__ = ["PARAMS", "AtLeastOne", "AtLeastZero", "ConfigRecord", "IngestConfig", "TopicOrigin"]

OverLimit = Literal["other", "evict"]
SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class TopicOrigin:
    """Whom a topic's messages are about where they do not say so themselves (an access log names no service).

    Attributes
    ----------
    service, environment, version
        Used where a message names none; empty: none.

    """

    service: str = ""
    environment: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class IngestConfig:
    """Limits and choices of ingest. A different value is a different hash, and takes effect at the next chunk.

    Attributes
    ----------
    decoders
        Wire format by telemetry topic: a decoder's name, or ``auto``, which finds it out from each message.
    origins
        By topic, whom its messages are about where they do not say so themselves.
    plugins
        Set by Tocsin: of each decoder in use that another package brings, which version of which package.
    semantic
        Set from config/semantic.yaml.
    chunk_records, chunk_ms, chunk_partials
        A chunk ends at whichever comes first: records, record time (ms), or pairs of a service and a window.
    max_message_bytes, max_depth, max_records_per_message
        Of one message; beyond, it is rejected whole. OTLP may have as many resources, scopes and metrics, and ten times as many
        objects and arrays in JSON.
    max_batch_bytes
        Of one compressed record batch (what a publisher sends at once) when it is decompressed, bytes; beyond, it is not
        decompressed further, and rejected whole. At least ``max_message_bytes``. Behind ingest it is 64 MiB at least; the
        command line and backtests always read up to 64 MiB.
    max_text_length
        Of a service, environment, operation ... name, characters.
    max_future_ms
        A reading further ahead of its record's timestamp is rejected.
    max_past_ms
        A reading further behind its record's timestamp is rejected, whatever its format (default: seven days); a change is not,
        because it counts where it was published.
    earliest_time_ms
        A reading before this time is absurd (default 2000-01-01).
    max_utilization
        Above it a utilization is rejected; a little above 1 is real.
    max_services
        Services told apart in a chunk.
    services_over_limit
        What happens to further ones. ``other``: the first that come keep their names, readings of further ones count for the
        service ``other``. ``evict``: all of the chunk's services make room: it ends, is sent, and a new one begins.
    max_operations
        Operations told apart per service and chunk and window.
    max_resources, max_versions
        Likewise resources (gauges) and versions.
    names_over_limit
        What happens to further operations, resources, versions and callees. ``other``: the first that come keep their names,
        further ones count as ``other``. ``evict``: the least recently used makes room: what it counted goes to ``other``.
    max_attributes
        Attributes (labels, fields) of a metric's point, a span, a log record, or their sender; beyond, it is rejected.
    max_series
        Cumulative series per service and chunk and window; points of further ones are counted as over the limit.
    max_callees
        Things that a service calls, told apart per chunk and window.
    max_exemplars
        Trace ids kept per service and chunk and window: so many of the slowest requests, and so many of the failed ones; 0: none.
    trace_sample
        Share of traces, chosen by a hash of their ids, whose spans tell who calls whom although they come in different messages, 0
        (none) to 1 (all).
    max_span_stubs
        Spans of these kept per chunk and five minutes, at most 2,000; past it, the share is halved for them.
    max_templates
        Masked log lines told apart per service and chunk and window, the first that come; of warnings and errors twice as
        many. Lines of further ones are counted together. 0: no log line is looked at.
    max_template_length
        Characters kept of a masked log line, and of its example.
    max_changes
        Change notes kept per service and chunk and window, and feedback likewise; further ones are counted, not kept.

    """

    decoders: dict[str, str] = field(
        default_factory=lambda: {
            "telemetry.metrics": "native",
            "telemetry.logs": "native",
            "tocsin.changes": "changes",
            "tocsin.feedback": "feedback",
        }
    )
    origins: dict[str, TopicOrigin] = field(default_factory=dict)
    plugins: dict[str, str] = field(default_factory=dict)
    semantic: SemanticMapping = field(default_factory=SemanticMapping)
    chunk_records: AtLeastOne = 65_536
    chunk_ms: AtLeastOne = 30_000
    chunk_partials: AtLeastOne = 65_536
    max_message_bytes: AtLeastOne = 1_048_576
    max_batch_bytes: AtLeastOne = 67_108_864
    max_depth: AtLeastOne = 32
    max_records_per_message: AtLeastOne = 10_000
    max_text_length: AtLeastOne = 256
    max_future_ms: AtLeastZero = 60_000
    max_past_ms: AtLeastZero = 604_800_000
    earliest_time_ms: AtLeastZero = 946_684_800_000
    max_utilization: Annotated[float, Field(ge=1)] = 1.5
    max_services: AtLeastOne = 20_000
    services_over_limit: OverLimit = "other"
    max_operations: AtLeastOne = 100
    max_resources: AtLeastOne = 50
    max_versions: AtLeastOne = 8
    names_over_limit: OverLimit = "other"
    max_attributes: AtLeastOne = 128
    max_series: AtLeastOne = 5_000
    max_templates: AtLeastZero = 50
    max_template_length: AtLeastOne = 200
    max_changes: AtLeastOne = 100
    max_callees: AtLeastOne = 50
    trace_sample: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_span_stubs: Annotated[int, Field(ge=1, le=MAX_STUBS)] = 500
    max_exemplars: Annotated[int, Field(ge=0, le=MAX_KEPT)] = 3

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
