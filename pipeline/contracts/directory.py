"""Who owns a service, where its runbook is, and from when on a request counts as slow."""

from dataclasses import field
from fnmatch import fnmatchcase

from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class ServiceEntry:
    """What people know about a service (or a family of them).

    Attributes
    ----------
    match
        Shell pattern on ``environment/service``.
    owner
        Who is called.
    runbook
        Where it says what to do, a link or a path; ``{condition}`` in it stands for ``latency``, ``saturation`` ...
    latency_threshold_ms
        A slower request counts as an implicit error, ms; ``None``: no such rule.
    actions
        Suggested first action, one sentence, by condition or signal.

    """

    match: str
    owner: str = ""
    runbook: str = ""
    latency_threshold_ms: float | None = None
    actions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Directory:
    """All entries of config/services.yaml.

    Attributes
    ----------
    services
        In order: the first whose pattern matches counts.

    """

    services: tuple[ServiceEntry, ...] = ()

    def entry(self, service_key: str) -> ServiceEntry:
        """Return the first entry whose pattern matches ``environment/service``; an empty one when none does.

        Examples
        --------
        >>> directory = Directory(services=(ServiceEntry(match="prod/*", owner="shop"),))
        >>> directory.entry("prod/cart").owner, directory.entry("staging/cart").owner
        ('shop', '')

        """
        for entry in self.services:
            if fnmatchcase(service_key, entry.match):
                return entry
        return ServiceEntry(match=service_key)
