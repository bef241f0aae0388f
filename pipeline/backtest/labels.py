"""What is known to have happened: decides what a labels file says, and refuses what it does not."""

import contextlib
import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.simulation.times import to_ms

MAX_BYTES = 67_108_864
"""Of a labels file; a larger one is a mistake."""
FORMAT = "labels are JSON, a list of {service, start, end} or an object with such a list, or CSV with a header service,start,end"
LISTS = ("labels", "faults", "windows")
"""Names under which an object holds its labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One known problem of a service, from ``start_ms`` to ``end_ms``, both included, UTC epoch ms.

    Attributes
    ----------
    name
        Its id in the file, else ``1``, ``2`` ...
    environment
        Empty: a service of that name in any environment.
    kind
        What it was, in the file's words; empty: not told.
    is_hard
        Whether the file calls it hard (or soft); ``None``: it does not say.
    affected
        Services that may feel it, itself included: alerts of theirs are neither right nor false. ``None``: not told.

    """

    name: str
    service: str
    start_ms: int
    end_ms: int
    environment: str = ""
    kind: str = ""
    is_hard: bool | None = None
    affected: frozenset[str] | None = None

    def is_on(self, environment: str, service: str) -> bool:
        """Return whether it is this service's own."""
        return service == self.service and self.environment in ("", environment)

    def touches(self, environment: str, service: str) -> bool:
        """Return whether this service may feel it."""
        return self.affected is not None and service in self.affected and self.environment in ("", environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """A labels file.

    Attributes
    ----------
    labels
        What should be alerted.
    harmless
        What happened and should not be alerted; shown, and told beside false alerts.
    scored_from_ms
        Alerts at or before this time do not count; ``None``: all do.

    """

    labels: tuple[Label, ...] = ()
    harmless: tuple[Label, ...] = ()
    scored_from_ms: int | None = None


def read_labels(path: Path) -> Labels:
    """Return what a labels file says.

    Raises
    ------
    UsageError
        If it cannot be read as JSON or CSV, or an entry lacks its service or times, or ends before it starts.

    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path}: a labels file has at most {MAX_BYTES // 1_048_576} MiB")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path}: not UTF-8: {problem}") from problem
    try:
        return parsed(text)
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from problem


def parsed(text: str) -> Labels:
    r"""Return what the text of a labels file says.

    Raises
    ------
    UsageError
        If it breaks a rule; the message names the entry.

    Examples
    --------
    >>> [(label.name, label.service) for label in parsed("service,start,end\ncart,1767571200,1767571500").labels]
    [('1', 'cart')]

    """
    if text.lstrip()[:1] not in ("{", "["):
        return Labels(labels=_labels(_csv_rows(text), "row"))
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{FORMAT}; this is no JSON: {problem}") from problem
    if isinstance(content, list):
        return Labels(labels=_labels(content, "label"))
    named = [name for name in LISTS if name in content]
    if len(named) != 1:
        raise UsageError(f"{FORMAT}; the object must have one of {', '.join(LISTS)}, has {', '.join(named) or 'none'}")
    scored_from = content.get("warmup_until")
    return Labels(
        labels=_labels(content[named[0]], named[0]),
        harmless=_labels(content.get("benign", []), "benign"),
        scored_from_ms=None if scored_from is None else _time(scored_from, "warmup_until"),
    )


def _csv_rows(text: str) -> list[dict[str, Any]]:
    try:
        rows = list(csv.DictReader(text.splitlines(), strict=True))
    except csv.Error as problem:
        raise UsageError(f"{FORMAT}; this is no CSV: {problem}") from problem
    if not rows:
        raise UsageError(f"{FORMAT}; there is no entry")
    return [{name: value for name, value in row.items() if name and value} for row in rows]


def _labels(entries: object, what: str) -> tuple[Label, ...]:
    if not isinstance(entries, list):
        raise UsageError(f"{FORMAT}; {what} is no list")
    return tuple(_label(entry, i, f"{what} {i}") for i, entry in enumerate(entries, 1))


def _label(entry: object, i: int, where: str) -> Label:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where}: must be an object with service, start and end")
    service, kind, environment = (entry.get(name, "") for name in ("service", "kind", "environment"))
    if not isinstance(service, str) or not service:
        raise UsageError(f"{where}: service must be a name, got {service!r:.80}")
    if not isinstance(kind, str) or not isinstance(environment, str):
        raise UsageError(f"{where}: kind and environment must be text")
    start_ms, end_ms = _time(entry.get("start"), f"{where}: start"), _time(entry.get("end"), f"{where}: end")
    if end_ms < start_ms:
        raise UsageError(f"{where}: ends before it starts")
    return Label(
        name=str(entry.get("id", i)),
        service=service,
        start_ms=start_ms,
        end_ms=end_ms,
        environment=environment,
        kind=kind,
        is_hard=_is_hard(entry.get("hard"), where),
        affected=_affected(entry.get("affected"), where),
    )


def _time(value: object, where: str) -> int:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    is_endless = isinstance(value, float) and not math.isfinite(value)
    time_ms = None if is_endless else to_ms(value)
    if time_ms is None:
        raise UsageError(f"{where} must be RFC 3339, or epoch seconds or milliseconds, got {value!r:.80}")
    return time_ms


def _is_hard(value: object, where: str) -> bool | None:
    known = {None: None, True: True, False: False, "true": True, "false": False}
    if not isinstance(value, str | bool | None) or value not in known:
        raise UsageError(f"{where}: hard must be true or false, got {value!r:.80}")
    return known[value]


def _affected(value: object, where: str) -> frozenset[str] | None:
    """Return the services named: a list, or in CSV text with semicolons."""
    if value is None:
        return None
    names: Sequence[object] = value.split(";") if isinstance(value, str) else value if isinstance(value, list) else [None]
    stripped = [name.strip() for name in names if isinstance(name, str)]
    if len(stripped) < len(names):
        raise UsageError(f"{where}: affected must be a list of services")
    return frozenset(stripped)
