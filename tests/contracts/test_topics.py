"""config/topics.yaml and the rules of the topic parameters."""

from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.contracts.topics import Topics, TopicSpec
from tests.brokers_fixture import configured_topics

SERVICE_KEYED = {"changes", "feedback", "models", "partials", "signals", "anomalies"}


def test_everything_keyed_by_service_has_the_same_partition_count() -> None:
    topics = replace(configured_topics(), service_partitions=5)

    counts = {name: topics.partitions_of(spec) for name, spec in topics.by_logical_name().items()}

    assert {counts[name] for name in SERVICE_KEYED} == {5}
    assert counts["alert-events"] == 1


def test_no_topic_is_deleted_by_age_because_replays_carry_old_event_times() -> None:
    assert {spec.logical: spec.retention_ms for spec in configured_topics().topics if spec.retention_ms != -1} == {}


def test_the_largest_telemetry_message_fits_into_a_dead_letter_with_its_reason() -> None:
    specs = configured_topics().by_logical_name()
    telemetry = max(specs[name].max_message_bytes for name in ("telemetry.metrics", "telemetry.logs", "changes", "feedback"))

    assert specs["dead-letters"].max_message_bytes >= telemetry + 1_048_576


def test_settings_are_in_kafkas_own_words() -> None:
    spec = TopicSpec(
        logical="alerts", name="x", partitions=1, key="k", value="v", cleanup="compact", segment_ms=5, timestamp_type="append"
    )

    assert spec.settings == {
        "cleanup.policy": "compact",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": "1048588",
        "message.timestamp.type": "LogAppendTime",
        "segment.ms": "5",
    }


def test_missing_and_doubled_topics_are_refused_all_at_once() -> None:
    configured = configured_topics()
    doubled = (*configured.topics[1:], configured.topics[1])

    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Topics).validate_python({"topics": doubled, "replication_factor": 0})

    text = str(refused.value)
    assert "topic 'telemetry.metrics' is missing" in text
    assert "logical name 'telemetry.logs' stands twice" in text
    assert "replication_factor must be at least 1, or -1" in text


@pytest.mark.parametrize(
    "values",
    [
        {"partitions": 0},
        {"partitions": "telemetries"},
        {"name": "with space"},
        {"name": ""},
        {"retention_ms": -2},
        {"cleanup": "keep"},
        {"logical": "unknown"},
        {"retention": 5},
        {"min_cleanable_dirty_ratio": 1.5},
    ],
)
def test_a_topic_that_breaks_a_rule_is_refused(values: dict[str, object]) -> None:
    good = {"logical": "alerts", "name": "x", "partitions": 1, "key": "k", "value": "v"}

    with pytest.raises(ValidationError):
        TypeAdapter(TopicSpec).validate_python({**good, **values})
