"""Made telemetry: a small live shop, its faults, and the replay of recorded data."""
