"""Every exception that Tocsin raises on purpose, on one screen.

Outcomes (late, not ready, suppressed, duplicate) are values, not exceptions.
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """Base of all of Tocsin's own errors."""


class ConfigError(PipelineError):
    """The configuration is refused at start-up; carries every problem found, each with its path."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RecordInvalid(PipelineError):
    """A record on one of Tocsin's own topics does not match its contract."""


class TransientError(PipelineError):
    """The same call may succeed later: retry with back-off."""


class BrokerError(TransientError):
    """A broker cannot be reached, started or used as it is set up."""


class StateError(PipelineError):
    """A stored state cannot be read: stop, do not guess."""


class UsageError(PipelineError):
    """The command line was called with something that cannot be done; the message says what would do."""


class FieldRefused(PipelineError):
    """A field of a telemetry record breaks a rule; becomes a rejection at the boundary of its record.

    ``reason`` is a ``RejectReason``; ``field`` the path inside the record; ``detail`` shows the value and the rule.
    """

    def __init__(self, reason: str, field: str, detail: str) -> None:
        self.reason, self.field, self.detail = reason, field, detail
        super().__init__(detail)
