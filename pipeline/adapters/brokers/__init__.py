"""Brokers that Tocsin can start by itself: embedded Tansu, Apache Kafka."""
