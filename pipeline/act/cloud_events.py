"""How a remediation request travels: CloudEvents 1.0, structured JSON, with headers that every bot framework can read."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from pipeline.act.remediation import RemediationPolicy, request_id
from pipeline.contracts.alerts import AlertEvent
from pipeline.contracts.codec import encode
from pipeline.contracts.keys import service_key
from pipeline.contracts.records import Headers, OutRecord
from pipeline.contracts.remediation import CONTENT_TYPE, EVENT_TYPE, CloudEvent, RemediationRequest

DATA_SCHEMA = "urn:tocsin:schema:remediation-request:1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999
"""RFC 3339 ends with the year 9999."""


def request_record(event: AlertEvent, policy: RemediationPolicy, *, source: str, dry_run: bool) -> OutRecord:
    """Return the record that asks for a policy's action on an alert's service.

    Everything in it comes from the alert and the policy, so a re-run publishes the same bytes. ``issued_at_ms`` is
    the end of the window that caused it (event time); ``expires_at_ms`` counts from there, because it is the age of
    the observation that makes acting on it unsafe, wherever the time went. A request is therefore never published
    when it has expired already, and one that Tocsin was late with leaves the bot less time.

    Parameters
    ----------
    event
        The alert, firing.
    policy
        What asks.
    source
        The event's origin before the environment, a URI reference such as ``/tocsin``.
    dry_run
        Whether the bot must do nothing.

    """
    key = service_key(event.environment, event.service)
    name = request_id(event, policy.action)
    envelope = CloudEvent(
        id=name,
        source=f"{source}/{quote(event.environment, safe='')}",
        type=EVENT_TYPE,
        time=rfc3339(event.at_ms),
        subject=key,
        dataschema=DATA_SCHEMA,
        data=RemediationRequest(
            idempotency_key=name,
            action=policy.action,
            environment=event.environment,
            service=event.service,
            version=event.version,
            alert_id=event.alert_id,
            dedup_key=event.dedup_key,
            condition=event.condition,
            signal=event.signal,
            policy=policy.name,
            reason=event.sentence,
            issued_at_ms=event.at_ms,
            expires_at_ms=event.at_ms + policy.expires_after_ms,
            dry_run=dry_run,
            parameters=policy.parameters,
        ),
    )
    return OutRecord(topic="remediation.requests", key=key, value=encode(envelope), headers=_headers(envelope))


def rfc3339(time_ms: int) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds.

    Examples
    --------
    >>> rfc3339(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'

    """
    time = _EPOCH + timedelta(milliseconds=min(max(time_ms, 0), _LAST_MS))
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _headers(envelope: CloudEvent[RemediationRequest]) -> Headers:
    """Return the content type that marks structured mode, and the attributes again for routers that read headers only."""
    attributes = ("specversion", "id", "source", "type", "time", "subject", "dataschema")
    return (
        ("content-type", CONTENT_TYPE.encode()),
        *((f"ce_{name}", str(getattr(envelope, name)).encode()) for name in attributes),
    )
