"""`fleetpulse rules test`: unit tests of rules, in promtool's file format and with our additions."""
