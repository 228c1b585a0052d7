"""From blocks of samples to `fleetpulse.metrics`: packing, Kafka's producer with a byte budget, and the topics."""
