"""Ingest: bytes of telemetry become mergeable partials, rejections and headers."""
