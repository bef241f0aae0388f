"""Tocsin: telemetry in, golden signals, anomalies, alerts and remediation events out."""
