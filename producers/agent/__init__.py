"""The host agent: this machine's metrics under node_exporter's names, a frame a tick."""
