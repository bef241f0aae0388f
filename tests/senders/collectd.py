"""collectd as a daemon that writes to Kafka, fed by its own plugins, and by us through its socket.

It has one thread that writes: several overtake one another where we give it many moments of one value at once, and what is
overtaken has no rate ("Value too old", collectd/collectd#987).
"""

import contextlib
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.adapters.brokers import LocalBroker
from tests.senders.programs import debian, started

_CONFIG = """
Hostname "{host}"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
PluginDir "{root}/usr/lib/collectd"
TypesDB "{root}/usr/share/collectd/types.db"
Interval 1
WriteThreads 1
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File STDOUT
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{folder}/socket"
</Plugin>
{plugins}
LoadPlugin write_kafka
<Plugin write_kafka>
  Property "metadata.broker.list" "{broker}"
{topics}
</Plugin>
"""
_TOPIC = """  <Topic "{topic}">
    {settings}
  </Topic>"""

GIGABYTE = 1_000_000_000
GAUGES = {
    "web/memory/memory-used": 6 * GIGABYTE,
    "web/memory/memory-free": 1 * GIGABYTE,
    "web/memory/memory-cached": 1 * GIGABYTE,
    "web/df-root/df_complex-used": 70 * GIGABYTE,
    "web/df-root/df_complex-reserved": 5 * GIGABYTE,
    "web/df-root/df_complex-free": 25 * GIGABYTE,
    "web/swap/swap-used": 1,
    "web/swap/swap-free": 3,
    "web/cpu/count": 4,
    "web/load/load": "2.5:1.5:0.5",
}
RATES = {
    "web/cpu-0/cpu-user": "30",
    "web/cpu-0/cpu-system": "10",
    "web/cpu-0/cpu-idle": "60",
    "web/cpu-1/cpu-user": "10",
    "web/cpu-1/cpu-idle": "90",
    "web/interface-eth0/if_octets": "25000000:12500000",
}
"""What each of these grows by a second."""
EXPECTED = {
    "cpu": 0.25,
    "filesystem root": 0.75,
    "load": 0.625,
    "memory": 0.75,
    "network in eth0": 0.2,
    "network out eth0": 0.1,
    "swap": 0.25,
}
"""How full each resource is, then."""


class Collectd:
    """A collectd that runs."""

    def __init__(self, socket_file: Path) -> None:
        self._socket_file = socket_file

    def put(self, values: Iterable[str]) -> None:
        """Dispatch values as if collectd had read them: ``host/plugin-instance/type-instance time:value:value``."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket_file))
            with connection.makefile("rw") as said:
                for value in values:
                    identifier, _, numbers = value.partition(" ")
                    said.write(f'PUTVAL "{identifier}" interval=10 {numbers}\n')
                    said.flush()
                    answer = said.readline()
                    assert answer.startswith("0 Success"), f"{value}: {answer}"


@contextlib.contextmanager
def collectd(
    broker: LocalBroker, folder: Path, topics: dict[str, str], *, plugins: str = "", host: str = "h1"
) -> Iterator[Collectd]:
    """Give a collectd that writes to topics, each with settings of its own; what is not delivered when it stops is lost."""
    root = debian("usr/sbin/collectd").parents[2]
    blocks = "\n".join(_TOPIC.format(topic=topic, settings=settings) for topic, settings in topics.items())
    config = folder / "collectd.conf"
    config.write_text(_CONFIG.format(host=host, folder=folder, root=root, plugins=plugins, broker=broker.bootstrap, topics=blocks))
    with started(["/".join((str(root), "usr/sbin/collectd")), "-f", "-C", config], folder, is_up=(folder / "socket").exists):
        yield Collectd(folder / "socket")


def put_values(start_s: int, n: int) -> list[str]:
    """Return what collectd is told at ``n`` moments, 10 s apart: gauges stay, counters grow, from a million on."""
    lines = []
    for at_s in range(start_s, start_s + 10 * n, 10):
        lines += [f"{name} {at_s}:{value}" for name, value in GAUGES.items()]
        for name, rates in RATES.items():
            counts = ":".join(str(1_000_000 + int(rate) * (at_s - start_s)) for rate in rates.split(":"))
            lines.append(f"{name} {at_s}:{counts}")
    return lines
