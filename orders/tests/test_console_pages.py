"""The console's pages about the log, without scripts: found, looked at in every way, tried, sent."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from uuid_utils.compat import uuid7

from consoles import act, browser, listening, logins, see, text_of, token_in
from order_samples import body
from orders.app import OrderService, open_service
from orders.asgi import application
from orders.domain import CreateOrder, Item, Status, UpdateOrderStatus, orders
from orders.requests import create_order, update_status
from orders.settings import Settings
from twofold import Metadata
from twofold.console.logins import Role
from twofold.events import NewEvent

SECRET = "signs the sessions of a test"  # noqa: S105 - as it says
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp\u200b\x1b[31m{{ 7*7 }}</pre>'\"&amp;"


@pytest.fixture
async def service() -> AsyncGenerator[OrderService]:
    async with open_service("memory:") as opened:
        yield opened


@pytest.fixture
async def http(service: OrderService) -> AsyncGenerator[httpx.AsyncClient]:
    async with browser(service) as client:
        yield client


async def create(service: OrderService, order_id: str, metadata: Metadata | None = None, **changes: object) -> int:
    return (await service.commands.execute(create_order(order_id, body(**changes), "USD"), metadata)).position


async def bring(service: OrderService, order_id: str, *statuses: str, reason: str | None = None) -> None:
    for status in statuses:
        await service.commands.execute(update_status(order_id, {"status": status, "reason": reason}))


# --- found ---------------------------------------------------------------------------------------------------------


async def test_the_search_box_leads_to_what_a_text_names(service: OrderService, http: httpx.AsyncClient) -> None:
    metadata = Metadata.new()
    position = await create(service, "o-1", metadata, customerId="ann")
    await create(service, "o-2", customerId="ann")
    (event,) = [each async for each in service.store.read("order-o-1")]
    straight = await http.get("/console/search", params={"q": "order-o-1@1"})
    assert straight.headers["location"] == "/console/stream?name=order-o-1&at=1"
    straight = await http.get("/console/search", params={"q": str(position)})
    assert straight.headers["location"] == f"/console/event?position={position}"
    straight = await http.get("/console/search", params={"q": str(event.id)})
    assert straight.headers["location"] == f"/console/event?position={position}"
    straight = await http.get("/console/search", params={"q": str(metadata.message_id)})
    assert straight.headers["location"] == f"/console/correlation?id={metadata.correlation_id}"
    page = await see(http, "/search?q=ann")  # a customer's orders
    assert "order_details: o-1" in page
    assert "order_details: o-2" in page
    assert "Nothing." in await see(http, "/search?q=nobody")
    assert "all in one box" in await see(http, "/search")


async def test_streams_come_with_the_newest_first_and_page_by_page(
    service: OrderService, http: httpx.AsyncClient
) -> None:
    for number in range(60):
        await create(service, f"o-{number}")
    await bring(service, "o-3", "confirmed")
    page = await http.get("/console/streams")
    names = re.findall(r">(order-o-\d+)</a>", page.text)
    assert names[:3] == ["order-o-3", "order-o-59", "order-o-58"]
    older = re.search(r'rel="next" href="([^"]+)"', page.text)
    assert older is not None
    more = re.findall(r">(order-o-\d+)</a>", (await http.get(older[1].replace("&amp;", "&"))).text)
    assert len({*names, *more}) == 60
    assert "No streams." in await see(http, "/streams?category=other")
    assert "No streams." in await see(http, "/streams?time=2001-01-01T00:00")
    await see(http, "/streams?time=yesterday", 400)


# --- one stream ----------------------------------------------------------------------------------------------------


async def test_a_slider_goes_through_the_life_of_an_order(service: OrderService, http: httpx.AsyncClient) -> None:
    await create(service, "o-1")
    await bring(service, "o-1", "confirmed", "shipped")
    for version, status in ((0, "null"), (1, "pending"), (2, "confirmed"), (3, "shipped")):
        page = await see(http, f"/stream?name=order-o-1&at={version}")
        assert f"State after version {version}" in page
        assert re.search(rf"status (null|pending|confirmed) {status}( |$)|status null {status}", page) or version == 0
    page = await see(http, "/stream?name=order-o-1&at=3&from=1")
    assert "After version 1 After version 3 status pending shipped" in page
    assert "Version 3: OrderStatusUpdated" in await see(http, "/stream?name=order-o-1&at=99")  # the last one
    await see(http, "/stream?name=order-none", 404)
    await see(http, "/stream?name=order-o-1&at=-1", 400)
    await see(http, "/stream?name=order-o-1&show=nothing", 404)


async def test_each_field_is_explained(service: OrderService, http: httpx.AsyncClient) -> None:
    await create(service, "o-1", customerId="ann")
    await bring(service, "o-1", "confirmed")
    page = await see(http, "/stream?name=order-o-1&show=explain")
    assert 'status "confirmed" OrderStatusUpdated, version 2' in page
    assert 'customerId "ann" OrderCreated, version 1' in page


async def test_a_view_s_row_stands_beside_a_fresh_fold(service: OrderService, http: httpx.AsyncClient) -> None:
    await create(service, "o-1")
    page = await see(http, "/stream?name=order-o-1&show=rows")
    assert "order_details: o-1 as the log says" in page


async def test_a_stream_is_written_as_a_test(service: OrderService, http: httpx.AsyncClient) -> None:
    await create(service, "o-1")
    page = await see(http, "/stream?name=order-o-1&show=test")
    assert "Scenario" in page
    assert ".given(" in page


async def test_a_long_stream_is_shown_part_by_part(service: OrderService, http: httpx.AsyncClient) -> None:
    metadata = Metadata.new()
    events = [NewEvent(id=uuid4(), type="Said", schema=1, data=b"{}", metadata=metadata) for _ in range(250)]
    await service.store.append("talk-1", events, expected=0)
    assert "250 events, 101 to 200 on the strip" in await see(http, "/stream?name=talk-1&at=150")
    assert "250 events, 201 to 250 on the strip" in await see(http, "/stream?name=talk-1")
    assert "No code here folds this category" in await see(http, "/stream?name=talk-1")


# --- one event, one correlation ------------------------------------------------------------------------------------


async def test_an_event_says_where_it_came_from_and_who_has_taken_it(
    service: OrderService, http: httpx.AsyncClient
) -> None:
    first = Metadata.new(actor="ann")
    position = await create(service, "o-1", first)
    led_to = await create(service, "o-2", first.caused())
    page = await see(http, f"/event?position={position}")
    assert "Actor ann" in page
    assert "order_details taken" in page
    assert f"{led_to} OrderCreated order-o-2 version 1" in page.partition("Effects")[2]
    page = await see(http, f"/event?position={led_to}")
    assert f"{position} OrderCreated order-o-1 version 1" in page.partition("Cause")[2]
    page = await see(http, f"/correlation?id={first.correlation_id}")
    assert "Messages 2 Events 2 Streams 2" in page
    assert str(first.message_id) in page
    await see(http, "/event?position=999", 404)
    await see(http, f"/event?id={uuid4()}", 404)
    await see(http, f"/correlation?id={uuid4()}", 404)


# --- the stepper ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["order_details", "sales"])
async def test_a_fold_is_walked_through(service: OrderService, http: httpx.AsyncClient, view: str) -> None:
    await create(service, "o-1")
    await bring(service, "o-1", "confirmed")
    assert "order-o-1" in await see(http, f"/projections/step?name={view}")
    page = await see(http, f"/projections/step?name={view}&stream=order-o-1&at=2")
    assert "pending confirmed" in page
    assert "On to version 2" in await see(http, f"/projections/step?name={view}&stream=order-o-1")
    assert "There is no stream" in await see(http, f"/projections/step?name={view}&stream=order-none")
    await see(http, "/projections/step?name=nothing", 404)


# --- commands ------------------------------------------------------------------------------------------------------


async def test_a_command_is_tried_sent_and_sent_again(service: OrderService, http: httpx.AsyncClient) -> None:
    assert "UpdateOrderStatus" in await see(http, "/commands")
    raw = (await http.get("/console/commands/form?command=UpdateOrderStatus&stream=order-o-1")).text
    assert 'value="o-1"' in raw
    await create(service, "o-1")
    fields = {"command": "UpdateOrderStatus", "field-order_id": "o-1", "field-status": "confirmed", "key": "k-1"}
    tried = text_of(await act(http, "/commands/try", fields))
    assert "Nothing was appended." in tried
    assert '"newStatus": "confirmed"' in tried
    assert (await http.get("/orders/o-1")).json()["status"] == "pending"
    sent = text_of(await act(http, "/commands/send", fields))
    assert "Done: order-o-1 is at version 2" in sent
    again = text_of(await act(http, "/commands/send", fields))
    assert "It was sent with this key before" in again
    assert (await http.get("/orders/o-1")).json()["version"] == 2
    (event,) = [each async for each in service.store.read("order-o-1", after=1)]
    assert event.metadata.actor == "loopback"
    other = text_of(await act(http, "/commands/send", {**fields, "field-status": "shipped"}))
    assert "The Idempotency-Key was used for a different request" in other


async def test_a_command_that_is_wrong_is_told_so(service: OrderService, http: httpx.AsyncClient) -> None:
    await create(service, "o-1")
    fields = {"command": "UpdateOrderStatus", "field-order_id": "o-1", "field-status": "delivered", "key": "k"}
    tried = text_of(await act(http, "/commands/try", fields))
    assert "It would be refused: TransitionForbidden" in tried
    sent = text_of(await act(http, "/commands/send", fields))
    assert "Refused: Order cannot go from pending to delivered" in sent
    items = {
        "command": "CreateOrder",
        "field-order_id": "o-2",
        "field-items": "[",
        "key": "k",
        "field-customer_id": "a",
    }
    assert "field-items" in (await act(http, "/commands/try", items)).text
    assert "items must be JSON" in text_of(await act(http, "/commands/try", items))
    assert (await act(http, "/commands/send", {**fields, "key": ""})).status_code == 400
    assert (await act(http, "/commands/try", {"command": "Nothing"})).status_code == 404
    await see(http, "/commands/form?command=Nothing", 404)


# --- the live tail, the model --------------------------------------------------------------------------------------


async def test_the_live_tail_shows_what_is_appended_as_it_comes(service: OrderService) -> None:
    async with listening(application(service, Settings()), "/console/live/events?text=ann") as frames:
        await create(service, "o-1", customerId="ann")
        await create(service, "o-2", customerId="bob")
        await create(service, "o-3", customerId="<b>Ann</b>")
        seen = ""
        while "order-o-3" not in seen:
            name, content = await anext(frames)
            assert name == "event"
            seen += content
        assert "order-o-1" in seen
        assert "order-o-2" not in seen
        assert "&lt;b&gt;Ann" in seen
        assert "<b>Ann" not in seen


async def test_the_live_tail_says_how_much_it_leaves_out(service: OrderService) -> None:
    async with listening(application(service, Settings()), "/console/live/events") as frames:
        for number in range(300):
            await create(service, f"o-{number}")
        shown = left = 0
        while shown + left < 300:
            name, content = await anext(frames)
            if name == "left":
                left += int(re.findall(r"([0-9,]+) more came", content)[0].replace(",", ""))
            else:
                shown += content.count("<tr")
        assert shown + left == 300
        assert 1 <= shown < 100


async def test_without_scripts_the_live_tail_shows_the_newest(service: OrderService, http: httpx.AsyncClient) -> None:
    await create(service, "o-1", customerId="ann")
    await create(service, "o-2", customerId="bob")
    page = await see(http, "/live")
    assert page.index("order-o-2") < page.index("order-o-1")
    assert "order-o-1" not in await see(http, "/live?text=BOB")
    assert "order-o-1" not in await see(http, "/live?type=OrderCancelled")
    assert "order-o-1" not in await see(http, "/live?category=other")
    assert "order-o-1" not in await see(http, "/live?actor=ann")


async def test_the_model_is_drawn_with_counts(service: OrderService, http: httpx.AsyncClient) -> None:
    await create(service, "o-1")
    page = await see(http, "/model")
    assert "event OrderCreated 1" in page
    assert "flowchart LR" in page


# --- what was stored may be anything -------------------------------------------------------------------------------

EVERYWHERE = [
    "",
    "/streams",
    "/live",
    "/model",
    "/search?q=hostile",
    "/stream?name={stream}&at=1",
    "/stream?name={stream}&at=2",
    *(f"/stream?name={{stream}}&show={way}" for way in ("state", "explain", "rows", "commands", "test")),
    "/event?position=1",
    "/event?position=2",
    "/correlation?id={id}",
    "/projections/step?name=order_details&stream={stream}&at=2",
    "/commands/form?command=CancelOrder&stream={stream}",
]


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_hostile_texts_show_as_text_and_break_no_page(
    service: OrderService, http: httpx.AsyncClient, path: str
) -> None:
    order_id = f"hostile {HOSTILE}"
    address = {"street": HOSTILE, "note": "x" * 1_000_000}
    command = CreateOrder(order_id, HOSTILE, (Item(HOSTILE, 1, Decimal(1), HOSTILE),), address)
    said = Metadata.new(actor=HOSTILE)
    await orders.transact(service.store, command, said, new=True)  # past all that validates
    await orders.transact(service.store, UpdateOrderStatus(order_id, Status.CONFIRMED, HOSTILE), said.caused())
    page = await http.get("/console" + path.format(stream=quote(f"order-{order_id}"), id=said.correlation_id))
    assert page.status_code in (200, 303), page.text
    seen = re.sub(r'value="[^"]*"', "", page.text)  # what a form carries along stays as it is
    for evil in ("<script>alert", "<img", "\u202e", "\u200b", "\x1b", "</pre>'"):
        assert evil not in seen
    assert len(page.text) < 1_500_000  # all is shown of one event by itself, and nowhere else


async def test_names_of_any_length_break_no_page(service: OrderService, http: httpx.AsyncClient) -> None:
    said = Metadata.new(actor="a" * 100_000)
    for number in range(20):
        stream = f"talk-{number}{'n' * 100_000}"
        event = NewEvent(id=uuid7(), type="t" * 100_000, schema=1, data=b"{}", metadata=said)
        await service.store.append(stream, [event], expected=0)
    for path in ("", "/streams", "/live", "/model", "/event?position=1", f"/correlation?id={said.correlation_id}"):
        page = await http.get(f"/console{path}")
        assert (page.status_code, len(page.text) < 200_000) == (200, True), path
    await see(http, f"/stream?name=talk-1{'n' * 1000}", 400)


async def test_who_does_not_see_payloads_sees_no_personal_field(service: OrderService, tmp_path: Path) -> None:
    metadata = Metadata.new()
    await create(service, "o-1", metadata, customerId="Ann Secret", shippingAddress={"street": "Secret Street 1"})
    users = logins(tmp_path, ann=Role.SEE, bob=Role.PAYLOADS)
    for name, sees in (("ann", False), ("bob", True)):
        async with browser(service, console_logins=users, console_secret=SECRET) as http:
            token = token_in(await http.get("/console/login"))
            await http.post("/console/login", data={"csrf": token, "name": name, "password": name})
            for path in (
                "/stream?name=order-o-1",
                "/stream?name=order-o-1&show=explain",
                "/stream?name=order-o-1&show=rows",
                "/stream?name=order-o-1&show=test",
                "/event?position=1",
                "/live",
                "/projections/step?name=order_details&stream=order-o-1",
            ):
                page = await http.get(f"/console{path}")
                assert ("Secret Street" in page.text) == sees or (sees and page.status_code == 200), (name, path)
            for text in ("Ann Secret", "ann secret", "secret street", "stre"):  # nor learns it by looking for it
                for path in (f"/console/search?q={text}", f"/console/api/search?text={text}"):
                    page = await http.get(path)
                    assert ("o-1" in page.text + page.headers.get("location", "")) == sees, (name, path)
            headers = {"cookie": f"twofold-session={http.cookies['twofold-session']}"}
            app = application(service, Settings(console_logins=users, console_secret=SECRET))
            async with listening(app, "/console/live/events", headers) as frames:
                await create(service, f"o-{name}", customerId="Secret Street 2")
                _, content = await anext(frames)
            assert ("Secret Street" in content) == sees
