"""Brokers that Tocsin can start by itself: embedded Tansu, Apache Kafka."""

from pipeline.adapters.brokers.embedded import EmbeddedBroker
from pipeline.adapters.brokers.kafka import KafkaBroker, SecureListener
from pipeline.adapters.brokers.local import LocalBroker

__all__ = ["EmbeddedBroker", "KafkaBroker", "LocalBroker", "SecureListener"]
