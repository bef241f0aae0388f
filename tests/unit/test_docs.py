"""What the documents name exists: files, settings, reasons, metrics and the sentences that operators look up."""

import re
from pathlib import Path

import pytest

from pipeline.adapters.vocabulary import METRICS
from pipeline.contracts.readings import RejectReason
from pipeline.settings import SECTIONS, defaults

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CHANGELOG.md"])
QUOTED = [
    "has not advanced for",
    "has not been reported for",
    "the topic was created anew; start with a fresh app id (TOCSIN_APP_ID)",
    "which is not on tocsin.config",
    "commit metadata is not ours",
    "does not take a checkpoint",
    "topic differs from the configuration",
    "models start cold",
    "a configuration cannot be read, perhaps it is of a newer version",
    "unreadable remediation result",
    "The broker does not tell where changelogs end, asking again",
    "Recovery rebalancing again",
    "cannot serve metrics and health on",
    "cannot reach a Kafka at",
    "worker is ready",
]


def section(page: str, title: str) -> str:
    """Return the text below a heading of the second level, up to the next one."""
    _, _, rest = page.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def first_columns(table: str, column: int) -> list[str]:
    """Return one column of the rows of a Markdown table."""
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ")]
    return [row[column + 1].strip() for row in rows[1:]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_place_of_the_map_is_there() -> None:
    cells = first_columns(section(ARCHITECTURE, "Where things are"), 1)
    places = [name for cell in cells for name in re.findall(r"`([\w/]+(?:\.py|/))`", cell)]

    assert len(places) > 20
    missing = [
        name
        for name in places
        if not any((base / name).exists() for base in (ROOT, ROOT / "pipeline", ROOT / "pipeline" / "adapters"))
    ]
    assert missing == []


def test_every_bound_names_a_setting_that_exists() -> None:
    cells = first_columns(section(ARCHITECTURE, "Bounds"), 2)
    unknown, n_found = [], 0
    for cell in cells:
        prefix = ""
        for name in re.findall(r"`([a-z_.]+)`", cell):
            prefix, key = (prefix, name[1:]) if name.startswith(".") else (name.rpartition(".")[0], name.rpartition(".")[2])
            group, _, inner = prefix.partition(".")
            known = defaults(SECTIONS[group][2])
            known = defaults(type(known[inner])) if inner else known
            n_found += 1
            if key not in known:
                unknown.append(name)

    assert unknown == []
    assert n_found > 20


def test_every_reason_of_a_dead_letter_has_advice() -> None:
    advice = section(RUNBOOK, "Dead letters pile up")

    assert [reason.value for reason in RejectReason if f"`{reason.value}`" not in advice] == []


def test_every_metric_of_the_runbook_exists() -> None:
    named = set(re.findall(r"`(tocsin_\w+)`", RUNBOOK + ARCHITECTURE))

    assert named
    assert named <= {metric.name for metric in METRICS}


@pytest.mark.parametrize("sentence", QUOTED)
def test_a_sentence_that_is_looked_up_is_one_that_is_said(sentence: str) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "pipeline").rglob("*.py"))

    assert sentence in code
    assert sentence in RUNBOOK
