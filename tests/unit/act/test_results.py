"""What bots report: sound results are taken, broken ones refused with the rule."""

import json

import pytest

from pipeline.act.results import outcome
from pipeline.contracts.remediation import ResultStatus
from pipeline.errors import RecordInvalid

SOUND = {"idempotency_key": "never-heard-of", "status": "succeeded", "environment": "prod", "service": "cart", "at_ms": 1}


def test_a_result_of_an_unknown_request_is_sound() -> None:
    assert outcome(json.dumps(SOUND).encode()).status is ResultStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "the record is empty"),
        (b"", "the record is empty"),
        (b"[]", "not a RemediationResult"),
        (json.dumps({**SOUND, "status": "fine"}).encode(), "status"),
        (json.dumps({**SOUND, "at_ms": "1"}).encode(), "at_ms"),
        (json.dumps({**SOUND, "service": ""}).encode(), "service must not be empty"),
        (json.dumps({**SOUND, "note": "x" * 1001}).encode(), "note must have at most 1000 characters, got 1001"),
    ],
)
def test_a_broken_result_is_refused_with_the_rule_it_breaks(value: bytes | None, complaint: str) -> None:
    with pytest.raises(RecordInvalid, match=complaint):
        outcome(value)
