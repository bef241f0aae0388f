"""Today's configuration over history: the live stages without Kafka, what they say marked against labels, and a report."""
