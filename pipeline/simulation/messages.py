"""How telemetry records travel: decides topic, key and Kafka timestamp of each message."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import orjson

from pipeline.contracts.keys import service_key
from pipeline.simulation.records import Record, time_of

METRICS, LOGS, CHANGES, FEEDBACK = "telemetry.metrics", "telemetry.logs", "changes", "feedback"
DEFAULT_ENVIRONMENT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One Kafka message to send. ``records`` is how many telemetry records it holds."""

    topic: str
    key: bytes | None
    value: bytes
    timestamp_ms: int
    records: int = 1


def topic_of(kind: object) -> str:
    """Return the logical topic of a record's kind.

    Examples
    --------
    >>> topic_of("summary"), topic_of("log"), topic_of("change")
    ('telemetry.metrics', 'telemetry.logs', 'changes')

    """
    return {"log": LOGS, "change": CHANGES, "feedback": FEEDBACK}.get(str(kind), METRICS)


def key_of(record: Record) -> bytes | None:
    """Return the key of a record, ``environment/service``; ``None`` when it names no service."""
    service, environment = record.get("service"), record.get("environment", DEFAULT_ENVIRONMENT)
    if not isinstance(service, str) or not isinstance(environment, str):
        return None
    return service_key(environment, service).encode()


def one_each(records: Iterable[Record]) -> Iterator[Message]:
    """Yield a message for each record, at the record's time."""
    for record in records:
        yield Message(topic=topic_of(record["kind"]), key=key_of(record), value=orjson.dumps(record), timestamp_ms=time_of(record))


def arrays(records: Iterable[Record], span_ms: int) -> Iterator[Message]:
    """Yield an array a topic and service for every ``span_ms`` of the records' time, as collectors batch.

    ``records`` come by time. A message's timestamp is that of its last record; messages come in order of time.
    """
    for _, together in groupby(records, key=lambda record: (time_of(record) - 1) // span_ms):
        arrays_by_place: dict[tuple[str, bytes | None], list[Record]] = {}
        for record in together:
            arrays_by_place.setdefault((topic_of(record["kind"]), key_of(record)), []).append(record)
        of_span = [
            Message(topic=topic, key=key, value=orjson.dumps(array), timestamp_ms=time_of(array[-1]), records=len(array))
            for (topic, key), array in arrays_by_place.items()
        ]
        yield from sorted(of_span, key=lambda message: message.timestamp_ms)
