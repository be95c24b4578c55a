"""The order desk in a real browser, with the Northwind orders inside: found, clicked, acted on, created, seen live."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator

import httpx
import pytest
from playwright.async_api import expect

import northwind
from browsers import NARROW, WIDE, OpenWindow, Scheme, Window
from order_samples import item
from servers import Server, start
from talking import bring, cancel, history, place

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe" + "\u0301" * 20
ALL = len(northwind.lines())
WAITS = northwind.order_id(ALL)  # the last order, which nobody has touched


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A running service with the orders of Northwind."""
    folder = tmp_path_factory.mktemp("desk")
    store = f"sqlite:///{folder / 'orders.db'}"
    asyncio.run(northwind.fill(store))
    with start(store, folder / "service.log") as server:
        yield server


@pytest.fixture(scope="module")
def other(desk: Server) -> Generator[httpx.Client]:
    """Somebody else, who uses the API."""
    with httpx.Client(base_url=desk.url) as client:
        yield client


PAGES = {"orders": "/", "order": f"/desk/orders/{WAITS}", "dashboard": "/desk/dashboard", "new": "/desk/new"}


@pytest.mark.parametrize("name", PAGES)
async def test_each_page_fits_and_keeps_nobody_out(desk: Server, window: Window, name: str) -> None:
    await window.page.goto(desk.url + PAGES[name])
    looks: list[tuple[int, Scheme]] = [(1280, "light"), (NARROW, "light"), (WIDE, "dark")]
    for width, scheme in looks:
        await window.resize(width)
        await window.page.emulate_media(color_scheme=scheme)
        await window.check_fits()
        await window.picture(f"desk-{name}-{width}-{scheme}")
        if width != 1280:
            await window.check_accessible()


async def test_an_order_is_found_while_it_is_typed_and_opened(desk: Server, window: Window) -> None:
    page = window.page
    await page.goto(desk.url)
    await expect(page.locator("[data-row]")).to_have_count(20)

    await page.get_by_label("Search", exact=True).press_sequentially(WAITS)
    await expect(page.locator("[data-row]")).to_have_count(1)
    await expect(page).to_have_url(f"{desk.url}/?q={WAITS}&sort=newest")
    await page.get_by_role("link", name=WAITS).click()

    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Order {WAITS}")
    await expect(page.get_by_role("button", name="Confirm")).to_be_visible()
    await page.go_back()
    await expect(page.locator("[data-row]")).to_have_count(1)


async def test_filters_narrow_the_list_and_pages_lead_on(desk: Server, window: Window) -> None:
    page = window.page
    await page.goto(desk.url)

    await page.get_by_label("Status", exact=True).select_option("delivered")
    await expect(page.locator("#found .status.delivered")).to_have_count(20)
    first = await page.locator("[data-row]").first.text_content()
    await page.get_by_role("link", name="Next page").click()
    await expect(page.locator("#found .status.delivered").first).to_be_visible()
    assert await page.locator("[data-row]").first.text_content() != first
    await page.get_by_role("link", name="To the first page").click()
    await expect(page.locator("[data-row]").first).to_have_text(first or "")
    await page.get_by_role("link", name=re.compile("^Pending")).click()
    await expect(page.locator("#found .status.pending").first).to_be_visible()
    await page.get_by_label("Min total").fill("ten")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("alert")).to_contain_text("Min must be a number")
    await window.check_accessible()
    window.expect_fault("400")


async def test_an_order_is_led_on_by_its_buttons_and_a_slower_clerk_is_told(
    desk: Server, open_window: OpenWindow, other: httpx.Client
) -> None:
    order_id = place(other)
    async with open_window() as window, open_window(scripts=False) as slower:
        for one in (window, slower):
            await one.page.goto(f"{desk.url}/desk/orders/{order_id}")
        await window.page.get_by_label("Reason").first.fill("paid")
        await window.page.get_by_role("button", name="Confirm").click()
        await expect(window.page.get_by_role("status")).to_have_text("The order is confirmed now.")
        await expect(window.page.locator(".timeline")).to_contain_text("paid")

        await slower.page.get_by_text("Cancel this order…").click()
        await slower.page.locator("#reason-cancelled").fill("no stock")
        await slower.page.get_by_role("button", name="Cancel the order").click()

        await expect(slower.page.get_by_role("alert")).to_contain_text("it is confirmed now. Yours was not done.")
        await expect(slower.page.locator("#reason-cancelled")).to_have_value("no stock")
        slower.expect_fault("409")
        await slower.page.get_by_role("button", name="Mark as shipped").click()
        await expect(slower.page.get_by_role("status")).to_have_text("The order is shipped now.")
    assert [event["type"] for event in history(other, order_id)] == ["OrderCreated", *["OrderStatusUpdated"] * 2]


async def test_an_order_that_others_change_is_shown_as_it_is_now_and_nothing_typed_is_lost(
    desk: Server, window: Window, other: httpx.Client
) -> None:
    order_id = place(other)
    page = window.page
    await page.goto(f"{desk.url}/desk/orders/{order_id}")
    await page.get_by_text("Cancel this order…").click()
    await page.locator("#reason-cancelled").fill("half a sent")

    bring(other, order_id, "confirmed")

    await expect(page.locator(".facts .status")).to_have_text("Confirmed")
    await expect(page.locator("#reason-cancelled")).to_have_value("half a sent")
    await expect(page.get_by_role("button", name="Mark as shipped")).to_be_visible()
    await window.check_accessible()


@pytest.mark.parametrize("scripts", [True, False])
async def test_an_order_is_created_by_its_form(
    desk: Server, open_window: OpenWindow, other: httpx.Client, scripts: bool
) -> None:
    async with open_window(scripts=scripts) as window:
        page = window.page
        await page.goto(f"{desk.url}/desk/new")
        await page.get_by_label("Customer").fill("Zoë & Sons")
        for number in range(4):
            if number == 3:
                await page.get_by_role("button", name="Add an item").click()
            row = page.get_by_role("group", name=f"Item {number + 1}")
            await row.get_by_label("Product").fill(f"p-{number}")
            await row.get_by_label("Name").fill(f"Tea {number}")
            await row.get_by_label("Quantity").fill("2")
            await row.get_by_label("Price").fill("1.005" if number == 3 else "9.80")
        await page.get_by_label("Street").fill("1 Main Street")
        await page.get_by_role("button", name="Create the order").click()

        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("Price must have at most 2 decimals in USD")
        window.expect_fault("400")
        if scripts:
            await window.check_accessible()
        await alert.get_by_role("link").click()
        await expect(page.locator("#price-3")).to_have_value("1.005")
        await expect(page.get_by_label("Customer")).to_have_value("Zoë & Sons")
        await page.locator("#price-3").fill("1.05")
        await page.locator("#price-3").press("Enter")

        await expect(page.get_by_role("heading", level=1)).to_contain_text("Order")
        await expect(page.locator("tfoot")).to_contain_text("60.90\N{NO-BREAK SPACE}USD")
        order_id = page.url.rpartition("/")[2]
    assert history(other, order_id)[0]["data"]["customerId"] == "Zoë & Sons"


async def test_the_dashboard_and_the_list_follow_what_happens(
    desk: Server, open_window: OpenWindow, other: httpx.Client
) -> None:
    async with open_window() as window, open_window() as second:
        await window.page.goto(f"{desk.url}/desk/dashboard")
        await second.page.goto(desk.url)
        count = window.page.locator(".facts dd").first
        before = int((await count.text_content() or "").replace(",", ""))
        newest = window.page.locator("#days tbody tr").first
        told = await newest.inner_text()
        await window.page.get_by_text("Each day as a table").click()
        await second.page.keyboard.press("j")
        await second.page.keyboard.press("j")
        focused = await second.page.evaluate("document.activeElement.id")

        order_id = place(other, customerId="live", items=[item(quantity=1, price="7.77")])

        await expect(count).to_have_text(f"{before + 1:,}")
        await expect(newest).not_to_have_text(told)
        await expect(window.page.locator("figure rect").first).to_be_attached()
        await expect(second.page.locator("[data-row]").first).to_have_text(order_id)
        assert await second.page.evaluate("document.activeElement.id") == focused
        await window.check_accessible()
        await second.check_accessible()


async def test_keys_lead_through_the_desk(desk: Server, window: Window) -> None:
    page = window.page
    await page.goto(desk.url)
    third = await page.locator("[data-row]").nth(2).text_content()

    for key in ("j", "j", "j", "j", "k"):
        await page.keyboard.press(key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Order {third}")
    await page.keyboard.press("/")
    await expect(page).to_have_url(f"{desk.url}/")
    await page.keyboard.press("/")
    await page.keyboard.type("jn?")
    await expect(page.get_by_label("Search", exact=True)).to_have_value("jn?")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.get_by_text("next and previous order")).to_be_visible()
    await page.keyboard.press("n")
    await expect(page.get_by_role("heading", level=1)).to_have_text("New order")


async def test_hostile_names_and_addresses_are_text_and_break_no_page(
    desk: Server, open_window: OpenWindow, other: httpx.Client
) -> None:
    wide = "W" * 100
    items = [
        item(productId="p-x", productName=HOSTILE, price="999999.99", quantity=90),
        item(productId=wide, productName="x" * 200, price="999999.99", quantity=900),
    ]
    address = {HOSTILE[:50]: HOSTILE, "city": "y" * 300, "script": "</dd></dl><script>alert(1)</script>"}
    order_id = place(other, customerId=HOSTILE, items=items, shippingAddress=address)
    also = place(other, customerId=wide, items=items, shippingAddress=HOSTILE)
    cancel(other, order_id, {"reason": HOSTILE + "z" * 500})
    async with open_window(width=NARROW) as window:
        for path in ("/", "/desk/dashboard", f"/desk/orders/{order_id}", f"/desk/orders/{also}"):
            await window.page.goto(desk.url + path)
            await expect(window.page.locator("main")).to_contain_text("onerror")
            assert await window.page.locator("main img, main script").count() == 0
            await window.check_fits()
            await window.check_accessible()
