"""What is on each topic: a title, the records, who writes and who reads them. Schemas and documents are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.contracts import alerts, anomalies, dead_letters, models, partials, remediation, signals, telemetry, topology
from pipeline.contracts import config as configs
from pipeline.contracts.topics import LogicalName

Party = Literal["ingest", "analyse", "act", "services", "bots", "people"]
"""Tocsin's apps; and, outside, who publishes telemetry, who remediates, and who looks or replays (the command line)."""
APPS: tuple[Party, ...] = ("ingest", "analyse", "act")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Records that share a schema file.

    Attributes
    ----------
    name
        Of the file, and in the schema's ``$id``.
    title
        A few words.
    version
        Of the schema, at least 1; raised by an incompatible change.
    record
        What a value is: a struct, or a union of structs.
    parts
        Structs that a schema refers to and msgspec cannot know of.
    is_batchable
        A value may also be an array of records.

    """

    name: str
    title: str
    version: int
    record: object
    parts: tuple[type, ...] = ()
    is_batchable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One topic.

    Attributes
    ----------
    title, description
        A few words; one sentence.
    family
        Records of the values; of the header named by ``record_header`` where there is one.
    record_header
        Header that holds the record, when the value is another record's untouched bytes; empty: the value holds it.
    headers
        Other headers: whether each is always there.
    is_keyed
        A key is always there.
    content_type
        Of the value.
    written_by, read_by
        Who.

    """

    title: str
    description: str
    family: Family
    record_header: str = ""
    headers: Mapping[str, bool]
    is_keyed: bool = True
    content_type: str = "application/json"
    written_by: tuple[Party, ...]
    read_by: tuple[Party, ...]


NO_HEADERS: Mapping[str, bool] = {}
REPLAYABLE: Mapping[str, bool] = {dead_letters.REPLAY_HEADER: False}
REPLAYED: Mapping[str, bool] = {dead_letters.REPLAYED_HEADER: False}
CLOUD_EVENT: Mapping[str, bool] = dict.fromkeys(
    ("content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_dataschema"), True
)

TELEMETRY = Family(
    name="telemetry",
    title="Telemetry in Tocsin's own format",
    version=1,
    record=telemetry.Telemetry,
    parts=(telemetry.Exponential, telemetry.Explicit, telemetry.Quantiles),
    is_batchable=True,
)
CHANGE = Family(name="changes", title="A change to a service", version=1, record=telemetry.Change, is_batchable=True)
FEEDBACK = Family(name="feedback", title="What a person says of alerts", version=1, record=telemetry.Feedback, is_batchable=True)
BUNDLE = Family(name="partials", title="A bundle of partial sums", version=partials.SCHEMA, record=partials.Bundle)
SIGNALS = Family(name="signals", title="Golden signals, late counts, notices", version=signals.SCHEMA, record=signals.SignalsRecord)
MODEL = Family(name="models", title="A snapshot of a service's models", version=models.SCHEMA, record=models.ModelSnapshot)
VERDICT = Family(name="anomalies", title="A verdict on a window", version=anomalies.SCHEMA, record=anomalies.Verdict)
ALERT_EVENT = Family(name="alert-events", title="A step in an alert's life", version=alerts.SCHEMA, record=alerts.AlertEvent)
ALERT = Family(name="alerts", title="An alert's current state", version=alerts.SCHEMA, record=alerts.Alert)
EDGE = Family(name="topology", title="Who calls whom", version=topology.SCHEMA, record=topology.Edge)
REMEDIATION_REQUEST = Family(
    name="remediation-requests",
    title="A request to a bot, in a CloudEvent",
    version=remediation.SCHEMA,
    record=remediation.CloudEvent[remediation.RemediationRequest],
)
REMEDIATION_DATA = Family(
    name="remediation-request",
    title="A request to a bot: the event's data",
    version=remediation.SCHEMA,
    record=remediation.RemediationRequest,
)
"""What the ``dataschema`` of a remediation event names; no topic holds it bare."""
REMEDIATION_RESULT = Family(
    name="remediation-results", title="A bot's report", version=remediation.SCHEMA, record=remediation.RemediationResult
)
DEAD_LETTER = Family(
    name="dead-letters", title="Why a record was refused", version=dead_letters.SCHEMA, record=dead_letters.DeadLetter
)
CONFIG = Family(name="config", title="An ingest configuration in use", version=configs.SCHEMA, record=configs.ConfigRecord)
FAMILIES: tuple[Family, ...] = (
    TELEMETRY,
    CHANGE,
    FEEDBACK,
    BUNDLE,
    SIGNALS,
    MODEL,
    VERDICT,
    ALERT_EVENT,
    ALERT,
    EDGE,
    REMEDIATION_REQUEST,
    REMEDIATION_DATA,
    REMEDIATION_RESULT,
    DEAD_LETTER,
    CONFIG,
)

CATALOGUE: Mapping[LogicalName, Entry] = {
    "telemetry.metrics": Entry(
        title="Metrics",
        description="What services and their collectors measure: requests, summaries, gauges; one record, or an array of them.",
        family=TELEMETRY,
        headers=REPLAYABLE,
        is_keyed=False,
        written_by=("services",),
        read_by=("ingest",),
    ),
    "telemetry.logs": Entry(
        title="Logs",
        description="Log lines of services, which may count as requests; one record, or an array of them.",
        family=TELEMETRY,
        headers=REPLAYABLE,
        is_keyed=False,
        written_by=("services",),
        read_by=("ingest",),
    ),
    "changes": Entry(
        title="Changes",
        description="What people and pipelines do to a service: deployments, maintenance, experiments, retirements.",
        family=CHANGE,
        headers=REPLAYABLE,
        is_keyed=False,
        written_by=("services", "people"),
        read_by=("ingest",),
    ),
    "feedback": Entry(
        title="Feedback",
        description="What people say of a service's alerts: false positive, expected, new normal.",
        family=FEEDBACK,
        headers=REPLAYABLE,
        is_keyed=False,
        written_by=("people",),
        read_by=("ingest",),
    ),
    "partials": Entry(
        title="Partials",
        description="What a chunk of one telemetry partition adds to the windows of each service, cumulative within the chunk.",
        family=BUNDLE,
        headers=NO_HEADERS,
        written_by=("ingest",),
        read_by=("analyse",),
    ),
    "signals": Entry(
        title="Golden signals",
        description="The golden signals of each service's window, revised while late data comes; what came too late; notices.",
        family=SIGNALS,
        headers=NO_HEADERS,
        written_by=("analyse",),
        read_by=("analyse", "people"),
    ),
    "models": Entry(
        title="Models",
        description="What was learned of each service, as it was at its newest snapshot; MessagePack of the schema's object.",
        family=MODEL,
        headers=NO_HEADERS,
        content_type=models.CONTENT_TYPE,
        written_by=("analyse",),
        read_by=("analyse",),
    ),
    "anomalies": Entry(
        title="Verdicts",
        description="What each detector says of every closed window, empty windows included.",
        family=VERDICT,
        headers=NO_HEADERS,
        written_by=("analyse",),
        read_by=("analyse", "people"),
    ),
    "alert-events": Entry(
        title="Alert events",
        description="Each step in the life of each alert, in order: pending, fired, still firing, resolved, cancelled.",
        family=ALERT_EVENT,
        headers=NO_HEADERS,
        written_by=("analyse",),
        read_by=("act", "people"),
    ),
    "alerts": Entry(
        title="Alerts",
        description="The current state of each alert, and whether people and bots were told.",
        family=ALERT,
        headers=NO_HEADERS,
        written_by=("act",),
        read_by=("people",),
    ),
    "topology": Entry(
        title="Call graph",
        description=(
            "What each service calls, how often and with how many errors, and when that was seen last; counted, or estimated "
            "from sampled traces under a key of its own."
        ),
        family=EDGE,
        headers=NO_HEADERS,
        written_by=("analyse",),
        read_by=("people",),
    ),
    "remediation.requests": Entry(
        title="Remediation requests",
        description="What a bot is asked to do about an alert, safe to receive twice, with an expiry and a dry-run flag.",
        family=REMEDIATION_REQUEST,
        headers=CLOUD_EVENT,
        content_type=remediation.CONTENT_TYPE,
        written_by=("act",),
        read_by=("bots",),
    ),
    "remediation.results": Entry(
        title="Remediation results",
        description="What a bot did about a request, or why it did not.",
        family=REMEDIATION_RESULT,
        headers=NO_HEADERS,
        written_by=("bots",),
        read_by=("act",),
    ),
    "dead-letters": Entry(
        title="Dead letters",
        description="Records that were refused, untouched; one more header says where each came from, and why. "
        "A record without it, and without a value, notes that the letter under its key was sent again.",
        family=DEAD_LETTER,
        record_header=dead_letters.HEADER,
        headers=REPLAYED,
        content_type="application/octet-stream",
        written_by=("ingest", "analyse", "act", "people"),
        read_by=("people",),
    ),
    "config": Entry(
        title="Configurations",
        description="Each ingest configuration in use, under its hash, so that a chunk that was begun with it can be read again.",
        family=CONFIG,
        headers=NO_HEADERS,
        written_by=("ingest",),
        read_by=("ingest",),
    ),
}
