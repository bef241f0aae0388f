"""How a Faust app is set up: transport, timeouts, guarantees; nothing about what it does."""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from faust.types.auth import CredentialsT

from pipeline.adapters.codecs import MAX_BATCH_BYTES
from pipeline.adapters.faust_timeouts import TIMEOUTS, Profile
from pipeline.adapters.kafka import MAX_REQUEST_BYTES, Connection, password, tls_context
from pipeline.adapters.ledger import Ledger
from pipeline.adapters.transport import SCHEME, BulkReading, SeekFirstTables, register
from pipeline.adapters.transport.reading import OnJump

FETCH_BYTES = 2 * 1024 * 1024
"""Of one partition and fetch: some 10,000 requests, so that a run is worth its columns. A larger record batch comes whole."""
METADATA_MAX_AGE_MS = 10_000
"""A partition that was added is seen, and assigned, within this; until then it holds all watermarks. The default is 5 min."""
PRODUCER_LINGER_S = 0.01
"""How long a send waits for others to share its request: stages send many small records, and a window takes seconds anyway."""
PRODUCER_BATCH_BYTES = 256 * 1024
"""Of one partition and request. A broker is sent one request at a time: with aiokafka's 16 KiB, the signals of a partition's
hundred services that close at once, and their rows, would take dozens of round trips. Below every topic's max.message.bytes."""
PRODUCER_PATIENCE_S = 120.0
"""How long a send is tried again before it fails, and the worker with it: longer than a broker's restart takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaustAppSettings:
    """What an operator decides about a worker's connection to Kafka.

    Attributes
    ----------
    bootstrap
        ``host:port``, several separated by commas.
    profile
        Which timeouts; ``production`` wants an ``instance_id``.
    instance_id
        Static membership: a worker that restarts within the session gets its partitions back without a rebalance.
    is_embedded
        The broker is Tansu.
    replication_factor
        Of changelogs, in [1, brokers].
    fetch_bytes
        Of one partition and fetch, before decompression; Apache Kafka sends a record batch that is larger whole.
    max_request_bytes
        Largest message that is sent.
    tls
        Context for TLS; ``None``: plaintext.
    sasl_mechanism, sasl_username, sasl_password
        SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; ``None``: no SASL.

    """

    bootstrap: str
    profile: Profile = "local"
    instance_id: str | None = None
    is_embedded: bool = False
    replication_factor: int = 1
    fetch_bytes: int = FETCH_BYTES
    max_request_bytes: int = MAX_REQUEST_BYTES
    tls: ssl.SSLContext | None = None
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None

    def __post_init__(self) -> None:
        if not self.bootstrap:
            raise ValueError("bootstrap must name at least one host:port, got ''")
        if self.replication_factor < 1:
            raise ValueError(f"replication_factor must be at least 1, got {self.replication_factor}")
        if self.sasl_mechanism is not None and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError("sasl_username and sasl_password must be set with sasl_mechanism")

    def __repr__(self) -> str:
        return f"FaustAppSettings(bootstrap={self.bootstrap!r}, profile={self.profile!r})"


def settings_for(connection: Connection, env: Mapping[str, str] | None = None, **others: Any) -> FaustAppSettings:
    """Return the settings that reach a Kafka as ``connection`` says; ``others`` are fields of the result.

    Raises
    ------
    ConfigError
        If a secret or a certificate cannot be read.

    """
    return FaustAppSettings(
        bootstrap=connection.bootstrap,
        tls=tls_context(connection),
        sasl_mechanism=connection.sasl_mechanism if connection.uses_sasl else None,
        sasl_username=connection.sasl_username if connection.uses_sasl else None,
        sasl_password=password(connection, env) if connection.uses_sasl else None,
        **others,
    )


class TocsinApp(faust.App):
    """A Faust app with the bulk driver; writes no folders and opens no port."""

    bulk: BulkReading

    def _create_directories(self) -> None:
        """Leave the disk alone: tables live in memory and in Kafka."""


def make_app(
    settings: FaustAppSettings,
    *,
    app_id: str,
    bulk_topics: Iterable[str] = (),
    ledger: Ledger | None = None,
    on_jump: OnJump | None = None,
    max_batch_bytes: int = MAX_BATCH_BYTES,
    **overrides: Any,
) -> TocsinApp:
    """Return an app that is ready for agents and tables.

    Parameters
    ----------
    settings
        The operator's choices.
    app_id
        Also the consumer group, and the prefix of changelogs.
    bulk_topics
        Topics read in batches and committed by the ledger.
    ledger
        Of this app; a new one when not given. Found again as ``app.bulk.ledger``.
    on_jump
        Told of every delivery that does not go on from the one before.
    max_batch_bytes
        What a record batch of a bulk topic may be decompressed to, bytes.
    **overrides
        Faust settings, for tests.

    """
    register()
    timeouts = TIMEOUTS[settings.profile]
    options: dict[str, Any] = {
        "broker": [f"{SCHEME}://{address.strip()}" for address in settings.bootstrap.split(",")],
        "broker_credentials": credentials(settings),
        "broker_client_id": app_id,
        "broker_session_timeout": timeouts.session_s,
        "broker_rebalance_timeout": timeouts.rebalance_s,
        "broker_heartbeat_interval": timeouts.heartbeat_s,
        "broker_request_timeout": timeouts.request_s,
        "broker_commit_interval": 1.0,
        "producer_request_timeout": PRODUCER_PATIENCE_S,
        "producer_max_request_size": settings.max_request_bytes,
        "producer_acks": -1,
        "producer_linger": PRODUCER_LINGER_S,
        "producer_max_batch_size": PRODUCER_BATCH_BYTES,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": settings.fetch_bytes,
        "consumer_metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "consumer_group_instance_id": settings.instance_id,
        "processing_guarantee": "at_least_once",
        "stream_wait_empty": False,
        "agent_supervisor": "mode.CrashingSupervisor",  # the default restarts an agent behind the record that it lost
        "TableManager": SeekFirstTables,
        "store": "memory://",
        "table_standby_replicas": 0,
        "topic_replication_factor": settings.replication_factor,
        "topic_disable_leader": True,  # else Faust makes a topic of its own
        "key_serializer": "raw",
        "value_serializer": "raw",
        "web_enabled": False,
        "web_bind": "127.0.0.1",
        "autodiscover": False,
    }
    app = TocsinApp(app_id, **{**options, **overrides})
    app.bulk = BulkReading(
        topics=frozenset(bulk_topics),
        ledger=Ledger() if ledger is None else ledger,
        is_embedded=settings.is_embedded,
        on_jump=on_jump,
        max_batch_bytes=max_batch_bytes,
    )
    return app


def credentials(settings: FaustAppSettings) -> CredentialsT | None:
    """Return Faust's credentials for TLS, SASL or both; ``None`` for plaintext."""
    if settings.sasl_mechanism is not None:
        return faust.SASLCredentials(
            mechanism=settings.sasl_mechanism,
            username=settings.sasl_username,
            password=settings.sasl_password,
            ssl_context=settings.tls,
        )
    return None if settings.tls is None else faust.SSLCredentials(settings.tls)
