"""The report of a backtest: one HTML page that stands alone."""
