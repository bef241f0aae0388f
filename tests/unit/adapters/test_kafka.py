"""Connection settings: contradictions are refused, secrets come from outside and stay there."""

import ssl
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.adapters.kafka import Connection, client_settings, ensure_reachable, password, tls_context
from pipeline.errors import BrokerError, ConfigError

SECRET = "horse-battery"  # noqa: S105 - of no broker at all
SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "tocsin"}


def connection(**values: object) -> Connection:
    return TypeAdapter(Connection).validate_python(values)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"bootstrap": "kafka"}, "bootstrap must be host:port, several separated by commas, got 'kafka'"),
        ({"bootstrap": "a:1,,b:2"}, "bootstrap must be host:port, several separated by commas, got ''"),
        ({"bootstrap": "a:70000"}, "bootstrap must be host:port, several separated by commas, got 'a:70000'"),
        ({"security_protocol": "SASL_SSL"}, "sasl_username is needed with security_protocol SASL_SSL"),
        ({"sasl_username": "me"}, "sasl_username is set, but security_protocol PLAINTEXT does not use it"),
        ({"ca_file": "ca.pem"}, "ca_file is set, but security_protocol PLAINTEXT does not use TLS"),
        ({"security_protocol": "SSL", "cert_file": "c.pem"}, "cert_file and key_file belong together"),
        ({"security_protocol": "TLS"}, "Input should be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ({"sasl_password": SECRET}, "Unexpected keyword argument"),
    ],
)
def test_a_contradiction_is_refused_with_the_rule(values: dict[str, object], rule: str) -> None:
    with pytest.raises(ValidationError) as refused:
        connection(**values)

    assert rule in str(refused.value)


def test_several_hosts_and_an_ipv6_one_are_understood() -> None:
    assert connection(bootstrap="a:9092, b:9093,[::1]:9094").hosts == ["a:9092", "b:9093", "[::1]:9094"]


def test_the_password_comes_from_the_environment_and_shows_nowhere() -> None:
    found = connection(**SASL)

    settings = client_settings(found, {"TOCSIN_SASL_PASSWORD": SECRET})

    assert settings["sasl_plain_password"] == SECRET
    assert settings["sasl_mechanism"] == "SCRAM-SHA-512"
    assert SECRET not in repr(found)


def test_the_password_file_wins_and_loses_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from file \n")

    found = password(connection(**SASL, sasl_password_file=str(tmp_path / "secret")), {"TOCSIN_SASL_PASSWORD": SECRET})

    assert found == "from file "


def test_a_missing_password_says_where_it_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no password for user 'tocsin': expected it in the environment variable MINE"):
        password(connection(**SASL, sasl_password_env="MINE"), {})  # noqa: S106 - a name
    with pytest.raises(ConfigError, match=r"sasl_password_file: cannot be read: FileNotFoundError at .*absent"):
        password(connection(**SASL, sasl_password_file=str(tmp_path / "absent")), {})


def test_plaintext_needs_no_context_and_tls_verifies_names() -> None:
    context = tls_context(connection(security_protocol="SSL"))

    assert tls_context(connection()) is None
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("hello")

    with pytest.raises(ConfigError, match=r"ca_file: no certificates in .*text\.pem"):
        tls_context(connection(security_protocol="SSL", ca_file=str(tmp_path / "text.pem")))
    with pytest.raises(ConfigError, match="cert_file, key_file: no certificate with its key in"):
        tls_context(connection(security_protocol="SSL", cert_file=str(tmp_path / "a"), key_file=str(tmp_path / "b")))


async def test_a_broker_that_is_not_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(BrokerError) as refused:
        await ensure_reachable(connection(bootstrap="127.0.0.1:1,nosuchhost.invalid:9092"))

    first, second = str(refused.value).splitlines()
    assert first.startswith("cannot reach a Kafka at 127.0.0.1:1 (")
    assert first.endswith("is it running? Name another with --broker HOST:PORT or TOCSIN_BROKER")
    assert second.startswith("cannot reach a Kafka at nosuchhost.invalid:9092 (")
