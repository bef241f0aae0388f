"""What attributes of other people's telemetry mean, by the semantic mapping: whom, which operation, failed or not."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.contracts.config import IngestConfig, TopicOrigin
from pipeline.contracts.readings import Origin
from pipeline.contracts.semantic import LogFields, NamedSignal, RequestMetric, SaturationMetric, SemanticMapping
from pipeline.ingest.validation import missing, origin

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]
Naming = SemanticMapping | LogFields
"""Says which attributes name service, environment, version and instance."""

FAILED_FROM = 500
"""HTTP: from this status on it is the server that failed."""
MAX_KNOWN = 100_000
"""Attribute sets remembered, about 600 bytes each; beyond, all are forgotten and learned anew."""
_MAX_BUILT = 8
_NOWHERE = TopicOrigin()


class KnownSets:
    """Attribute sets that have been met, by what their metrics have in common."""

    def __init__(self) -> None:
        self._by_metric: dict[object, dict[bytes, Any]] = {}
        self._codes: dict[object, int] = {}
        self.n = 0

    def of(self, metric: object) -> dict[bytes, Any]:
        """Return those of a metric of a sender."""
        if self.n > MAX_KNOWN:
            self._by_metric.clear()
            self._codes.clear()
            self.n = 0
        known = self._by_metric.get(metric)
        if known is None:
            known = self._by_metric[metric] = {}
            self.n += 1
        return known

    def code(self, what: object) -> int:
        """Return a number that stands for something, as long as nothing is forgotten."""
        return self._codes.setdefault(what, len(self._codes))


def is_named(rule: NamedSignal, attributes: Attributes) -> bool:
    """Return whether a value with these attributes is one of those that a named signal counts."""
    return not rule.states or first_text(attributes, rule.attribute) in rule.states


class Semantics:
    """The mapping of a configuration, ready for looking up."""

    def __init__(self, config: IngestConfig) -> None:
        mapping = config.semantic
        self.config = config
        self.mapping = mapping
        self.known_sets = KnownSets()
        self.counts_metrics = "metrics" in mapping.requests_from
        self.counts_spans = "spans" in mapping.requests_from
        self.counts_logs = "logs" in mapping.requests_from
        self._requests = {name: rule for rule in mapping.requests for name in rule.metric}
        self._signals = {name: rule for rule in mapping.signals for name in rule.metric}
        self._saturation: dict[str, tuple[SaturationMetric, ...]] = {}
        for rule in mapping.saturation:
            for name in rule.metric:
                self._saturation[name] = (*self._saturation.get(name, ()), rule)

    def request_rule(self, metric: str) -> RequestMetric | None:
        """Return how a metric counts or times requests; ``None``: it does not."""
        return self._requests.get(metric)

    def saturation_rules(self, metric: str) -> tuple[SaturationMetric, ...]:
        """Return how a metric says how full something is; usually one way or none."""
        return self._saturation.get(metric, ())

    def named_signal(self, metric: str) -> NamedSignal | None:
        """Return which signal of its own a metric counts or shows; ``None``: none."""
        return self._signals.get(metric)

    def sender(self, topic: str, about: Attributes, names: Naming | None = None) -> "Sender":
        """Return who sends, by attributes, else as the topic's configuration says.

        Parameters
        ----------
        topic
            That it came from.
        about
            Attributes of the sender.
        names
            Which of them say it; ``None``: those of the mapping itself.

        """
        naming, fallback = names or self.mapping, self.config.origins.get(topic, _NOWHERE)
        return Sender(
            service=first_text(about, naming.service) or fallback.service,
            environment=first_text(about, naming.environment) or fallback.environment or None,
            version=first_text(about, naming.version) or fallback.version,
            instance=first_text(about, naming.instance),
            looked_for=naming.service,
            max_length=self.config.max_text_length,
        )

    def origin(
        self, topic: str, about: Attributes, *, operation: str = "", service: str = "", names: Naming | None = None
    ) -> Origin:
        """Return whom a reading is about: :meth:`sender`, then :meth:`Sender.origin`."""
        return self.sender(topic, about, names).origin(operation, service)

    def has_failed(self, attributes: Attributes) -> bool:
        """Return whether a request's attributes say that it failed."""
        rules = self.mapping.failures
        for name in rules.status:
            status = as_status(attributes.get(name))
            if status is not None and status >= FAILED_FROM:
                return True
        if any(attributes.get(name) for name in rules.type):
            return True
        return any(text(attributes[name]) in codes for name, codes in rules.codes.items() if name in attributes)


class Sender(NamedTuple):
    """Who sends; texts that were not checked yet."""

    service: str
    environment: str | None
    version: str
    instance: str
    looked_for: tuple[str, ...]
    max_length: int

    def origin(self, operation: str = "", service: str = "") -> Origin:
        """Return whom a reading is about.

        Parameters
        ----------
        operation
            What was asked.
        service
            Stands in place of the sender where it is not empty; version and instance are the sender's, then, and left out.

        Raises
        ------
        FieldRefused
            If no service is named, or a name breaks the rules of names.

        """
        if service:
            fields: dict[str, object] = {"service": service, "operation": operation, "environment": self.environment}
            return origin(fields, self.max_length)
        if not self.service:
            raise missing(f"service ({', '.join(self.looked_for)}, or ingest.origins)")
        fields = {
            "service": self.service,
            "operation": operation,
            "environment": self.environment,
            "version": self.version,
            "instance": self.instance,
        }
        return origin(fields, self.max_length)


def semantics_of(config: IngestConfig) -> Semantics:
    """Return the mapping of a configuration; made once for each of the last few."""
    known = _built.get(id(config))
    if known is None or known.config is not config:
        while len(_built) >= _MAX_BUILT:
            del _built[next(iter(_built))]
        known = _built[id(config)] = Semantics(config)
    return known


_built: dict[int, Semantics] = {}
"""By the configuration's identity, which the entry itself keeps alive: it holds dicts, so it has no hash."""


def first_text(attributes: Attributes, names: Iterable[str]) -> str:
    """Return the first attribute that is there and not empty, as text; ``""``: none is."""
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return text(value)
    return ""


def joined(attributes: Attributes, names: Iterable[str]) -> str:
    """Return the attributes that are there, joined by a space; what two names say alike stands once."""
    found = (text(value) for name in names if (value := attributes.get(name)) is not None and value != "")
    return " ".join(dict.fromkeys(found))


def text(value: Attribute) -> str:
    """Return an attribute as text.

    Examples
    --------
    >>> text(True), text(500), text("GET")
    ('true', '500', 'GET')

    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def as_status(value: object) -> int | None:
    """Return an HTTP status that is a number or its digits; ``None``: it is no such thing.

    Examples
    --------
    >>> as_status("503"), as_status(200), as_status("5xx"), as_status(True)
    (503, 200, None, None)

    """
    if type(value) is int:
        return value if 100 <= value <= 599 else None
    if type(value) is str and len(value) == 3 and value.isascii() and value.isdecimal():
        return as_status(int(value))
    return None
