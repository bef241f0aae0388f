"""Schemas and the AsyncAPI document are what the contracts say, are valid, and describe what really goes over the wire."""

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]
from msgspec import inspect
from typer.testing import CliRunner

from pipeline.act.cloud_events import request_record
from pipeline.act.remediation import RemediationPolicy
from pipeline.cli.schemas import app, check, read_topics, table, write
from pipeline.contracts import (
    alerts,
    anomalies,
    config,
    dead_letters,
    models,
    partials,
    remediation,
    schemas,
    signals,
    telemetry,
    topology,
)
from pipeline.contracts.asyncapi import asyncapi
from pipeline.contracts.catalogue import CATALOGUE, FAMILIES, REMEDIATION_DATA, Family
from pipeline.contracts.codec import encode
from pipeline.contracts.schemas import json_schemas, references
from pipeline.contracts.topics import Topics
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "config" / "schemas"
SCHEMAS = json_schemas()
TOPICS = read_topics(ROOT / "config")
DOCUMENT = asyncapi(TOPICS)
NAMED = {family.name: family for family in FAMILIES}
CONTRACTS = {
    name: value
    for module in (alerts, anomalies, config, dead_letters, models, partials, remediation, signals, telemetry, topology)
    for name, value in vars(module).items()
}

numbers = st.floats(0, 1e9, allow_nan=False, width=32)
counts = st.integers(0, 2**40)
LATENCY = st.one_of(
    st.builds(telemetry.Exponential, scale=st.integers(-10, 20), offset=st.integers(-99, 99), counts=st.lists(counts, max_size=4)),
    st.builds(telemetry.Explicit, bounds=st.lists(numbers, max_size=3), counts=st.lists(counts, max_size=4), sum=numbers),
    st.builds(telemetry.Quantiles, p50=numbers, p99=st.none() | numbers),
).map(msgspec.to_builtins)


def plain_values(kind: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one line a kind of type
    """Return JSON values that a contract type accepts, whatever type it is."""
    match kind:
        case inspect.Metadata():
            return LATENCY if "anyOf" in (kind.extra_json_schema or {}) else plain_values(kind.type)
        case inspect.UnionType():
            return st.one_of([plain_values(each) for each in kind.types])
        case inspect.StructType():
            return struct_values(kind)
        case inspect.EnumType():
            return st.sampled_from([member.value for member in kind.cls])
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.ListType() | inspect.CollectionType() | inspect.VarTupleType():
            return st.lists(plain_values(kind.item_type), max_size=2)
        case inspect.DictType():
            keys = st.integers(-9, 9).map(str) if isinstance(kind.key_type, inspect.IntType) else st.text(max_size=4)
            return st.dictionaries(keys, plain_values(kind.value_type), max_size=2)
        case inspect.StrType():
            return st.just("1.0") if kind.pattern else st.text(min_size=kind.min_length or 0, max_size=8)
        case inspect.IntType():
            return st.integers(-(2**40) if kind.ge is None else kind.ge, 2**40 if kind.le is None else kind.le)
        case inspect.FloatType():
            lowest = -1e9 if kind.ge is None and kind.gt is None else (kind.ge or 0.0)
            highest = 1e9 if kind.le is None else kind.le
            return st.floats(lowest, highest, exclude_min=kind.gt is not None, allow_subnormal=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case _:
            return st.integers() | st.text(max_size=4)  # Any


def struct_values(kind: inspect.StructType) -> st.SearchStrategy[dict[str, Any]]:
    required = {field.encode_name: plain_values(field.type) for field in kind.fields if field.required}
    optional = {field.encode_name: plain_values(field.type) for field in kind.fields if not field.required}
    tag = {} if kind.tag_field is None else {kind.tag_field: st.just(kind.tag)}
    return st.fixed_dictionaries({**tag, **required}, optional=optional)


def records_of(family: Family) -> st.SearchStrategy[Any]:
    """Return records of a family, of every one of its types."""
    return plain_values(inspect.type_info(family.record)).map(lambda value: msgspec.convert(value, family.record, str_keys=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the committed schemas, with topics and page where they belong."""
    shutil.copytree(COMMITTED, tmp_path / "config" / "schemas")
    shutil.copy(ROOT / "config" / "topics.yaml", tmp_path / "config")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "topics.md", tmp_path / "docs")
    return tmp_path / "config" / "schemas"


def test_the_committed_files_are_what_the_contracts_say() -> None:
    assert check(COMMITTED) == [], "run `tocsin schemas` and commit what it writes"


def test_a_changed_contract_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = msgspec.defstruct("Verdict", [("id", str), ("colour", str)])
    families = [dataclasses.replace(family, record=changed) if family.name == "anomalies" else family for family in FAMILIES]
    monkeypatch.setattr(schemas, "FAMILIES", families)

    assert check(folder) == [f"{folder / 'anomalies.json'} differs from the contracts"]


def test_a_changed_topic_is_noticed_in_document_and_page(folder: Path) -> None:
    topics = folder.parent / "topics.yaml"
    topics.write_text(topics.read_text().replace("service_partitions: 8", "service_partitions: 16"))

    assert check(folder) == [
        f"{folder / 'asyncapi.json'} differs from the contracts",
        f"{folder.parent.parent / 'docs' / 'topics.md'} differs from the contracts",
    ]


def test_missing_and_stray_files_are_noticed_and_mended(folder: Path) -> None:
    (folder / "signals.json").rename(folder / "golden-signals.json")
    noticed = check(folder)

    write(folder)

    assert noticed == [f"{folder / 'golden-signals.json'} is made from no contract", f"{folder / 'signals.json'} is missing"]
    assert check(folder) == []


def test_the_command_checks_writes_and_says_so(folder: Path) -> None:
    (folder / "signals.json").write_text("{}")
    config = ["--config", str(folder.parent)]

    refused = CliRunner().invoke(app, ["check", "--json", *config])
    written = CliRunner().invoke(app, ["write", *config])
    accepted = CliRunner().invoke(app, ["check", *config])

    assert (refused.exit_code, written.exit_code, accepted.exit_code) == (1, 0, 0)
    assert msgspec.json.decode(refused.stdout)["problems"] == [f"{folder / 'signals.json'} differs from the contracts"]


def test_topics_that_cannot_be_read_are_a_clear_error(folder: Path) -> None:
    (folder.parent / "topics.yaml").write_text("topics: 5")

    with pytest.raises(ConfigError, match=r"topics\.yaml: "):
        check(folder)


@pytest.mark.parametrize("name", NAMED)
def test_every_schema_is_valid_and_complete(name: str) -> None:
    schema = SCHEMAS[name]

    Draft202012Validator.check_schema(schema)

    assert schema["$id"] == f"urn:tocsin:schema:{name}:{NAMED[name].version}"
    assert set(references(schema)) - {"Record"} == set(schema["$defs"]) - {"Record"}
    assert all(definition["description"] for kind, definition in schema["$defs"].items() if kind != "Record")


def test_docstrings_describe_properties() -> None:
    properties = SCHEMAS["alert-events"]["$defs"]["AlertEvent"]["properties"]

    assert properties["since_ms"]["description"] == "Start of the first window that was bad."
    assert properties["fired_at_ms"]["description"] == properties["resolved_at_ms"]["description"]
    assert "Attributes" not in SCHEMAS["alert-events"]["$defs"]["AlertEvent"]["description"]


@pytest.mark.parametrize("name", NAMED)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_what_is_encoded_is_valid(name: str, data: st.DataObject) -> None:
    record = data.draw(records_of(NAMED[name]))

    value = msgspec.json.decode(encode(record))

    Draft202012Validator(SCHEMAS[name]).validate(value)


TELEMETRY_EXAMPLES = [
    {"kind": "request", "service": "cart", "time": 1785000000123, "duration_ms": 41.7, "status": "ok", "unknown": [1]},
    {"kind": "summary", "service": "pay", "time": 1785000010.5, "interval_s": 10, "requests": 8, "latency_ms": {"p99": 71.5}},
    {"kind": "gauge", "service": "pay", "time": "2026-07-25T17:20:10Z", "resource": "cpu", "utilization": 1.02},
    {"kind": "log", "service": "pay", "time": 1785000010, "severity": 17, "body": "no"},
    {"kind": "change", "service": "pay", "time": 1785000010, "type": "deployment", "version": "1.4.2"},
]


@pytest.mark.parametrize(
    "example", [*TELEMETRY_EXAMPLES, TELEMETRY_EXAMPLES], ids=lambda e: "array" if isinstance(e, list) else e["kind"]
)
def test_telemetry_may_be_one_record_or_an_array(example: object) -> None:
    Draft202012Validator(SCHEMAS["telemetry"]).validate(example)


def test_the_examples_of_the_documentation_are_valid() -> None:
    blocks = (ROOT / "docs" / "topics.md").read_text().split("```json\n")[1:]

    for block in blocks:
        example = msgspec.json.decode(block.partition("```")[0])
        is_feedback = isinstance(example, dict) and example["kind"] == "feedback"
        Draft202012Validator(SCHEMAS["feedback" if is_feedback else "telemetry"]).validate(example)
    assert len(blocks) == 4


@pytest.mark.parametrize("example", sorted((ROOT / "config" / "examples").glob("*.ndjson")), ids=lambda path: path.name)
def test_example_telemetry_files_are_valid(example: Path) -> None:
    validator = Draft202012Validator(SCHEMAS["telemetry"])

    for line in example.read_bytes().splitlines():
        validator.validate(msgspec.json.decode(line))


SUMMARY = {"kind": "summary", "service": "pay", "time": 1785000010, "interval_s": 10, "requests": 8}


@pytest.mark.parametrize(
    "latency_ms",
    [{}, {"scale": 3, "offset": 0}, {"bounds": [1], "counts": [-1, 2]}, {"p50": "71.5"}, {"p50": -1}, 5, [1.0]],
)
def test_a_latency_that_is_none_of_the_three_is_refused(latency_ms: object) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMAS["telemetry"]).validate({**SUMMARY, "latency_ms": latency_ms})


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "request", "service": "cart", "time": 1},
        {"kind": "request", "service": "cart", "time": 1, "duration_ms": "5"},
        {"kind": "request", "service": "", "time": 1, "duration_ms": 5},
        {"kind": "span", "service": "cart", "time": 1},
        "hello",
        None,
    ],
)
def test_what_is_no_telemetry_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMAS["telemetry"]).validate(value)


def about(definition: Mapping[str, Any]) -> set[str]:
    return {"environment", "version"} & set(definition["properties"])


@pytest.mark.parametrize("name", sorted(set(NAMED) - {"partials", "remediation-requests"}))
def test_every_record_names_environment_and_version(name: str) -> None:
    body = SCHEMAS[name]["$defs"].get("Record", SCHEMAS[name])
    records = list(references({key: value for key, value in body.items() if key != "$defs"}))

    assert records
    assert all(about(SCHEMAS[name]["$defs"][record]) == {"environment", "version"} for record in records)


def test_records_inside_an_envelope_name_environment_and_version() -> None:
    request = SCHEMAS["remediation-requests"]["$defs"]["RemediationRequest"]
    partial = SCHEMAS["partials"]["$defs"]["Partial"]

    assert about(request) == {"environment", "version"}
    assert {"environment", "versions"} <= set(partial["properties"])  # readings of several versions meet in one partial


def test_topics_and_catalogue_name_the_same_records() -> None:
    for logical, spec in TOPICS.by_logical_name().items():
        entry = CATALOGUE[logical]  # type: ignore[index]
        if entry.record_header:
            assert spec.value == "untouched bytes"
            continue
        outer, _, inner = spec.value.removesuffix("]").partition("[")
        record = CONTRACTS[outer][CONTRACTS[inner]] if inner else CONTRACTS[outer]
        assert entry.family.record == record, logical


def targets(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def resolved(reference: str) -> Any:
    """Return what a reference of the AsyncAPI document points to; KeyError: nothing."""
    file, _, path = reference.partition("#")
    node: Any = DOCUMENT if not file else SCHEMAS[file.removeprefix("./").removesuffix(".json")]
    for part in path.split("/")[1:]:
        node = node[part]
    return node


def test_every_reference_of_the_document_resolves() -> None:
    found = list(targets(DOCUMENT))

    assert len(found) > 3 * len(CATALOGUE)
    assert all(resolved(reference) for reference in found)


def test_the_document_has_what_asyncapi_3_requires() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert set(DOCUMENT["channels"]) == set(TOPICS.by_logical_name())
    for channel in DOCUMENT["channels"].values():
        assert channel["messages"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert resolved(operation["channel"]["$ref"])["messages"]
        assert operation["messages"][0]["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")


def test_every_channel_is_used_by_an_app_and_every_message_has_payload_and_key() -> None:
    used = {operation["channel"]["$ref"].rpartition("/")[2] for operation in DOCUMENT["operations"].values()}

    assert used == set(CATALOGUE)
    for message in DOCUMENT["components"]["messages"].values():
        assert message["payload"]
        assert message["bindings"]["kafka"]["key"]["description"]


def test_bindings_are_the_topics_settings() -> None:
    for logical, spec in TOPICS.by_logical_name().items():
        channel = DOCUMENT["channels"][logical]
        kafka = channel["bindings"]["kafka"]

        assert channel["address"] == kafka["topic"] == spec.name
        assert kafka["partitions"] == TOPICS.partitions_of(spec)
        assert kafka["topicConfiguration"]["cleanup.policy"] == spec.cleanup.split(",")
        assert kafka["topicConfiguration"]["retention.ms"] == spec.retention_ms
        assert set(kafka["topicConfiguration"]) == set(spec.settings)


def test_copies_are_stated_only_when_the_topics_state_them() -> None:
    three = dataclasses.replace(TOPICS, replication_factor=3)

    assert "replicas" not in DOCUMENT["channels"]["signals"]["bindings"]["kafka"]
    assert asyncapi(three)["channels"]["signals"]["bindings"]["kafka"]["replicas"] == 3


def test_the_table_says_how_long_records_are_kept() -> None:
    specs = tuple(
        dataclasses.replace(spec, retention_ms=7_200_000) if spec.logical == "alert-events" else spec for spec in TOPICS.topics
    )

    rows = table(Topics(topics=specs)).splitlines()

    kept = {row.split(" | ")[0].strip("| `"): row.split(" | ")[-1].strip("| ") for row in rows}
    assert kept["tocsin.alert-events"] == "2 h"
    assert kept["tocsin.alerts"] == "the last of each key"
    assert kept["tocsin.partials"] == "2 GiB a partition"


def test_the_families_have_files_of_their_own() -> None:
    assert len(NAMED) == len(FAMILIES)
    assert {entry.family for entry in CATALOGUE.values()} == set(FAMILIES) - {REMEDIATION_DATA}


def test_remediation_events_name_the_schema_of_their_data_and_carry_the_headers_of_the_document() -> None:
    event = alerts.AlertEvent(
        id="1",
        alert_id="2",
        dedup_key="prod/cart/latency",
        transition=alerts.Transition.FIRED,
        state=alerts.AlertState.FIRING,
        environment="prod",
        service="cart",
        version="",
        condition="latency",
        signal="latency",
        severity=anomalies.Severity.PAGE,
        since_ms=0,
        at_ms=30_000,
    )
    policy = RemediationPolicy(name="restart", action=remediation.Action.RESTART)

    out = request_record(event, policy, source="/tocsin", dry_run=True)

    assert msgspec.json.decode(out.value or b"")["dataschema"] == SCHEMAS["remediation-request"]["$id"]
    documented = DOCUMENT["components"]["messages"]["remediation.requests"]["headers"]["properties"]
    assert {name for name, _ in out.headers} == set(documented)
