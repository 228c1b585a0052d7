"""The history worker: alert events of `fleetpulse.alerts` into ClickHouse."""
