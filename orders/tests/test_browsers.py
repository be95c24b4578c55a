"""The browser that other tests look at pages with: it sees what is wrong with a page, and nothing that is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from browsers import OpenWindow, Window

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'"
GOOD = "<!doctype html><html lang=en><title>Good</title><main><h1>Good</h1><p>It is.</p></main>"


@asynccontextmanager
async def serving(pages: Mapping[str, str]) -> AsyncGenerator[str]:
    """The URL of a service of these pages, all under a strict policy."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        content = pages.get(path, "").encode()
        status = "200 OK" if path in pages else "404 Not Found"
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {len(content)}\r\n"
        writer.write(f"{head}Content-Security-Policy: {POLICY}\r\nConnection: close\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_good_page_has_no_fault(window: Window) -> None:
    async with serving({"/": f"{GOOD}<link rel=icon href=data:,>"}) as url:
        await window.page.goto(url)
        await window.check_accessible()
        await window.check_fits()
        assert await window.page.title() == "Good"


@pytest.mark.parametrize(
    ("pages", "fault"),
    [
        ({"/": f"{GOOD}<script>alert(1)</script>"}, "Content Security Policy"),
        ({"/": f"{GOOD}<p style='color: red'>"}, "Content Security Policy"),
        ({"/": f"{GOOD}<script src=/lost.js></script>"}, "404.*lost.js"),
        ({"/": f"{GOOD}<script src=/a.js></script>", "/a.js": "throw new Error('broken')"}, "script failed.*broken"),
        ({"/": f"{GOOD}<script src=/a.js></script>", "/a.js": "console.error('broken')"}, "broken"),
    ],
)
async def test_it_sees_what_goes_wrong_in_a_page(window: Window, pages: Mapping[str, str], fault: str) -> None:
    async with serving(pages) as url:
        await window.page.goto(url)
        window.expect_fault(fault)
        with pytest.raises(AssertionError, match="no fault like"):
            window.expect_fault(fault)


async def test_a_fault_fails_the_test_at_the_end_of_the_block(open_window: OpenWindow) -> None:
    async with serving({"/": f"{GOOD}<script src=/lost.js></script>"}) as url:
        with pytest.raises(AssertionError, match=r"lost\.js"):
            async with open_window() as window:
                await window.page.goto(url)


async def test_it_sees_what_keeps_people_out(window: Window) -> None:
    async with serving({"/": "<!doctype html><html lang=en><title>a</title><main><h1>a</h1><input></main>"}) as url:
        await window.page.goto(url)
        with pytest.raises(AssertionError, match=r"label \(critical\): Form elements must have labels: <input>"):
            await window.check_accessible()


async def test_it_sees_what_does_not_fit(open_window: OpenWindow) -> None:
    async with serving({"/": f"{GOOD}<pre>{'wide ' * 100}</pre>"}) as url, open_window(width=400) as window:
        await window.page.goto(url)
        with pytest.raises(AssertionError, match="pixels wide in a window of 400"):
            await window.check_fits()


async def test_it_keeps_pictures_where_it_is_told_to(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TWOFOLD_SCREENSHOTS", raising=False)
    async with serving({"/": GOOD}) as url:
        await window.page.goto(url)
        await window.picture("nothing")
        monkeypatch.setenv("TWOFOLD_SCREENSHOTS", str(tmp_path / "pictures"))
        await window.picture("good")
    assert os.listdir(tmp_path / "pictures") == ["good.png"]
