"""rsyslog, syslog-ng and kcat write as teams let them write; their lines become the golden signals, by value.

Debian's are librdkafka 2.0.2 inside, which does not understand the embedded broker's first answer: they run on Apache Kafka alone.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.adapters.brokers import KafkaBroker
from pipeline.adapters.clock import now_ms
from tests.senders.arrived import arrived, config_for, new_topics, sums_of
from tests.senders.lines import BY_SEVERITY, LINES, access_lines, rfc3164, rfc5424
from tests.senders.shippers import codecs_on_disk, kcat, octet_counted, rsyslog, send_lines, syslog_ng
from tests.senders.traffic import ASKED, check_requests, native

pytestmark = pytest.mark.kafka
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TOPIC = "telemetry.logs"
TEMPLATES = {
    "json": ("json", "json_logs", BY_SEVERITY),
    "rfc5424": ("RSYSLOG_SyslogProtocol23Format", "lines", BY_SEVERITY),
    "rfc3164": ("RSYSLOG_TraditionalForwardFormat", "lines", BY_SEVERITY),
    "forward": ("RSYSLOG_ForwardFormat", "lines", BY_SEVERITY),
    "file": ("RSYSLOG_FileFormat", "lines", {"info": 31}),  # a file's lines name no severity
    "old-file": ("RSYSLOG_TraditionalFileFormat", "lines", {"info": 31}),
}


@pytest.mark.parametrize("compose", [rfc5424, rfc3164])
async def test_lines_through_rsyslog_count_by_severity(
    kafka_broker: KafkaBroker, tmp_path: Path, compose: Callable[[list[tuple[str, str]], int], list[str]]
) -> None:
    topics = await new_topics(kafka_broker, *TEMPLATES)
    outs = [
        (topics[name], template, CODECS[i % len(CODECS)].replace("zstd", "none"))
        for i, (name, (template, _, _)) in enumerate(TEMPLATES.items())
    ]
    with rsyslog(kafka_broker, tmp_path, outs) as port:
        send_lines(port, "".join(f"{line}\n" for line in compose(LINES, now_ms())).encode())
        records = {name: await arrived(kafka_broker, topics[name], len(LINES)) for name in TEMPLATES}
    for name in TEMPLATES:
        print(name, records[name][0].value, records[name][-1].value)

    for name, (_, decoder, by_severity) in TEMPLATES.items():
        found = sums_of(records[name], config_for(decoder, topic=TOPIC))
        assert set(found) == {"shop"}, name
        assert found["shop"].logs == by_severity, name
        assert sums_of(records[name], config_for("auto", topic=TOPIC)) == found, name
        assert {record.key for record in records[name]} == {None}


async def test_access_lines_through_rsyslog_are_requests_of_the_program_that_wrote_them(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    topics = await new_topics(kafka_broker, "json", "plain")
    at_ms = now_ms()
    lines = rfc5424([("info", line) for line in access_lines(ASKED, at_ms)], at_ms)
    outs = [(topics["json"], "json", "gzip"), (topics["plain"], "RSYSLOG_SyslogProtocol23Format", "lz4")]
    with rsyslog(kafka_broker, tmp_path, outs) as port:
        send_lines(port, "".join(f"{line}\n" for line in lines).encode())
        records = {name: await arrived(kafka_broker, topic, len(lines)) for name, topic in topics.items()}

    for name in topics:
        found = sums_of(records[name], config_for("auto", topic=TOPIC))
        check_requests(found["shop"])


NG_TEMPLATES = {
    "json": ("$(format-json --scope rfc5424 --exclude DATE --key ISODATE)\\n", "json_logs"),
    "selected": ("$(format-json --scope selected-macros --scope nv-pairs)", "json_logs"),
    "rfc5424": ("<$PRI>1 $ISODATE $HOST $PROGRAM $PID $MSGID $SDATA $MSG", "lines"),
    "file": ("$ISODATE $HOST $MSGHDR$MSG", "lines"),
}


async def test_lines_through_syslog_ng_count_by_severity(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topics = await new_topics(kafka_broker, *NG_TEMPLATES)
    outs = [(topics[name], template, CODECS[i]) for i, (name, (template, _)) in enumerate(NG_TEMPLATES.items())]
    with syslog_ng(kafka_broker, tmp_path, outs) as port:
        send_lines(port, octet_counted(rfc5424(LINES, now_ms())))
        records = {name: await arrived(kafka_broker, topics[name], len(LINES)) for name in NG_TEMPLATES}

    for name, (_, decoder) in NG_TEMPLATES.items():
        found = sums_of(records[name], config_for(decoder, topic=TOPIC))
        assert set(found) == {"shop"}, name
        assert found["shop"].logs == ({"info": 31} if name == "file" else BY_SEVERITY), name
        assert sums_of(records[name], config_for("auto", topic=TOPIC)) == found, name


@pytest.mark.parametrize("codec", CODECS)
async def test_kcat_pipes_access_lines_whose_headers_name_the_service(kafka_broker: KafkaBroker, codec: str) -> None:
    topics = await new_topics(kafka_broker, "lines")
    kcat(kafka_broker, topics["lines"], access_lines(ASKED, now_ms()), "-z", codec, "-H", "service=web", "-H", "environment=prod")

    records = await arrived(kafka_broker, topics["lines"], len(ASKED))

    for decoder in ("auto", "lines"):
        found = sums_of(records, config_for(decoder, topic=TOPIC))
        check_requests(found["web"])
        assert found["web"].environments == {"prod"}


async def test_kcat_pipes_access_lines_of_a_topic_whose_service_is_configured(kafka_broker: KafkaBroker) -> None:
    topics = await new_topics(kafka_broker, "lines")
    kcat(kafka_broker, topics["lines"], access_lines(ASKED, now_ms()))

    records = await arrived(kafka_broker, topics["lines"], len(ASKED))

    check_requests(sums_of(records, config_for("auto", topic=TOPIC, service="front"))["front"])


@pytest.mark.parametrize("codec", CODECS)
async def test_kcat_writes_our_own_json(kafka_broker: KafkaBroker, codec: str) -> None:
    topics, lines = await new_topics(kafka_broker, "json"), native(ASKED, now_ms())
    kcat(kafka_broker, topics["json"], lines, "-z", codec)

    records = await arrived(kafka_broker, topics["json"], len(lines))

    for decoder in ("native", "auto"):
        check_requests(sums_of(records, config_for(decoder))["shop"])
    assert codecs_on_disk(kafka_broker, topics["json"]) == {codec}
