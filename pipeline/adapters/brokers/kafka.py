"""Apache Kafka as one KRaft node: the truth that tests and benchmarks run against."""

import base64
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.adapters.brokers.kafka_jars import jar_folder, java
from pipeline.adapters.brokers.local import HOST, LocalBroker
from pipeline.adapters.brokers.ports import free_ports
from pipeline.errors import BrokerError

LOG4J = Path(__file__).with_name("log4j2.xml")
_FORMAT_LIMIT_S = 60.0

_FIXED = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",  # an auto-created topic has the wrong partition count
    # One node holds one copy of everything; few partitions, because nobody shares them.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # Tests kill workers and the broker itself: short sessions, no waiting for members that may join (design.md section 5).
    "group.min.session.timeout.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "300",
    # A small machine.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.recovery.threads.per.data.dir": "1",
    "log.cleaner.dedupe.buffer.size": "16777216",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SecureListener:
    """A second listener, SASL_SSL, with mechanisms PLAIN and SCRAM-SHA-512.

    Attributes
    ----------
    keystore_file
        PEM: the server's private key (PKCS 8, not encrypted), then its certificate.
    password_by_user
        Who may come in. Passwords stand in the broker's configuration, readable by its owner alone.

    """

    keystore_file: Path
    password_by_user: Mapping[str, str] = field(repr=False)


class KafkaBroker(LocalBroker):
    """Apache Kafka 4.3.1, one node, controller and broker in one process, from Maven Central's jars.

    Killed and started again on its folder it keeps its data. Needs ``java`` (17 or later) and, the first time, ``mvn``.
    """

    is_persistent = True
    name = "Apache Kafka"

    def __init__(
        self, *, folder: Path | None = None, port: int | None = None, heap_mb: int = 512, secure: SecureListener | None = None
    ) -> None:
        super().__init__(folder=folder, port=port)
        self.heap_mb = heap_mb
        self.secure = secure
        self._controller_port, self._secure_port = free_ports(2)

    @property
    def bootstrap_secure(self) -> str:
        """Address of the SASL_SSL listener, ``host:port``; its certificate must name ``localhost``.

        Raises
        ------
        BrokerError
            If it has no such listener.

        """
        if self.secure is None:
            raise BrokerError("this broker was made without a secure listener")
        return f"localhost:{self._secure_port}"

    def _prepare(self) -> list[str]:
        program = [
            java(),
            f"-Xms{self.heap_mb}m",
            f"-Xmx{self.heap_mb}m",
            "-XX:+UseSerialGC",  # the least memory and threads on two cores
            "-XX:+ExitOnOutOfMemoryError",
            f"-Dlog4j2.configurationFile={LOG4J}",
            "-cp",
            f"{jar_folder()}/*",
        ]
        settings_file = self.folder / "server.properties"
        settings_file.touch(mode=0o600)
        settings_file.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(program, settings_file)
        return [*program, "kafka.Kafka", str(settings_file)]

    def _settings(self) -> dict[str, str]:
        listeners = {"PLAINTEXT": self.bootstrap, "CONTROLLER": f"{HOST}:{self._controller_port}"}
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        extra: dict[str, str] = {}
        if self.secure is not None:
            listeners["SECURE"] = self.bootstrap_secure
            protocols["SECURE"] = "SASL_SSL"
            extra = _secure_settings(self.secure)
        return {
            **_FIXED,
            "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
            "advertised.listeners": ",".join(f"{name}://{address}" for name, address in listeners.items() if name != "CONTROLLER"),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "controller.quorum.bootstrap.servers": f"{HOST}:{self._controller_port}",
            "log.dirs": str(self.folder / "data"),
            **extra,
        }

    def _format(self, program: list[str], settings_file: Path) -> None:
        command = [*program, "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(settings_file), "--standalone"]
        if self.secure is not None:
            for user, password in self.secure.password_by_user.items():
                command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        try:
            done = subprocess.run(  # noqa: S603 - our own command
                command, capture_output=True, text=True, timeout=_FORMAT_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired as problem:
            raise BrokerError(f"{self.name} could not format {self.folder} within {_FORMAT_LIMIT_S:.0f} s") from problem
        if done.returncode != 0:  # else nothing of it is shown: it repeats the users' salted keys
            raise BrokerError(f"{self.name} could not format {self.folder}; it said:\n{(done.stdout + done.stderr)[-2_000:]}")


def _secure_settings(secure: SecureListener) -> dict[str, str]:
    users = " ".join(f'user_{user}="{password}"' for user, password in secure.password_by_user.items())
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(secure.keystore_file),
        "listener.name.secure.plain.sasl.jaas.config": f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};",
        "listener.name.secure.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }


def _cluster_id() -> str:
    """Return a random id as Kafka writes them: 22 characters; never with a leading ``-``, which ``format`` takes for an option."""
    raw = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes([raw[0] & 0x7F]) + raw[1:]).decode().rstrip("=")
