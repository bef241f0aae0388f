"""Whether what a bot reports of a request is sound: an unknown request is fine, a broken record is not."""

from pipeline.contracts.codec import decode
from pipeline.contracts.remediation import RemediationResult
from pipeline.errors import RecordInvalid

MAX_TEXT = 1_000
"""Of any text in a result, characters."""


def outcome(value: bytes | None) -> RemediationResult:
    """Return the result that a record holds, to be counted by its status.

    Raises
    ------
    RecordInvalid
        If it is empty, no result, or holds a text longer than 1,000 characters or an empty name.

    Examples
    --------
    >>> outcome(b'{"idempotency_key": "ab", "status": "refused", "environment": "prod", "service": "cart", "at_ms": 1}').status
    <ResultStatus.REFUSED: 'refused'>

    """
    if not value:
        raise RecordInvalid("not a RemediationResult: the record is empty")
    result = decode(value, RemediationResult)
    for name in ("idempotency_key", "environment", "service"):
        if not getattr(result, name):
            raise RecordInvalid(f"not a RemediationResult: {name} must not be empty")
    for name in ("idempotency_key", "environment", "service", "version", "by", "note"):
        length = len(getattr(result, name))
        if length > MAX_TEXT:
            raise RecordInvalid(f"not a RemediationResult: {name} must have at most {MAX_TEXT} characters, got {length}")
    return result
