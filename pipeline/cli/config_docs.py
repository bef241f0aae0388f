"""Writes docs/configuration.md from the parameter classes: each key with its default and what its class says of it."""

import dataclasses
import inspect
import re
from collections.abc import Collection, Iterator
from typing import Any, cast, get_args, get_type_hints

from pipeline.settings import ENVIRONMENT, SECTIONS, defaults, not_set_here

HEADER = "| key | default | meaning |\n|---|---|---|"
INTRODUCTION = """# Configuration

Made from the parameter classes by `make config-docs`, and held against them by a test.

All settings are in the YAML files of one folder: `--config DIR`, else `TOCSIN_CONFIG`, else `./config`. The environment goes over
the files, `--broker` and `--set SETTING.KEY=VALUE` go over both. Unknown keys, wrong types, keys that stand twice, names of things
that are not there are refused at start-up, all problems at once; `tocsin check-config` says the same without starting anything.
Secrets are not in these files: the SASL password comes from an environment variable or a file.
"""


def render() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION, "## Environment\n", "| variable | setting |\n|---|---|"]
    parts += [f"| `{variable}` | `{setting}.{key}` |" for variable, (setting, key) in ENVIRONMENT.items()]
    for setting, (file, section, kind) in SECTIONS.items():
        where = f"config/{file}" + (f", section `{section}`" if section else "")
        parts += [f"\n## {setting}\n", f"{where}. {_summary(kind)}\n", HEADER, *_rows(kind, not_set_here(setting))]
        for key, entry in _entries(kind):
            parts += [f"\nEach entry of `{key}`: {_summary(entry)}\n", HEADER, *_rows(entry)]
    return "\n".join(parts) + "\n"


def _rows(kind: type, left_out: Collection[str] = (), prefix: str = "") -> list[str]:
    """Return a row a key that is not ``left_out``, those of nested parameters behind a dot."""
    rows: list[str] = []
    meanings, hints = _meanings(kind), get_type_hints(kind)
    for key, default in defaults(kind).items():
        if key in left_out:
            continue
        if dataclasses.is_dataclass(hints[key]):
            rows += _rows(cast(type, hints[key]), prefix=f"{prefix}{key}.")
        else:
            rows.append(f"| `{prefix}{key}` | {_shown(default)} | {meanings.get(key, '')} |")
    return rows


def _entries(kind: type) -> Iterator[tuple[str, type]]:
    """Yield the keys that hold several parameter objects, with their class."""
    for key, hint in get_type_hints(kind).items():
        for inner in get_args(hint):
            if dataclasses.is_dataclass(inner):
                yield key, cast(type, inner)


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n", 1)[0]


def _meanings(kind: type) -> dict[str, str]:
    """Return the ``Attributes`` section of a numpydoc docstring, by name; one entry may name several."""
    text = inspect.getdoc(kind) or ""
    _, _, section = text.partition("Attributes\n----------\n")
    section = re.split(r"\n\n\w+\n-{3,}\n", section)[0]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(",")]
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip().replace("|", "\\|").replace("``", "`")
    return found


def _shown(value: Any) -> str:
    if isinstance(value, tuple | dict) and len(value) > 6:
        return f"{len(value)} entries"
    if value == "(required)":
        return "required"
    text = repr(value).replace("|", "\\|")
    return f"`{text}`" if len(text) <= 160 else f"`{text[:157]}...`"
