"""How to reach a Kafka: connection settings become client settings, TLS context and errors that say what to do."""

import contextlib
import logging
import os
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS
from pipeline.errors import BrokerError, ConfigError

CLIENT_ID = "tocsin"
MAX_REQUEST_BYTES = 16_777_216
"""Largest record that our producers try to send: above every topic's own limit, so that the topic decides."""
PASSWORD_VARIABLE = "TOCSIN_SASL_PASSWORD"  # noqa: S105 - a variable's name

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_HOST = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[^\s:,/\[\]]+):(\d{1,5})$")


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Connection:
    """Where the Kafka is, and how to be let in. Holds no secret, only where secrets are.

    Attributes
    ----------
    bootstrap
        ``host:port``, several separated by commas; port in ``[1, 65535]``.
    security_protocol
        As Kafka names them; TLS with ``SSL`` and ``SASL_SSL``.
    sasl_mechanism, sasl_username
        Needed with ``SASL_...``.
    sasl_password_env, sasl_password_file
        Name of the environment variable, or path of the file, that holds the password; the file wins where both are set.
    ca_file
        PEM certificates to trust instead of the system's; empty: the system's.
    cert_file, key_file
        PEM certificate and private key of this client (mutual TLS); both or none.
    request_timeout_ms
        For one request, ms, at least 1,000.

    Raises
    ------
    ValueError
        With every contradiction among them.

    """

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password_env: str = PASSWORD_VARIABLE
    sasl_password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    request_timeout_ms: Annotated[int, Field(ge=1_000)] = 20_000

    def __post_init__(self) -> None:
        problems = [
            f"bootstrap must be host:port, several separated by commas, got {host!r}"
            for host in self.bootstrap.split(",")
            if not _is_address(host.strip())
        ]
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        if self.uses_sasl and not self.sasl_username:
            problems.append(f"sasl_username is needed with security_protocol {self.security_protocol}")
        if self.sasl_username and not self.uses_sasl:
            problems.append(f"sasl_username is set, but security_protocol {self.security_protocol} does not use it")
        if not self.uses_tls:
            unused = [name for name, value in files.items() if value]
            problems += [f"{name} is set, but security_protocol {self.security_protocol} does not use TLS" for name in unused]
        if bool(self.cert_file) != bool(self.key_file):
            problems.append("cert_file and key_file belong together: set both or none")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def hosts(self) -> list[str]:
        """Each ``host:port``."""
        return [host.strip() for host in self.bootstrap.split(",")]

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether a user name and a password are needed."""
        return self.security_protocol.startswith("SASL")


def _is_address(host: str) -> bool:
    found = _HOST.match(host)
    return found is not None and 1 <= int(found[2]) <= 65_535


def password(connection: Connection, env: Mapping[str, str] | None = None) -> str:
    """Return the SASL password, from its file or its environment variable, and keep aiokafka from logging it.

    Raises
    ------
    ConfigError
        If it is in neither; the message never holds it.

    """
    logging.getLogger("aiokafka.conn").addFilter(_without_credentials)
    if connection.sasl_password_file:
        try:
            found = Path(connection.sasl_password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(
                [f"broker: sasl_password_file: cannot be read: {type(problem).__name__} at {connection.sasl_password_file}"]
            ) from None
    else:
        found = (os.environ if env is None else env).get(connection.sasl_password_env, "")
    if not found:
        where = connection.sasl_password_file or f"the environment variable {connection.sasl_password_env}"
        raise ConfigError([f"broker: no password for user {connection.sasl_username!r}: expected it in {where}"])
    return found


def _without_credentials(record: logging.LogRecord) -> bool:
    """Refuse what aiokafka says of authentication: at level DEBUG it writes requests out, the password with them."""
    return "SaslAuthenticate" not in record.getMessage()


def tls_context(connection: Connection) -> ssl.SSLContext | None:
    """Return the TLS context of a connection; ``None`` when it uses none. The broker's certificate and name are verified.

    Raises
    ------
    ConfigError
        If a file cannot be read as what it should be.

    """
    if not connection.uses_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=connection.ca_file or None)
    except OSError as problem:  # ssl.SSLError is one
        raise ConfigError([f"broker: ca_file: no certificates in {connection.ca_file}: {problem}"]) from problem
    if connection.cert_file:
        try:
            context.load_cert_chain(connection.cert_file, connection.key_file)
        except OSError as problem:
            files = f"{connection.cert_file}, {connection.key_file}"
            raise ConfigError([f"broker: cert_file, key_file: no certificate with its key in {files}: {problem}"]) from problem
    return context


def client_settings(connection: Connection, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client takes; they hold the password: never log them.

    Raises
    ------
    ConfigError
        If the password or a file is missing.

    """
    settings: dict[str, Any] = {
        "bootstrap_servers": connection.hosts,
        "client_id": CLIENT_ID,
        "request_timeout_ms": connection.request_timeout_ms,
        "security_protocol": connection.security_protocol,
    }
    context = tls_context(connection)
    if context is not None:
        settings["ssl_context"] = context
    if connection.uses_sasl:
        settings["sasl_mechanism"] = connection.sasl_mechanism
        settings["sasl_plain_username"] = connection.sasl_username
        settings["sasl_plain_password"] = password(connection, env)
    return settings


async def ensure_reachable(connection: Connection, env: Mapping[str, str] | None = None) -> None:
    """Connect to one of the hosts and be let in, or say why not: clients themselves only log the reason.

    Raises
    ------
    BrokerError
        If no host can be used; the reason and what to do, for each.
    ConfigError
        If the password or a file is missing.

    """
    settings = client_settings(connection, env)
    del settings["bootstrap_servers"]
    problems: list[str] = []
    for address in connection.hosts:
        host, _, port = address.rpartition(":")
        try:
            opened = await create_conn(host.strip("[]"), int(port), **settings)
        except (KafkaError, OSError, TimeoutError) as problem:
            problems.append(_why(connection, address, problem))
        else:
            opened.close()
            return
    raise BrokerError("\n".join(problems))


def _why(connection: Connection, address: str, problem: BaseException) -> str:
    """Return a sentence for a failed connection; aiokafka's own texts do not hold the password, and are not repeated."""
    match problem:
        case SaslAuthenticationFailed():
            secret = connection.sasl_password_file or connection.sasl_password_env
            return (
                f"the Kafka at {address} refuses user {connection.sasl_username!r} ({connection.sasl_mechanism}): "
                f"check sasl_username, and the password in {secret}"
            )
        case UnsupportedSaslMechanismError():
            return f"the Kafka at {address} does not offer sasl_mechanism {connection.sasl_mechanism}"
        case ssl.SSLCertVerificationError():
            return (
                f"the certificate of the Kafka at {address} is not trusted: {problem.verify_message}; "
                "set ca_file to the certificates it is signed with, and use the host name that it was made for"
            )
        case ssl.SSLError():
            reason = problem.reason or str(problem)
            return f"no TLS with the Kafka at {address} ({reason}): is security_protocol {connection.security_protocol} right?"
        case KafkaError():
            return (
                f"the Kafka at {address} closes the connection: its listener may want another "
                f"security_protocol than {connection.security_protocol}"
            )
    reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem) or "no answer in time"
    return f"cannot reach a Kafka at {address} ({reason}): is it running? Name another with --broker HOST:PORT or TOCSIN_BROKER"


@contextlib.asynccontextmanager
async def speaking_to(connection: Connection) -> AsyncIterator[None]:
    """Turn aiokafka's errors in the body into a :class:`BrokerError` that names the broker.

    Raises
    ------
    BrokerError
        Instead of any KafkaError or refused connection.

    """
    try:
        yield
    except (KafkaError, ConnectionError) as problem:
        raise BrokerError(f"the Kafka at {connection.bootstrap}: {type(problem).__name__}: {problem}") from problem


@contextlib.asynccontextmanager
async def producer(connection: Connection, env: Mapping[str, str] | None = None) -> AsyncIterator[AIOKafkaProducer]:
    """Give a started producer of raw bytes that waits for all replicas; all sends are flushed at the end.

    Not idempotent, because the embedded broker cannot; partitions as Kafka's default partitioner chooses them.

    Raises
    ------
    BrokerError
        If the broker cannot be reached or refuses.
    ConfigError
        If the password or a file is missing.

    """
    await ensure_reachable(connection, env)
    async with speaking_to(connection):
        client = AIOKafkaProducer(**client_settings(connection, env), acks="all", max_request_size=MAX_REQUEST_BYTES)
        try:
            await client.start()
            yield client
        finally:
            await client.stop()


async def partition_counts(connection: Connection, env: Mapping[str, str] | None = None) -> dict[str, int]:
    """Return the partition count of every topic there is; asks for none by name, so none is created by asking.

    Raises
    ------
    BrokerError
        If the broker cannot be reached or refuses.

    """
    await ensure_reachable(connection, env)
    async with speaking_to(connection):
        client = AIOKafkaClient(**client_settings(connection, env))
        try:
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
            return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}
        finally:
            await client.close()
