"""The files that pages load: served from memory, under addresses that change with their content."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
# The address of a file names its content, so a browser never has to ask again.
_FOREVER: Final = "public, max-age=31536000, immutable"


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Every file that may be served, with the hash of its content."""
    found = {}
    for file in files(__package__).joinpath("static").iterdir():
        if file.name.rpartition(".")[2] in _TYPES:
            content = file.read_bytes()
            found[file.name] = (content, hashlib.sha256(content).hexdigest()[:12])
    return found


def address(name: str) -> str:
    """Where a file is served."""
    return f"/static/{_files()[name][1]}/{name}"


async def _serve(request: Request) -> Response:
    content, digest = _files().get(request.path_params["name"], (b"", ""))
    if not digest:
        return PlainTextResponse("There is no such file.\n", 404)
    # During an update the other replica may be asked for its newer file: what we have is better than none,
    # and must not be kept as the other one.
    keep = _FOREVER if request.path_params["digest"] == digest else "no-store"
    type_ = _TYPES[request.path_params["name"].rpartition(".")[2]]
    return Response(content, media_type=type_, headers={"Cache-Control": keep})


def routes() -> list[Route]:
    """The route of the files, for whoever asks."""
    return [Route("/static/{digest}/{name}", _serve, methods=["GET"])]
