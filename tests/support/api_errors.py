"""Errors in the shapes of Prometheus' and Alertmanager's API."""

import httpx


def assert_foreign_error(answer: httpx.Response) -> None:
    """An error below `/api/v1` is Prometheus' object, one below `/api/v2` a text, as Alertmanager's."""
    said = f"{answer.request.method} {str(answer.request.url)[:500]}: {answer.status_code} {answer.text[:300]}"
    assert answer.headers["content-type"] == "application/json", said
    found = answer.json()
    if answer.request.url.path.startswith("/api/v2/"):
        assert isinstance(found, str), said
        assert found, said
    else:
        assert found.keys() == {"status", "errorType", "error"}, said
        assert (found["status"], found["errorType"] in ("bad_data", "not_found", "unavailable")) == ("error", True), (
            said
        )
        assert found["error"], said
