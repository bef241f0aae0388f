"""What bots are asked to do, and what they report: `tocsin.remediation.requests` and `.results`."""

from enum import StrEnum
from typing import Annotated, Generic, TypeVar

import msgspec

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
EVENT_TYPE = "io.tocsin.remediation.requested.v1"
CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"


class Action(StrEnum):
    """What a policy may ask for."""

    RESTART = "restart"
    SCALE_OUT = "scale_out"
    ROLL_BACK = "roll_back"
    SHED_LOAD = "shed_load"
    PAGE_ONLY = "page_only"


class RemediationRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Ask a bot to act on one service. Safe to receive twice: ``idempotency_key`` is the same then.

    ``expires_at_ms``: do nothing after it. ``dry_run``: say what you would do, do nothing. ``parameters`` come from
    the policy that asked (``policy``). ``reason`` is the alert's sentence.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    idempotency_key: str
    action: Action
    environment: str
    service: str
    version: str
    alert_id: str
    dedup_key: str
    condition: str
    signal: str
    policy: str
    reason: str
    issued_at_ms: int
    expires_at_ms: int
    dry_run: bool
    parameters: dict[str, str | int | float | bool] = {}


class ResultStatus(StrEnum):
    """What became of a request."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"


class RemediationResult(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a bot reports of a request; key as in the request."""

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    idempotency_key: str
    status: ResultStatus
    environment: str
    service: str
    version: str = ""
    at_ms: int
    by: str = ""
    note: str = ""


D = TypeVar("D")


class CloudEvent(msgspec.Struct, Generic[D], kw_only=True, frozen=True):
    """CloudEvents 1.0, structured mode: the whole envelope is the record's value.

    References
    ----------
    .. [1] CloudEvents 1.0 and its Kafka protocol binding, section 3.3.

    """

    specversion: Annotated[str, msgspec.Meta(pattern="^1\\.0$")] = "1.0"
    id: str
    source: str
    type: str
    time: str
    subject: str
    datacontenttype: str = "application/json"
    dataschema: str = ""
    data: D
