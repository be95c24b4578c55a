"""A real browser for tests: the Chromium that is installed, driven by Playwright. None is downloaded.

There is one browser for all tests, and windows that share nothing: no cookie, no cache. A window fails its test if a
script of the page fails, if its policy refuses something, or if something that the page asks for does not come. It
sees no host but this machine.

A file of such tests has all of them on the browser's own event loop:

    pytestmark = pytest.mark.asyncio(loop_scope="session")
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, ViewportSize, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # else it looks up hosts of its maker at every start
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
WAIT_MILLISECONDS = 20_000  # two cores are shared with other tests
WIDE, NARROW = 1600, 400  # pixels that a page has to fit in, and all between
# What axe looks for: the criteria that can be checked by a program, and what it advises beside them.
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

Scheme: TypeAlias = Literal["light", "dark"]


class Window:
    """A window of the browser, with one page in it. `faults` is what went wrong in it so far."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"a script failed: {error}"))
        page.on("requestfailed", self._on_failure)

    def expect_fault(self, pattern: str) -> None:
        """Take a fault that had to come (an answer 409 is one to the browser) off the list. It fails if none came."""
        expected = [fault for fault in self.faults if re.search(pattern, fault)]
        assert expected, f"no fault like {pattern!r}, only {self.faults}"
        self.faults = [fault for fault in self.faults if fault not in expected]

    async def check_accessible(self) -> None:
        """Fail with all that axe finds in the page as it is now."""
        await self.page.evaluate(_axe())
        found: Mapping[str, Any] = await self.page.evaluate(
            "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})",
            AXE_RULES,
        )
        said = [
            f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html']}: {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]
        assert not said, f"{self.page.url}:\n" + "\n".join(said)

    async def check_fits(self) -> None:
        """Fail if the page is wider than the window."""
        wide, there = await self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= there, f"{self.page.url} is {wide} pixels wide in a window of {there}"

    async def resize(self, width: int, height: int = 900) -> None:
        """Give the window another size."""
        await self.page.set_viewport_size({"width": width, "height": height})

    async def picture(self, name: str, *, whole: bool = False) -> None:
        """Keep a picture of the page, or of all of it however long it is, where TWOFOLD_SCREENSHOTS names a folder."""
        folder = os.environ.get("TWOFOLD_SCREENSHOTS")
        if folder:
            path = os.path.join(folder, f"{name}.png")  # its folders are made
            await self.page.screenshot(path=path, full_page=whole, animations="disabled")

    def _on_console(self, message: ConsoleMessage) -> None:
        # A request that a newer one takes the place of is no fault; htmx tells it twice, and all others by more names.
        if message.type == "error" and not message.text.startswith(("htmx:afterRequest", "htmx:sendAbort")):
            self.faults.append(f"{message.text} ({message.location['url']})")

    def _on_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page went on to another, and needs it no more
            self.faults.append(f"{request.method} {request.url} failed: {request.failure}")


OpenWindow: TypeAlias = Callable[..., AbstractAsyncContextManager[Window]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncGenerator[Browser]:
    """The browser. Without one the test is skipped, unless TWOFOLD_TEST_BROWSER says `required`."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        told = "no browser is installed: `apt-get install chromium`"
        if os.environ.get("TWOFOLD_TEST_BROWSER") == "required":
            pytest.fail(told)
        pytest.skip(told)
    async with async_playwright() as playwright:
        sandbox = os.geteuid() != 0  # Chromium has none for root
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS, chromium_sandbox=sandbox)
        yield browser
        await browser.close()


@pytest.fixture
def open_window(chromium: Browser) -> OpenWindow:
    """Opens windows: `async with open_window(width=400, scheme="dark", scripts=False) as window`.

    At the end of the block its faults fail the test.
    """

    @asynccontextmanager
    async def opened(
        *, width: int = 1280, height: int = 900, scheme: Scheme = "light", scripts: bool = True
    ) -> AsyncGenerator[Window]:
        size: ViewportSize = {"width": width, "height": height}
        context = await chromium.new_context(
            viewport=size, color_scheme=scheme, java_script_enabled=scripts, reduced_motion="reduce", locale="en-US"
        )
        context.set_default_timeout(WAIT_MILLISECONDS)
        try:
            window = Window(await context.new_page())
            yield window
            assert not window.faults, "\n".join(window.faults)
        finally:
            await context.close()

    return opened


@pytest_asyncio.fixture(loop_scope="session")
async def window(open_window: OpenWindow) -> AsyncGenerator[Window]:
    """One window of usual size."""
    async with open_window() as opened:
        yield opened


@cache
def _axe() -> str:
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
