"""The ingest worker: raw samples, one-minute rollups, ledger."""
