"""Who owns a service, where its runbook is, and from when on a request counts as slow."""

from dataclasses import field
from fnmatch import fnmatchcase

from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class ServiceEntry:
    """What people know about a service (or a family of them).

    ``match`` is a shell pattern on ``environment/service``. ``latency_threshold_ms``: a slower request counts as an
    implicit error (``None``: no such rule). ``actions`` maps a condition or a signal to the suggested first action, one
    sentence. In ``runbook``, ``{condition}`` stands for the kind of condition: ``latency``, ``saturation``, ``silence`` ...
    """

    match: str
    owner: str = ""
    runbook: str = ""
    latency_threshold_ms: float | None = None
    actions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Directory:
    """All entries of config/services.yaml; the first that matches counts."""

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
