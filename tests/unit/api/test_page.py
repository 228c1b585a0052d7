"""The page: its index at `/`, files of the build, 404 for all else, nothing from outside."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api import errors, page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built = tmp_path / "page"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<html>index</html>")
    (built / "assets" / "app-1a2b.js").write_text("run()")
    (built / "favicon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("what is in it")
    (built / "link.txt").symlink_to(tmp_path / "secret.txt")
    return built


def get(folder: Path, path: str, method: str = "GET") -> httpx.Response:
    app = FastAPI(openapi_url=None)
    errors.install(app)
    page.install(app, folder)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/", "/index.html"])
def test_the_index_is_asked_for_each_time(folder: Path, path: str) -> None:
    answer = get(folder, path)

    assert (answer.status_code, answer.text) == (200, "<html>index</html>")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_assets_are_kept_for_ever(folder: Path) -> None:
    answer = get(folder, "/assets/app-1a2b.js")

    assert answer.text == "run()"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")


def test_a_file_beside_the_index(folder: Path) -> None:
    assert get(folder, "/favicon.svg").headers["cache-control"] == "no-cache"


def test_head(folder: Path) -> None:
    answer = get(folder, "/", "HEAD")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/-/healthy",
        "/openapi.json",
        "/assets",
        "/assets/app-of-yesterday.js",
        "/hosts/assets/app.css",
        "/hosts",
        "/hosts/",
        "/hosts/a/b",
        "/alerts/1",
        "/api/x",
        "/health/x",
        "/metrics/x",
    ],
)
def test_what_is_not_there_is_404(folder: Path, path: str) -> None:
    answer = get(folder, path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/hosts/web-1", "../#/hosts/web-1"),
        ("/hosts/web%2F1%23?range=6h", "../#/hosts/web%2F1%23?range=6h"),
        ("/alerts", "./#/alerts"),
        ("/rules/Disk%20full", "../#/rules/Disk%20full"),
    ],
)
def test_a_place_of_the_page_without_its_hash_leads_to_it(folder: Path, path: str, place: str) -> None:
    answer = get(folder, path)

    assert (answer.status_code, answer.headers["location"]) == (307, place)
    assert str(answer.url.join(place)).startswith("http://test/#/")


@pytest.mark.parametrize(
    "path", ["/..%2Fsecret.txt", "/%2e%2e/secret.txt", "/assets/..%2F..%2Fsecret.txt", "/link.txt", "/%00"]
)
def test_nothing_leaves_the_folder(folder: Path, path: str) -> None:
    answer = get(folder, path)

    assert answer.status_code == 404
    assert "what is in it" not in answer.text


def test_a_page_that_is_not_built_says_so(tmp_path: Path) -> None:
    answer = get(tmp_path / "absent", "/")

    assert answer.status_code == 503
    assert "has not been built" in answer.text
    assert "make setup" in answer.text
