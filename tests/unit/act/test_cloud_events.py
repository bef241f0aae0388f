"""Remediation requests on the wire: CloudEvents 1.0, and what event_source.kafka of Event-Driven Ansible needs."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from pipeline.act.cloud_events import request_record, rfc3339
from pipeline.act.remediation import RemediationPolicy
from pipeline.contracts.ids import content_id
from pipeline.contracts.records import OutRecord
from pipeline.contracts.remediation import Action
from tests.alert_samples import ORIGIN_MS, event

POLICY = RemediationPolicy(name="restart", action=Action.RESTART, parameters={"n": 1, "share": 0.5, "hard": True, "how": "rolling"})
CLOUD_EVENT = {
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference", "pattern": "^[!-~]+$"},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "minLength": 1, "pattern": r"^[a-z]+(\.[a-z0-9]+)+$"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"type": "string", "minLength": 1, "pattern": "^[a-z]+:[!-~]+$"},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        "data": {"type": "object", "minProperties": 1},
    },
    "additionalProperties": False,
}
"""CloudEvents 1.0, cloudevents/spec.md: required attributes, and the rules of the optional ones that we set."""


def published(**values: Any) -> OutRecord:
    return request_record(event(**values), POLICY, source="/tocsin", dry_run=True)


@pytest.mark.parametrize("service", ["cart", "team/cart", "größe ✓"])
def test_the_envelope_keeps_the_rules_of_cloudevents(service: str) -> None:
    envelope = json.loads(published(service=service).value or b"")

    jsonschema.validate(envelope, CLOUD_EVENT)
    assert envelope["subject"] == f"prod/{service}"


@pytest.mark.parametrize("service", ["cart", "größe ✓"])
def test_key_and_headers_are_never_null_and_always_utf8(service: str) -> None:
    out = published(service=service)

    headers = {name: (value or b"").decode("utf-8") for name, value in out.headers}
    envelope = json.loads(out.value or b"")
    assert out.key == f"prod/{service}"
    assert out.topic == "remediation.requests"
    assert headers.pop("content-type") == "application/cloudevents+json; charset=UTF-8"
    assert headers == {
        f"ce_{name}": envelope[name] for name in ("specversion", "id", "source", "type", "time", "subject", "dataschema")
    }
    assert all(headers.values())


def test_ids_and_times_come_from_the_alert_alone() -> None:
    alert = event()
    envelope = json.loads(published().value or b"")

    data = envelope["data"]
    assert envelope["id"] == data["idempotency_key"] == content_id("remediation", alert.alert_id, "restart")
    assert (data["issued_at_ms"], data["expires_at_ms"]) == (ORIGIN_MS, ORIGIN_MS + 600_000)
    assert envelope["time"] == rfc3339(ORIGIN_MS) == "2026-02-02T03:12:00.000Z"
    assert envelope["source"] == "/tocsin/prod"
    assert data["parameters"] == {"n": 1, "share": 0.5, "hard": True, "how": "rolling"}
    assert data["reason"] == alert.sentence


def test_an_environment_that_is_no_uri_is_quoted_in_the_source() -> None:
    strange = msgspec.structs.replace(event(), environment="prod ü")

    envelope = json.loads(request_record(strange, POLICY, source="/tocsin", dry_run=False).value or b"")

    jsonschema.validate(envelope, CLOUD_EVENT)
    assert (envelope["source"], envelope["subject"]) == ("/tocsin/prod%20%C3%BC", "prod ü/cart")
    assert envelope["data"]["dry_run"] is False


def test_times_out_of_range_still_read_as_times() -> None:
    assert (rfc3339(-1), rfc3339(10**18)) == ("1970-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z")
