"""Act: alert events become the current alerts and remediation requests."""
