"""Online anomaly models behind one typed protocol; no Kafka, no clock."""
