"""What the system runs on: embedded servers, rules, Grafana, Docker."""
