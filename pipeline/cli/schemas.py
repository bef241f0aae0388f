"""`tocsin schemas`: writes the schemas, the AsyncAPI document and the topics page from the contracts, or says what differs."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import typer
import yaml
from pydantic import TypeAdapter, ValidationError

from pipeline.cli.options import AsJson, ConfigDir, examples
from pipeline.cli.output import say, say_json
from pipeline.contracts.asyncapi import asyncapi
from pipeline.contracts.catalogue import CATALOGUE
from pipeline.contracts.schemas import json_schemas
from pipeline.contracts.topics import Topics
from pipeline.errors import ConfigError

app = typer.Typer(help="Write the schemas from the contracts, or check them.", no_args_is_help=True)
DOCUMENT = "asyncapi.json"
BEGIN = "<!-- Made by `tocsin schemas` from pipeline/contracts and config/topics.yaml. -->"
END = "<!-- End of what is made. -->"


@app.command("write", epilog=examples("tocsin schemas write"))
def write_all(*, config: ConfigDir = None) -> None:
    """Write config/schemas, the AsyncAPI document and the table of docs/topics.md."""
    folder = (config or _config_dir()) / "schemas"
    write(folder)
    say(f"{len(generated(folder))} files are as the contracts say")


@app.command("check", epilog=examples("tocsin schemas check --json"))
def check_all(*, config: ConfigDir = None, as_json: AsJson = False) -> None:
    """Say which generated files are not as the contracts say; exit code 1 when there are any."""
    problems = check((config or _config_dir()) / "schemas")
    if as_json:
        say_json({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            say(problem)
        if not problems:
            say("the schemas are as the contracts say")
    if problems:
        raise typer.Exit(1)


def write(folder: Path) -> None:
    """Write every generated file, and remove schemas that are no more.

    Parameters
    ----------
    folder
        Where the schemas are, config/schemas; topics.yaml stands beside it. A page docs/topics.md beside config gets its table.

    """
    folder.mkdir(parents=True, exist_ok=True)
    files = generated(folder)
    for path, content in files.items():
        path.write_text(content, encoding="utf-8")
    for path in _stray(folder, files):
        path.unlink()


def check(folder: Path) -> list[str]:
    """Return which generated files are not as the contracts say, one sentence each; empty: none."""
    files = generated(folder)
    problems = [f"{path} is made from no contract" for path in _stray(folder, files)]
    for path, content in files.items():
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.read_text(encoding="utf-8") != content:
            problems.append(f"{path} differs from the contracts")
    return problems


def generated(folder: Path) -> dict[Path, str]:
    """Return what each generated file is to hold: schemas, AsyncAPI document, and the topics page where there is one."""
    topics = read_topics(folder.parent)
    documents = {f"{name}.json": schema for name, schema in json_schemas().items()}
    documents[DOCUMENT] = asyncapi(topics)
    files = {folder / name: _pretty(document) for name, document in documents.items()}
    page = folder.parent.parent / "docs" / "topics.md"
    if page.is_file():
        files[page] = with_table(page.read_text(encoding="utf-8"), topics)
    return files


def _config_dir() -> Path:
    from pipeline.settings import default_config_dir  # noqa: PLC0415 - takes a second, which --help need not wait for

    return default_config_dir()


def _stray(folder: Path, files: Mapping[Path, str]) -> list[Path]:
    return [path for path in sorted(folder.glob("*.json")) if path not in files]


def _pretty(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def read_topics(config_dir: Path) -> Topics:
    """Return the topics of topics.yaml, without asking for the rest of the configuration.

    Raises
    ------
    ConfigError
        If they cannot be read.

    """
    path = config_dir / "topics.yaml"
    try:
        return TypeAdapter(Topics).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as problem:
        raise ConfigError([f"{path}: {problem}"]) from problem


def with_table(page: str, topics: Topics) -> str:
    """Return a Markdown page with the table of all topics between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(topics)}\n{END}{after}"


def table(topics: Topics) -> str:
    """Return the table of all topics in Markdown."""
    rows = [
        "| topic | partitions | key | value | written by | read by | kept |",
        "|---|---|---|---|---|---|---|",
    ]
    specs = topics.by_logical_name()
    for logical, entry in CATALOGUE.items():
        spec = specs[logical]
        schema = f"[{entry.family.title}](../config/schemas/{entry.family.name}.json)"
        value = f"untouched bytes; header `{entry.record_header}`: {schema}" if entry.record_header else schema
        cells = [
            f"`{spec.name}`",
            str(topics.partitions_of(spec)),
            spec.key,
            value + (", or an array" if entry.family.is_batchable else ""),
            ", ".join(entry.written_by),
            ", ".join(entry.read_by),
            _kept(spec.cleanup, spec.retention_ms, spec.retention_bytes),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _kept(cleanup: str, retention_ms: int, retention_bytes: int) -> str:
    limits = [f"{retention_bytes / 1024**3:g} GiB a partition"] if retention_bytes >= 0 else []
    limits += [f"{retention_ms / 3_600_000:g} h"] if retention_ms >= 0 else []
    if cleanup == "compact":
        return "the last of each key"
    return " or ".join(limits) or "for ever"
