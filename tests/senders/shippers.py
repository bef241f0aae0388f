"""Log shippers and producers as teams run them: rsyslog, syslog-ng, kcat, confluent-kafka."""

import contextlib
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

from pipeline.adapters.brokers import KafkaBroker, LocalBroker
from pipeline.adapters.brokers.ports import free_ports
from tests.senders.programs import debian, libraries, started

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
"""Kafka's record batch, attributes, the lowest three bits."""
_ATTRIBUTES_AT = 22
_LIMIT_S = 60.0

_RSYSLOG = """
module(load="imtcp")
module(load="{modules}/omkafka.so")
global(workDirectory="{folder}")
template(name="json" type="list") {{
  constant(value="{{")
  property(outname="timereported" name="timereported" dateFormat="rfc3339" format="jsonf") constant(value=",")
  property(outname="hostname" name="hostname" format="jsonf") constant(value=",")
  property(outname="syslogseverity-text" name="syslogseverity-text" format="jsonf") constant(value=",")
  property(outname="programname" name="programname" format="jsonf") constant(value=",")
  property(outname="message" name="msg" format="jsonf")
  constant(value="}}\\n")
}}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="out")
ruleset(name="out") {{
{actions}
}}
"""
_ACTION = """  action(type="omkafka" broker=["{broker}"] topic="{topic}" template="{template}"
    confParam=["compression.codec={compression}"])"""

_SYSLOG_NG = """@version: 3.35
options {{ keep-hostname(yes); }};
source lines {{ syslog(transport("tcp") ip("127.0.0.1") port({port})); }};
{destinations}
log {{ source(lines); {routes} }};
"""
_DESTINATION = (
    'destination d{number} {{ kafka-c(bootstrap-servers("{broker}") topic("{topic}") message("{template}")'
    ' config(compression.codec("{compression}"))); }};'
)

Out = tuple[str, str, str]
"""(topic, template, compression)."""


@contextlib.contextmanager
def rsyslog(broker: LocalBroker, folder: Path, outs: Iterable[Out]) -> Iterator[int]:
    """Give the TCP port of an rsyslog that writes each line to every topic by its template."""
    (port,) = free_ports(1)
    (modules,) = debian("usr/sbin/rsyslogd").parents[1].glob("lib/*-linux-gnu/rsyslog")
    actions = [_ACTION.format(broker=broker.bootstrap, topic=out[0], template=out[1], compression=out[2]) for out in outs]
    config = folder / "rsyslog.conf"
    config.write_text(_RSYSLOG.format(modules=modules, folder=folder, port=port, actions="\n".join(actions)))
    command = [debian("usr/sbin/rsyslogd"), "-n", "-f", config, "-i", folder / "rsyslog.pid", "-M", modules]
    with started(command, folder, is_up=lambda: listens(port)):
        yield port


@contextlib.contextmanager
def syslog_ng(broker: LocalBroker, folder: Path, outs: Iterable[Out]) -> Iterator[int]:
    """Give the TCP port of a syslog-ng that writes each line to every topic by its template."""
    (port,) = free_ports(1)
    (modules,) = debian("usr/sbin/syslog-ng").parents[1].glob("lib/syslog-ng/[0-9]*")
    destinations = [
        _DESTINATION.format(number=i, broker=broker.bootstrap, topic=out[0], template=out[1], compression=out[2])
        for i, out in enumerate(outs)
    ]
    routes = " ".join(f"destination(d{i});" for i in range(len(destinations)))
    config = folder / "syslog-ng.conf"
    config.write_text(_SYSLOG_NG.format(port=port, destinations="\n".join(destinations), routes=routes))
    command = [
        debian("usr/sbin/syslog-ng"), "-F", "--no-caps", "-f", config, "-p", folder / "pid", "-R", folder / "persist",
        "-c", folder / "control", f"--module-path={modules}",
    ]  # fmt: skip
    with started(command, folder, is_up=lambda: listens(port)):
        yield port


def send_lines(port: int, data: bytes) -> None:
    """Send bytes to a TCP port of this machine."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(data)


def octet_counted(lines: Iterable[str]) -> bytes:
    """Return lines framed as RFC 6587 has it: each behind its length."""
    return b"".join(b"%d %s" % (len(line.encode()), line.encode()) for line in lines)


def kcat(broker: LocalBroker, topic: str, lines: Iterable[str], *arguments: str) -> None:
    """Let kcat publish lines from its standard input, one a record."""
    command = [debian("usr/bin/kcat"), "-P", "-b", broker.bootstrap, "-t", topic, *arguments]
    said = subprocess.run(
        command, input="\n".join(lines).encode(), env=libraries(), capture_output=True, timeout=_LIMIT_S, check=False
    )
    assert said.returncode == 0, said.stderr.decode()


def confluent(broker: LocalBroker, topic: str, values: Iterable[bytes], *, compression: str, headers: Mapping[str, bytes]) -> None:
    """Let confluent-kafka publish values, each acknowledged."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": compression, "linger.ms": 200})
    refusals: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refusals.append(error)

    for value in values:
        producer.produce(topic, value, headers=list(headers.items()), on_delivery=on_delivery)
    left = producer.flush(_LIMIT_S)
    assert (left, refusals) == (0, [])


def codecs_on_disk(broker: KafkaBroker, topic: str) -> set[str]:
    """Return with which codecs the batches of a topic's only partition lie in Kafka's log."""
    found = set()
    for segment in (broker.folder / "data" / f"{topic}-0").glob("*.log"):
        log, at = segment.read_bytes(), 0
        while at + _ATTRIBUTES_AT < len(log) and (length := int.from_bytes(log[at + 8 : at + 12], "big")):
            found.add(CODECS[log[at + _ATTRIBUTES_AT] & 7])
            at += 12 + length
    return found


def listens(port: int) -> bool:
    """Return whether a program of this machine accepts connections on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
