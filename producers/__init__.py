"""Sources: programs that read metrics somewhere and publish them to Kafka."""
