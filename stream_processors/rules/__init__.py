"""The rules worker: messages of `fleetpulse.metrics` to alert events, alert states and recorded series."""
