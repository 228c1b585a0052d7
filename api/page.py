"""The page at `/`: files of the build, and its index for every other path that a browser asks for.

Vite names what lies in `assets/` by its content, so that it may be kept for ever; the index is asked for each time.
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

BUILT_PAGE = Path(__file__).parent / "page"
KEEP = "public, max-age=31536000, immutable"
ASK = "no-cache"
_FILES = frozenset({".js", ".css", ".map", ".svg", ".png", ".ico", ".woff2"})
_SERVERS_OWN = ("api", "health", "metrics")

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fleetpulse</title>
<h1>The page has not been built</h1>
<p>Run <code>make setup</code> in the clone and load this again. The API works without it:
<a href="/api/fleet/v1/hosts">hosts</a>, <a href="/health/ready">health</a>.</p></html>
"""


def install(app: FastAPI, folder: Path) -> None:
    """Serve the page from a folder, which may be built later; to be called after all other routes are there."""
    root = folder.resolve()

    async def serve_page(request: Request) -> Response:
        path = request.path_params["path"]
        if path.partition("/")[0] in _SERVERS_OWN:
            raise HTTPException(404)
        file = _file(root, path)
        if file is not None:
            return FileResponse(file, headers={"Cache-Control": KEEP if path.startswith("assets/") else ASK})
        if Path(path).suffix in _FILES:
            raise HTTPException(404)  # a file of an older build: the index in its place would be a riddle
        index = root / "index.html"
        if not index.is_file():
            return HTMLResponse(_NOT_BUILT, 503, headers={"Cache-Control": "no-store"})
        return FileResponse(index, headers={"Cache-Control": ASK})

    app.add_route("/{path:path}", serve_page, methods=["GET", "HEAD"], include_in_schema=False)


def _file(root: Path, path: str) -> Path | None:
    """The file of the build, or None; never one outside of it."""
    if not path or "\0" in path:
        return None
    try:
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except OSError:
        return None
