"""A browser without scripts, at the console of the order service: it follows links, sends forms, keeps cookies."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from orders.app import OrderService
from orders.asgi import application
from orders.settings import Settings
from twofold.console.logins import Login, Role
from twofold.console.passwords import PasswordHash
from twofold.http.exchange import Asgi

AT = "http://127.0.0.1:3000"


def browser(service: OrderService, **settings: Any) -> httpx.AsyncClient:
    """A browser at the console of a service in this process."""
    transport = httpx.ASGITransport(application(service, Settings(**settings)))
    return httpx.AsyncClient(transport=transport, base_url=AT, headers={"Accept": "text/html"})


def logins(folder: Path, **roles: Role) -> str:
    """A file of logins, each with its name as the password. The hashes are cheap: what they cost is no matter here."""
    path = folder / "logins"
    unhashed = PasswordHash(2, 8, 1, bytes(16), b"")
    hashes = {name: unhashed._replace(hash=unhashed.hashed(name)) for name in roles}
    path.write_text("".join(f"{Login(name, role, hashes[name]).line()}\n" for name, role in roles.items()))
    return str(path)


def token_in(page: httpx.Response) -> str:
    """The token of the page's forms; of its cookie where it has none."""
    found = re.search('name="csrf" value="([^"]+)"', page.text)
    return found[1] if found is not None else page.cookies.get("twofold-form") or ""


async def see(http: httpx.AsyncClient, path: str, status: int = 200) -> str:
    """The text of a page: what stands between its tags, in one line."""
    page = await http.get(f"/console{path}")
    assert page.status_code == status, page.text
    return text_of(page)


def text_of(page: httpx.Response) -> str:
    """What stands between the tags of a page, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


async def act(
    http: httpx.AsyncClient, path: str, fields: Mapping[str, object], *, follow: bool = True
) -> httpx.Response:
    """Send a form that a page has given; the page that it leads to."""
    token = token_in(await http.get("/console"))
    sent = {"csrf": token or http.cookies.get("twofold-form", ""), **fields}
    headers = {"Origin": AT, "Sec-Fetch-Site": "same-origin"}
    return await http.post(f"/console{path}", data=sent, headers=headers, follow_redirects=follow)


@asynccontextmanager
async def listening(
    app: Asgi, address: str, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[AsyncGenerator[tuple[str, str]]]:
    """The frames of a live stream, by name and content, from when it is open on. httpx would wait for its end."""
    path, _, query = address.partition("?")
    given = {"host": "127.0.0.1", **(headers or {})}
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    sent: asyncio.Queue[Any] = asyncio.Queue()
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def frames() -> AsyncGenerator[tuple[str, str]]:
        while True:
            async with asyncio.timeout(30):
                body: bytes = (await sent.get())["body"]
            found = re.fullmatch(rb"id: [0-9]+\nevent: (\w+)\ndata: (.*)\n\n", body)
            if found is not None:
                yield found[1].decode(), json.loads(found[2])

    serving = asyncio.ensure_future(app(scope, receive, sent.put))
    async with asyncio.timeout(30):
        start = await sent.get()
        assert start["status"] == 200
        assert (await sent.get())["body"].startswith(b"retry:")
    try:
        yield frames()
    finally:
        left.set()
        await serving
