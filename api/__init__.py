"""The FastAPI service that answers Grafana, Prometheus clients and the page."""
