"""Analyse: partials become windows, golden signals, verdicts and alert events."""
