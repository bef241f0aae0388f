"""What tests share of brokers: topics of their own on a broker that they share, and certificates for a TLS listener."""

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import TypeAdapter

from pipeline.contracts.topics import Topics

ROOT = Path(__file__).parent.parent


def configured_topics() -> Topics:
    """Return config/topics.yaml."""
    return TypeAdapter(Topics).validate_python(yaml.safe_load((ROOT / "config" / "topics.yaml").read_text()))


def topics_of_their_own(*, service_partitions: int = 2, telemetry_partitions: int = 2) -> Topics:
    """Return the configured topics under names that nobody else has, with few partitions."""
    topics, prefix = configured_topics(), f"t{uuid.uuid4().hex[:10]}"
    named = tuple(replace(spec, name=f"{prefix}.{spec.name}") for spec in topics.topics)
    return replace(topics, topics=named, service_partitions=service_partitions, telemetry_partitions=telemetry_partitions)


@dataclass(frozen=True)
class Certificates:
    """PEM files of a certificate authority of our own, and of a server named ``localhost``."""

    ca_file: Path
    server_keystore_file: Path


def make_certificates(folder: Path) -> Certificates:
    """Write a new authority's certificate, and a key and certificate for ``localhost`` signed by it."""
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - certificates are checked against the machine's own clock
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("tocsin test authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )

    ca = certificate("tocsin test authority", ca_key).add_extension(x509.BasicConstraints(True, None), True)
    server = certificate("localhost", server_key).add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    pem = serialization.Encoding.PEM
    found = Certificates(folder / "ca.pem", folder / "server.pem")
    found.ca_file.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    key = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    found.server_keystore_file.write_bytes(key + server.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    return found


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
