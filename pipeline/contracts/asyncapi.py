"""The AsyncAPI 3 document: every topic as a channel, its record, its key, and its settings on Kafka."""

from typing import Any, Literal

from pipeline.contracts.catalogue import APPS, CATALOGUE, Entry, Party
from pipeline.contracts.topics import LogicalName, Topics, TopicSpec

VERSION = "1.0.0"
"""Of the contracts as a whole: first number for what breaks a reader, second for what is new."""
BINDING_VERSION = "0.5.0"
JsonObject = dict[str, Any]
Verb = Literal["receive", "send"]
_BYTES = "The refused record's value, untouched; empty when it had none."


def asyncapi(topics: Topics) -> JsonObject:
    """Return the AsyncAPI 3.0 document of Tocsin's topics.

    Payloads refer to the schema files beside it (``./signals.json``).

    Parameters
    ----------
    topics
        Names and settings of every topic.

    """
    specs = topics.by_logical_name()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tocsin",
            "version": VERSION,
            "description": "What Tocsin reads from Kafka, and what it publishes: telemetry in, golden signals, verdicts, "
            "alerts and remediation events out. Keys are `environment/service` unless said otherwise.",
        },
        "defaultContentType": "application/json",
        "channels": {logical: _channel(logical, entry, specs[logical], topics) for logical, entry in CATALOGUE.items()},
        "operations": {
            f"{app}.{verb}s.{logical}": _operation(app, verb, logical)
            for logical, entry in CATALOGUE.items()
            for verb, parties in _uses(entry)
            for app in APPS
            if app in parties
        },
        "components": {"messages": {logical: _message(logical, entry, specs[logical]) for logical, entry in CATALOGUE.items()}},
    }


def _channel(logical: LogicalName, entry: Entry, spec: TopicSpec, topics: Topics) -> JsonObject:
    kafka: JsonObject = {
        "topic": spec.name,
        "partitions": topics.partitions_of(spec),
        "topicConfiguration": _topic_configuration(spec),
        "bindingVersion": BINDING_VERSION,
    }
    if topics.replication_factor > 0:
        kafka["replicas"] = topics.replication_factor
    return {
        "address": spec.name,
        "title": entry.title,
        "description": entry.description,
        "messages": {"record": {"$ref": f"#/components/messages/{logical}"}},
        "bindings": {"kafka": kafka},
    }


def _topic_configuration(spec: TopicSpec) -> JsonObject:
    """Return a topic's settings, typed as AsyncAPI's Kafka binding wants those that it knows."""
    numbers = {"retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes"}
    settings: JsonObject = {name: int(value) if name in numbers else value for name, value in spec.settings.items()}
    settings["cleanup.policy"] = spec.cleanup.split(",")
    return settings


def _uses(entry: Entry) -> tuple[tuple[Verb, tuple[Party, ...]], ...]:
    return ("receive", entry.read_by), ("send", entry.written_by)


def _operation(app: Party, verb: Verb, logical: LogicalName) -> JsonObject:
    return {
        "action": verb,
        "channel": {"$ref": f"#/channels/{logical}"},
        "summary": f"{app} {'reads' if verb == 'receive' else 'writes'} {CATALOGUE[logical].title.lower()}",
        "messages": [{"$ref": f"#/channels/{logical}/messages/record"}],
    }


def _message(logical: LogicalName, entry: Entry, spec: TopicSpec) -> JsonObject:
    family = f"./{entry.family.name}.json"
    properties: JsonObject = {name: {"type": "string"} for name in entry.headers}
    required = [name for name, is_always_there in entry.headers.items() if is_always_there]
    if entry.record_header:
        properties[entry.record_header] = {"type": "string", "contentMediaType": "application/json", "x-content-schema": family}
        required.append(entry.record_header)
    message: JsonObject = {
        "name": logical,
        "title": entry.family.title,
        "summary": entry.description,
        "contentType": entry.content_type,
        "payload": {"description": _BYTES} if entry.record_header else {"$ref": family},
        "bindings": {
            "kafka": {
                "key": {"type": "string" if entry.is_keyed else ["string", "null"], "description": spec.key},
                "bindingVersion": BINDING_VERSION,
            }
        },
    }
    if properties:
        message["headers"] = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    return message
