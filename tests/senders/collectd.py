"""collectd as a daemon that writes to Kafka, fed by its own plugins, and by us through its socket."""

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
