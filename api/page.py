"""The page at `/` and the files of its build; every other path is 404, so that a probe of a wrong path fails.

The page keeps its own places behind `#`, which a browser does not send: `/hosts/web-1` leads to `#/hosts/web-1`.
Vite names what lies in `assets/` by its content, so that it may be kept for ever; the index is asked for each time.
"""

import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

BUILT_PAGE = Path(__file__).parent / "page"
KEEP = "public, max-age=31536000, immutable"
ASK = "no-cache"
_PLACES = re.compile(r"hosts/[^/]+|alerts|silences|rules(/[^/]+)?")  # of web/src/app/App.tsx
_INDEX = "index.html"

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
        file = _file(root, path or _INDEX)
        if file is not None:
            return FileResponse(file, headers={"Cache-Control": KEEP if path.startswith("assets/") else ASK})
        if path in ("", _INDEX):
            return HTMLResponse(_NOT_BUILT, 503, headers={"Cache-Control": "no-store"})
        if _PLACES.fullmatch(place := _place(request)):
            up = "../" if "/" in place else "./"  # relative, because a proxy may serve the page under a prefix
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"{up}#/{place}{query}", headers={"Cache-Control": ASK})
        raise HTTPException(404)

    app.add_route("/{path:path}", serve_page, methods=["GET", "HEAD"], include_in_schema=False)


def _place(request: Request) -> str:
    """The path as it was sent, a slash of a name still encoded."""
    return str(request.scope.get("raw_path", b"").decode("latin-1").removeprefix("/"))


def _file(root: Path, path: str) -> Path | None:
    """The file of the build, or None; never one outside of it."""
    if "\0" in path:
        return None
    try:
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except OSError:
        return None
