"""The HTTP routes, one file a subject; they parse and call, `fleetpulse/storage` reads."""
