"""The console in a real browser, with the Northwind orders inside: looked through, stepped through, acted on."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

import northwind
from browsers import NARROW, WIDE, OpenWindow, Scheme, Window
from order_samples import item
from servers import Server, start
from talking import bring, place

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe<script>alert(2)</script>"
SHIPPED = northwind.order_id(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A running service with the orders of Northwind."""
    folder = tmp_path_factory.mktemp("console")
    store = f"sqlite:///{folder / 'orders.db'}"
    asyncio.run(northwind.fill(store))
    with start(store, folder / "service.log", views="subscribed") as server:
        yield server


@pytest.fixture(scope="module")
def api(service: Server) -> Generator[httpx.Client]:
    """Somebody else, who uses the API."""
    with httpx.Client(base_url=service.url) as client:
        yield client


def status_of(api: httpx.Client, order_id: str) -> str:
    """Where an order stands."""
    status: str = api.get(f"/orders/{order_id}").json()["status"]
    return status


PAGES = {
    "overview": "",
    "search": "/search?q=ALFKI",
    "streams": "/streams",
    "stream": f"/stream?name=order-{SHIPPED}",
    "explain": f"/stream?name=order-{SHIPPED}&show=explain&at=2",
    "rows": f"/stream?name=order-{SHIPPED}&show=rows",
    "test": f"/stream?name=order-{SHIPPED}&show=test",
    "event": "/event?position=2",
    "live": "/live",
    "projections": "/projections",
    "projection": "/projections/show?name=order_details",
    "stepper": f"/projections/step?name=sales&stream=order-{SHIPPED}&at=2",
    "parked": "/parked",
    "commands": "/commands",
    "command": f"/commands/form?command=UpdateOrderStatus&stream=order-{SHIPPED}",
    "model": "/model",
    "audit": "/audit",
    "nothing": "/nothing",
}


@pytest.mark.parametrize("name", PAGES)
async def test_each_page_fits_and_keeps_nobody_out(service: Server, window: Window, name: str) -> None:
    await window.page.goto(f"{service.url}/console{PAGES[name]}")
    looks: list[tuple[int, Scheme]] = [(1280, "light"), (NARROW, "light"), (WIDE, "dark")]
    for width, scheme in looks:
        await window.resize(width)
        await window.page.emulate_media(color_scheme=scheme)
        await window.check_fits()
        await window.picture(f"console-{name}-{width}-{scheme}")
        if width != 1280:
            await window.check_accessible()
    if name == "nothing":
        window.expect_fault("404")


async def test_a_correlation_is_reached_from_an_event(service: Server, window: Window) -> None:
    page = window.page
    await page.goto(f"{service.url}/console/event?position=1")
    await page.locator("main .facts a[href*=correlation]").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Correlation")
    await window.check_accessible()
    await page.locator(".lanes a").first.click()
    await expect(page).to_have_url(re.compile("/event\\?position="))


async def test_the_slider_shows_what_an_order_was_at_each_version(service: Server, window: Window) -> None:
    page = window.page
    await page.goto(f"{service.url}/console/stream?name=order-{SHIPPED}")
    await expect(page.locator("#ways h2")).to_have_text("State after version 4")
    slider = page.locator("#at")
    for version, status in ((3, "shipped"), (2, "confirmed"), (1, "pending")):
        await slider.press("ArrowLeft")
        await expect(page.locator("#ways h2")).to_have_text(f"State after version {version}")
        await expect(page.locator("#ways tbody tr").first.locator("td").last).to_have_text(status)
        await expect(page.locator("#strip .at .version")).to_have_text(str(version))
    await expect(page).to_have_url(re.compile("at=1"))
    await page.locator("#strip a").last.click()
    await expect(page.locator("#chosen h2")).to_contain_text("Version 4")


async def test_the_keyboard_is_enough(service: Server, window: Window) -> None:
    page = window.page
    await page.goto(f"{service.url}/console")
    await page.keyboard.press("/")
    await page.keyboard.type(f"order-{SHIPPED}@2")
    await page.keyboard.press("Enter")
    await expect(page.locator("#chosen h2")).to_contain_text("Version 2")
    await page.keyboard.press("l")
    await expect(page.locator("#chosen h2")).to_contain_text("Version 3")
    await page.keyboard.press("h")
    await expect(page.locator("#chosen h2")).to_contain_text("Version 2")
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Streams")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/stream\\?name="))
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await window.check_accessible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_light_and_dark_are_chosen_and_kept(service: Server, window: Window) -> None:
    page = window.page
    await page.goto(f"{service.url}/console")
    paper = "getComputedStyle(document.body.parentElement).backgroundColor"
    light = await page.evaluate(paper)
    await page.get_by_role("button", name="Light or dark").click()
    dark = await page.evaluate(paper)
    await page.goto(f"{service.url}/console/model")
    assert (await page.evaluate(paper), light != dark) == (dark, True)


async def test_the_live_tail_shows_what_is_appended_and_pauses(
    service: Server, window: Window, api: httpx.Client
) -> None:
    page = window.page
    await page.goto(f"{service.url}/console/live?text=live-tail")
    await expect(page.locator("#tail-state")).to_have_text("live")
    placed = [place(api, customerId="live-tail") for _ in range(3)]
    for order_id in placed:
        await expect(page.locator("#tail")).to_contain_text(order_id)
    await page.get_by_role("button", name="Pause").click()
    place(api, customerId="live-tail")
    await expect(page.locator("#tail-state")).to_have_text("paused; 1 came meanwhile and are not shown")
    await expect(page.locator("#tail tr")).to_have_count(3)
    await page.get_by_role("button", name="Go on").click()
    bring(api, placed[0], "confirmed")
    last = place(api, customerId="live-tail")
    await expect(page.locator("#tail")).to_contain_text(last)


async def test_a_command_is_tried_and_sent(service: Server, window: Window, api: httpx.Client) -> None:
    page, order_id = window.page, place(api)
    await page.goto(f"{service.url}/console/stream?name=order-{order_id}")
    await page.get_by_role("link", name="Commands").last.click()
    await page.get_by_role("link", name="UpdateOrderStatus").click()
    await expect(page.get_by_label("order_id")).to_have_value(order_id)
    await page.get_by_label("status").select_option("confirmed")
    await page.get_by_role("button", name="Try it").click()
    await expect(page.locator("main")).to_contain_text("Nothing was appended.")
    await window.picture("console-command-tried")
    await page.get_by_role("button", name="Send it").click()
    await expect(page.get_by_role("status")).to_contain_text("is at version 2")
    assert status_of(api, order_id) == "confirmed"


async def test_hostile_texts_stay_texts(service: Server, window: Window, api: httpx.Client) -> None:
    page = window.page
    products = [item(productName=HOSTILE)]
    order_id = place(api, customerId=HOSTILE, items=products, shippingAddress={"street": HOSTILE * 4})
    for path in (f"/stream?name=order-{order_id}", f"/stream?name=order-{order_id}&show=explain", "/live", "/streams"):
        await page.goto(f"{service.url}/console{path}")
        await window.resize(NARROW)
        await window.check_fits()
        assert not await page.locator("main img, main script").count()
    await window.page.goto(f"{service.url}/console/live")
    await expect(page.locator("#tail-state")).to_have_text("live")
    other = place(api, customerId=HOSTILE)
    await expect(page.locator("#tail")).to_contain_text(other)  # what scripts put there is text as well
    assert not await page.locator("main img, main script").count()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
async def test_a_parked_sequence_is_found_understood_retried_and_drained_by_mouse(
    open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: bool
) -> None:
    fault = tmp_path / "fault"
    fault.write_text("ANNA")
    monkeypatch.setenv("FAULT_FILE", str(fault))
    command = (sys.executable, str(Path(__file__).with_name("faulty_service.py")))
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with (
        start(store, tmp_path / "service.log", command=command, views="subscribed") as server,
        httpx.Client(base_url=server.url) as api,
    ):
        order_id = place(api, customerId="ANNA")
        bring(api, order_id, "confirmed", "shipped")
        place(api, customerId="BOB")
        async with open_window(scripts=scripts) as window:
            page = window.page
            await page.goto(f"{server.url}/console")
            stuck = page.locator("dl a[href$='/parked']")
            while not await stuck.count():  # without scripts nothing refreshes itself
                await asyncio.sleep(0.2)
                await page.reload()
            await stuck.click()
            await expect(page.locator("main")).to_contain_text("ValueError: no carrier goes there")
            await window.picture("console-parked-sequence")
            await page.get_by_role("link", name=order_id).click()  # understood: the event, its data, what waits behind
            await expect(page.get_by_label("Payload")).to_contain_text('"customerId": "ANNA"')
            await expect(page.locator("main tbody tr")).to_have_count(3)
            await page.get_by_role("button", name="Dry run").click()
            told = page.locator("main section").first
            await expect(told).to_contain_text("0 of 3 events would be folded, then: ValueError: no carrier goes there")
            fault.unlink()  # the code is mended
            await page.get_by_role("button", name="Dry run").click()
            await expect(told).to_contain_text("All 3 events would be folded, and the sequence drained.")
            await window.picture("console-dry-run", whole=True)
            await page.get_by_role("button", name="Retry this sequence").click()
            await expect(page.get_by_role("status")).to_contain_text("3 events folded; 1 of 1 sequences drained.")
            await expect(page.locator("main")).to_contain_text("Nothing is parked.")
            assert status_of(api, order_id) == "shipped"
