"""The notifier: tells receivers of the alerts on `fleetpulse.alerts`. What it decides is in `fleetpulse/notify/`."""
