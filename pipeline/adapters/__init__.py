"""Adapters: all that touches the outside (Kafka, Faust, files, clock, metrics, web)."""
