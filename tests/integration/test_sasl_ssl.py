"""A Kafka listener with SASL_SSL lets our clients in, and why it does not is said without the password."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.adapters import topics as adapter
from pipeline.adapters.brokers import KafkaBroker, SecureListener
from pipeline.adapters.faust_apps import FaustAppSettings, make_app
from pipeline.adapters.kafka import Connection, SaslMechanism, password, producer, tls_context
from pipeline.adapters.reading import read_topic
from pipeline.contracts.topics import Topics
from pipeline.errors import BrokerError
from tests.brokers_fixture import configured_topics, make_certificates

pytestmark = pytest.mark.kafka
Fresh = Callable[..., Topics]
PASSWORD, WRONG = "right-horse-battery", "wrong-horse-battery"
ENV = {"TOCSIN_SASL_PASSWORD": PASSWORD}


@dataclass(frozen=True)
class Secured:
    broker: KafkaBroker
    connection: Connection


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A Kafka with a SASL_SSL listener, and the connection that it lets in."""
    folder = tmp_path_factory.mktemp("secured")
    certificates = make_certificates(folder)
    listener = SecureListener(keystore_file=certificates.server_keystore_file, password_by_user={"tocsin": PASSWORD})
    with KafkaBroker(folder=folder / "kafka", secure=listener) as broker:
        yield Secured(
            broker,
            Connection(
                bootstrap=broker.bootstrap_secure,
                security_protocol="SASL_SSL",
                sasl_mechanism="SCRAM-SHA-512",
                sasl_username="tocsin",
                ca_file=str(certificates.ca_file),
                request_timeout_ms=10_000,
            ),
        )


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_topics_records_and_reading_work_over_sasl_ssl(
    secured: Secured, fresh_topics: Fresh, mechanism: SaslMechanism
) -> None:
    connection, topics = replace(secured.connection, sasl_mechanism=mechanism), fresh_topics()

    outcomes = await adapter.create(connection, topics, ENV)
    async with producer(connection, ENV) as sender:
        await sender.send_and_wait(topics.names()["signals"], b"secret news", key=b"prod/cart")
    read = [found.record.value async for found in read_topic(connection, topics.names()["signals"], env=ENV)]

    assert {outcome.outcome for outcome in outcomes} == {"created"}
    assert read == [b"secret news"]


async def test_a_password_in_a_file_lets_in_too(secured: Secured, tmp_path: Path, fresh_topics: Fresh) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    connection = replace(secured.connection, sasl_password_file=str(tmp_path / "password"))

    report = await adapter.check(connection, fresh_topics(), env={})

    assert {problem.setting for problem in report.problems} == {"missing"}


async def test_a_faust_app_publishes_over_sasl_ssl(secured: Secured, fresh_topics: Fresh) -> None:
    connection, topics = secured.connection, fresh_topics()
    await adapter.create(connection, topics, ENV)
    app = make_app(
        FaustAppSettings(
            bootstrap=connection.bootstrap,
            profile="test",
            tls=tls_context(connection),
            sasl_mechanism=connection.sasl_mechanism,
            sasl_username=connection.sasl_username,
            sasl_password=password(connection, ENV),
        ),
        app_id="secured",
    )

    async with app.producer:
        await app.producer.send_and_wait(topics.names()["signals"], b"k", b"from faust", None, None, None)
    read = [found.record.value async for found in read_topic(connection, topics.names()["signals"], env=ENV)]

    assert read == [b"from faust"]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_a_wrong_password_is_an_error_that_does_not_hold_it(
    secured: Secured, mechanism: SaslMechanism, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    connection = replace(secured.connection, sasl_mechanism=mechanism)

    with pytest.raises(BrokerError) as refused:
        async with producer(connection, {"TOCSIN_SASL_PASSWORD": WRONG}):
            pass

    text = str(refused.value)
    assert f"the Kafka at {connection.bootstrap} refuses user 'tocsin' ({mechanism})" in text
    assert "the password in TOCSIN_SASL_PASSWORD" in text
    assert WRONG not in text + caplog.text + repr(connection)


async def test_an_unknown_authority_is_named_as_such(secured: Secured) -> None:
    connection = replace(secured.connection, ca_file="")

    with pytest.raises(BrokerError, match=r"certificate of the Kafka at .* is not trusted: .*; set ca_file"):
        await adapter.check(connection, configured_topics(), env=ENV)


async def test_a_host_name_that_the_certificate_does_not_name_is_refused(secured: Secured) -> None:
    connection = replace(secured.connection, bootstrap=secured.connection.bootstrap.replace("localhost", "127.0.0.1"))

    with pytest.raises(BrokerError, match="IP address mismatch"):
        await adapter.check(connection, configured_topics(), env=ENV)


async def test_plaintext_to_a_secure_listener_says_which_setting_to_look_at(secured: Secured) -> None:
    connection = Connection(bootstrap=secured.broker.bootstrap_secure)

    with pytest.raises(BrokerError, match="its listener may want another security_protocol than PLAINTEXT"):
        await adapter.check(connection, configured_topics())


async def test_a_mechanism_that_the_broker_does_not_offer_is_named(secured: Secured) -> None:
    connection = replace(secured.connection, sasl_mechanism="SCRAM-SHA-256")

    with pytest.raises(BrokerError, match="does not offer sasl_mechanism SCRAM-SHA-256"):
        await adapter.check(connection, configured_topics(), env=ENV)
