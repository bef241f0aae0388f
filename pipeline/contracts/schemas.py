"""JSON Schemas of every record family, made from the contract types and their docstrings."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipeline.contracts.catalogue import FAMILIES, Family

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
_REFERENCE = "#/$defs/"
_SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*)\n((?: {4}.*\n?)+)", re.MULTILINE)


def schema_id(family: Family) -> str:
    """Return the ``$id`` of a family's schema; a CloudEvent's ``dataschema`` may name it.

    Examples
    --------
    >>> from pipeline.contracts.catalogue import SIGNALS
    >>> schema_id(SIGNALS)
    'urn:tocsin:schema:signals:1'

    """
    return f"urn:tocsin:schema:{family.name}:{family.version}"


def json_schemas() -> dict[str, Schema]:
    """Return the JSON Schema (2020-12) of each record family, under the family's name.

    A schema stands alone: it holds every definition that it refers to, and no other. Unknown fields are allowed,
    as every reader of Tocsin ignores them.
    """
    return {family.name: _family_schema(family) for family in FAMILIES}


def _family_schema(family: Family) -> Schema:
    (record, *_), components = msgspec.json.schema_components([family.record, *family.parts], ref_template=_REFERENCE + "{name}")
    definitions = {name: _documented(definition) for name, definition in components.items()}
    body = _without_discriminators(record)
    if family.is_batchable:
        definitions["Record"] = body
        one: Schema = {"$ref": _REFERENCE + "Record"}
        body = {"anyOf": [one, {"type": "array", "items": one}]}
    return {
        "$schema": DIALECT,
        "$id": schema_id(family),
        "title": family.title,
        **body,
        "$defs": _reachable(body, definitions),
    }


def _documented(definition: Schema) -> Schema:
    """Return a definition whose docstring's ``Attributes`` describe its properties, and whose summary describes it."""
    summary, attributes = _read_docstring(definition.get("description", ""))
    plain = _without_discriminators(definition)
    if summary:
        plain["description"] = summary
    properties = plain.get("properties", {})
    plain |= (
        {"properties": {name: _described(value, attributes.get(name)) for name, value in properties.items()}} if properties else {}
    )
    return plain


def _described(value: Schema, description: str | None) -> Schema:
    return value if description is None else {"description": description, **value}


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return a numpydoc docstring's text before its first section, and what its ``Attributes`` say, by name."""
    lines = text.splitlines()
    dedented = "\n".join([*lines[:1], *(line.removeprefix("    ") for line in lines[1:])])
    summary, *sections = _SECTION.split(dedented)
    by_heading = dict(zip(sections[::2], sections[1::2], strict=True))
    described = {
        name: _one_line(description)
        for names, description in _ATTRIBUTE.findall(by_heading.get("Attributes", "") + "\n")
        for name in names.split(", ")
    }
    return _one_line(summary), described


def _one_line(text: str) -> str:
    """Return prose without line breaks and reStructuredText's marks."""
    return re.sub(r":\w+:(?=`)", "", " ".join(text.split())).replace("``", "`")


def _without_discriminators(schema: Schema) -> Schema:
    """Return a schema without OpenAPI's ``discriminator``, to which JSON Schema gives no meaning, and AsyncAPI another."""
    return {name: value for name, value in schema.items() if name != "discriminator"}


def _reachable(body: Schema, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the definitions that a body refers to, directly or by way of others, in order of name."""
    found: set[str] = set()
    waiting = [body]
    while waiting:
        for name in set(references(waiting.pop())) - found:
            found.add(name)
            waiting.append(definitions[name])
    return {name: definitions[name] for name in sorted(found)}


def references(schema: object) -> Iterator[str]:
    """Yield the name of each definition (``#/$defs/NAME``) that a schema refers to."""
    if isinstance(schema, Mapping):
        target = schema.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(_REFERENCE)
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)
