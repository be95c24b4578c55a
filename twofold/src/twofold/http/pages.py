"""The API's own pages: its OpenAPI document, a page to read and try it that needs no other host, and its health."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources
from urllib.parse import quote

import msgspec

from twofold.errors import TwofoldError
from twofold.http.answers import encode, json_response
from twofold.http.application import Route
from twofold.http.exchange import Request, Response
from twofold.http.problems import Problem
from twofold.sequences import outlined

SWAGGER_UI = "swagger-ui-5.35.0"

_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API</title>
<link rel="stylesheet" href="docs/{SWAGGER_UI}.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>The API is described in <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/{SWAGGER_UI}.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
""".encode()
_START = b"""SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, tryItOutEnabled: true
})
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self';"
    " style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # the version is in the name


def documentation(openapi: Callable[[], bytes], *, home: bool = True) -> list[Route]:
    """Routes of /openapi.json, /docs and the files of that page; / leads there if that is the application's `home`.

    The document is made when it is first asked for.
    """
    made = cache(openapi)

    async def lead_there(_request: Request) -> Response:
        return Response(status=307, headers={"Location": "docs"})

    async def document(request: Request) -> Response:
        return json_response(_served_under(request.root, made()) if request.root else made())

    async def page(_request: Request) -> Response:
        return Response(_PAGE, headers={"Content-Security-Policy": _POLICY}, media_type=_text("html"))

    async def start(_request: Request) -> Response:
        return Response(_START, media_type=_text("javascript"))

    return [
        *([Route("GET", "/", lead_there)] if home else ()),
        Route("GET", "/openapi.json", document),
        Route("GET", "/docs", page),
        Route("GET", "/docs/start.js", start),
        Route("GET", f"/docs/{SWAGGER_UI}.js", _file(f"{SWAGGER_UI}.js", _text("javascript"))),
        Route("GET", f"/docs/{SWAGGER_UI}.css", _file(f"{SWAGGER_UI}.css", _text("css"))),
    ]


def _text(kind: str) -> str:
    return f"text/{kind}; charset=utf-8"


def _served_under(root: str, openapi: bytes) -> bytes:
    """The document for an application that is mounted: its paths begin behind the prefix."""
    return encode({**msgspec.json.decode(openapi), "servers": [{"url": quote(root)}]})


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def file(_request: Request) -> Response:
        return Response(_content(name), headers=_FOR_EVER, media_type=media_type)

    return file


@cache
def _content(name: str) -> bytes:
    return resources.files("twofold.http").joinpath("static", name).read_bytes()


def health(check: Callable[[], Awaitable[None]]) -> list[Route]:
    """Routes of /livez (the process answers) and /readyz (it can do its work: `check` raises why it cannot).

    Whoever asks need not be known, so they tell nothing of what is in events.
    """

    async def live(_request: Request) -> Response:
        return json_response(b'{"status":"live"}')

    async def ready(_request: Request) -> Response:
        try:
            await check()
        except TwofoldError as error:
            raise Problem(503, "not-ready", f"Not ready: {outlined(error)}", headers={"Retry-After": "1"}) from error
        return json_response(b'{"status":"ready"}')

    return [Route("GET", "/livez", live), Route("GET", "/readyz", ready)]
