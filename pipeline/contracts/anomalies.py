"""Verdicts of the detectors, one for every closed window of a service: the records of `tocsin.anomalies`."""

from enum import StrEnum
from typing import Annotated

import msgspec

from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.partials import ChangeNote

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Judgement(StrEnum):
    """What a detector says of one signal in one window."""

    NOT_READY = "not_ready"
    NORMAL = "normal"
    ANOMALOUS = "anomalous"
    NO_DATA = "no_data"


class Severity(StrEnum):
    """What a person should do: act now, or look at it by day."""

    PAGE = "page"
    TICKET = "ticket"


class LogNote(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The log lines that a finding is about.

    Attributes
    ----------
    template
        What they say, ``<*>`` where they differ.
    severity
        The worst of them.
    n
        Lines in this window.
    n_kinds
        Kinds of lines that the finding is about; this is the worst and most frequent one.
    example
        One of them as it came, cut, without control characters and named secrets. Text from outside: escape it where it is shown.

    """

    template: str
    severity: str = ""
    n: int = 0
    n_kinds: int = 1
    example: str = ""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one detector says of one signal (or resource) of the service in this window.

    Attributes
    ----------
    condition
        What is judged, the identity of an alert's cause: ``latency``, ``traffic``, ``errors``, ``saturation:cpu``,
        ``silence`` ...
    signal
        The golden signal it belongs to; ``silence`` counts as traffic.
    statistic
        Which number of the window ``observed`` is, where there are several: ``p95``, ``mean`` ...; empty: there is one.
    observed, expected, lower, upper
        In ``unit``; the band is what the detector takes for normal here and now. ``None``: not known.
    score
        How far outside, in standard deviations of what is normal, signed: above positive; ``None`` until ready.
    is_recovered
        The condition's own recovery rule holds: inside the narrower band that ends an alert.
    confidence
        In ``[0, 1)``: how sure, from how improbable it is and how much was seen.
    n_seen
        Windows that the detector has learned from.
    explanation
        The named terms behind the score, each a number. Of every anomaly whose law is known: ``one_in``, how many judgements
        of this kind there are for one that is as far outside when all is well; ``days`` of memory behind that; and
        ``above_all`` or ``below_all`` (1) when nothing in them was as far outside.
    log
        Log lines that it is about; ``None``: it is about none.

    """

    condition: str
    signal: str
    judgement: Judgement
    severity: Severity = Severity.TICKET
    unit: str = ""
    statistic: str = ""
    observed: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    score: float | None = None
    is_recovered: bool = True
    confidence: Share = 0.0
    n_seen: int = 0
    explanation: dict[str, float] = {}
    log: LogNote | None = None


class Verdict(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """All findings about a service in one closed window; first publications only, empty windows included.

    ``retired`` says that the service's silence is over for good: by a change event, or after the stated time.
    ``not_learned`` says why the detectors did not learn from the window: a type of change that is open, ``calendar``, or
    ``alarm`` (one is open, or begins perhaps); empty: they did. ``shadow`` says that it is for comparison only, and alerts nobody.
    ``exemplars`` are few of the window's requests, slow and failed ones, where a finding is anomalous;
    ``callees`` names then what it called.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    id: str
    environment: str
    service: str
    version: str
    window_start_ms: int
    window_end_ms: int
    rollup: bool = False
    findings: list[Finding] = []
    changes: list[ChangeNote] = []
    retired: bool = False
    not_learned: str = ""
    shadow: bool = False
    exemplars: list[Exemplar] = []
    callees: list[str] = []
