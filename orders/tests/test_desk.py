"""The order desk without JavaScript, as its forms and links are sent: nothing of it needs a script."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from consoles import AT, browser, logins
from order_samples import create, item
from orders.app import OrderService, open_service
from orders.asgi import application
from orders.settings import Settings
from servers import Server, start
from talking import bring, exactly, history, new_customer, place
from twofold.console.logins import Role

HOSTILE = "<script>alert(1)</script>\"'&\u202e"


class Forms(HTMLParser):
    """The forms of a page: what each would send if nothing were typed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[list[tuple[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append([])
        elif tag == "input" and self.forms:
            self.forms[-1].append((given["name"], given.get("value", "")))


def forms(page: httpx.Response) -> list[list[tuple[str, str]]]:
    """The fields of each form that a page has."""
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    return Forms(page.text).forms


def text(page: httpx.Response) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def send(http: httpx.Client, path: str, fields: list[tuple[str, str]], **changes: str) -> httpx.Response:
    """Send a form with these changes, as a browser does; it follows where the answer leads."""
    sent: dict[str, list[str]] = {}
    for name, value in fields:
        sent.setdefault(name, []).append(value)
    sent.update({name: [value] for name, value in changes.items()})
    headers = {"Origin": str(http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    return http.post(path, data=sent, headers=headers, follow_redirects=True)


def rows(*items: Mapping[str, str]) -> list[tuple[str, str]]:
    """The fields of these rows of the form of a new order."""
    names = ("productId", "productName", "quantity", "price")
    return [(name, one.get(name, "")) for one in items for name in names]


def typed(http: httpx.Client, *items: Mapping[str, str], **changes: str) -> list[tuple[str, str]]:
    """The form of a new order, filled in: the customer and the street are given unless changed."""
    given = {"customerId": "alice", "address.street": "1 Main Street", **changes}
    blank = forms(http.get("/desk/new"))[0]
    fixed = [(name, given.get(name, value)) for name, value in blank if not name.startswith(("product", "quan", "pri"))]
    return [*fixed, *rows(*items)]


TEA = {"productId": "p-1", "productName": "Tea", "quantity": "2", "price": "9.80"}


# --- looking ----------------------------------------------------------------------------------------------------------


def test_the_root_is_the_desk(http: httpx.Client) -> None:
    order_id = place(http, customerId="carol & sons")

    page = http.get("/")

    assert page.status_code == 200
    assert f'href="/desk/orders/{order_id}"' in page.text
    assert "carol & sons" in text(page)
    assert "19.65 USD" in text(page)


def test_orders_are_found_by_each_filter(http: httpx.Client) -> None:
    customer = new_customer()
    cheap = place(http, customerId=customer, items=[item(price="1.00", quantity=1, productName="Sencha")])
    dear = place(http, customerId=customer, items=[item(price="1000", quantity=2)])
    bring(http, dear, "confirmed")
    day = exactly(http.get(f"/orders/{dear}"))["createdAt"][:10]

    def found(**parameters: str) -> list[str]:
        page = http.get("/", params=parameters)
        assert page.status_code == 200, page.text
        return re.findall(r'id="order-([^"]+)"', page.text)

    assert found(customer=customer) == [dear, cheap]
    assert found(customer=customer, sort="oldest") == [cheap, dear]
    assert found(customer=customer, status="confirmed") == [dear]
    assert found(customer=customer, q="sench") == [cheap]
    assert found(customer=customer, min="2000") == [dear]
    assert found(customer=customer, max="1.00") == [cheap]
    assert found(customer=customer, **{"from": day, "to": day}) == [dear, cheap]
    assert found(customer=customer, **{"from": "2999-01-01"}) == []
    assert found(customer=customer[:-1]) == []
    assert found(customer="a\0b") == []
    assert found(q=dear) == [dear]
    assert "2,000.00 USD" in text(http.get("/", params={"q": dear}))


def test_a_search_that_is_not_understood_says_why_and_loses_nothing(http: httpx.Client) -> None:
    page = http.get("/", params={"q": HOSTILE, "min": "ten", "from": "yesterday", "status": "lost", "cursor": "x"})

    assert page.status_code == 400
    for sentence in ("Min must be a number", "From must be a date", "Status must be one of"):
        assert sentence in text(page)
    assert dict(forms(page)[0])["min"] == "ten"
    assert dict(forms(page)[0])["q"] == HOSTILE
    assert "Cursor is not one" in text(http.get("/", params={"cursor": "x"}))


def test_pages_lead_through_all_orders(http: httpx.Client) -> None:
    customer = new_customer()
    placed = [place(http, customerId=customer) for _ in range(45)]

    seen: list[str] = []
    page, path = http.get("/"), f"/?customer={customer}"
    for _ in range(3):
        page = http.get(path)
        seen += re.findall(r'id="order-([^"]+)"', page.text)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = unescape(following[1]) if following else ""

    assert seen == placed[::-1]
    assert path == ""
    assert "To the first page" in page.text
    assert "No order is like that" in text(http.get(f"/?customer={customer}&status=shipped"))


def test_an_order_is_shown_with_its_timeline(http: httpx.Client) -> None:
    address = {"street": "1 Main Street", "city": "Springfield"}
    order_id = place(http, customerId=HOSTILE, items=[item(productName=HOSTILE)], shippingAddress=address)
    bring(http, order_id, "confirmed")
    http.post(f"/orders/{order_id}/cancel", json={"reason": HOSTILE})

    page = http.get(f"/desk/orders/{order_id}")

    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert text(page).count(HOSTILE) == 3
    at = [event["at"][:19].replace("T", " ") for event in history(http, order_id)]
    for title, moment in zip(("Created", "Confirmed", "Cancelled"), at, strict=True):
        assert f"{title} {moment} UTC" in text(page)
    assert "Springfield" in text(page)
    assert "19.60 USD" in text(page)
    assert forms(page) == []  # nothing can be done with it any more


def test_an_address_in_one_text_is_shown_as_it_is(http: httpx.Client) -> None:
    order_id = place(http, shippingAddress=f"1 Main Street\n{HOSTILE}")

    page = http.get(f"/desk/orders/{order_id}")

    assert f"1 Main Street {HOSTILE}" in text(page)


@pytest.mark.parametrize("order_id", ["none", "%00", "a%0ab", "x" * 101, "%ff"])
def test_an_order_that_is_not_there_is_a_page(http: httpx.Client, order_id: str) -> None:
    page = http.get(f"/desk/orders/{order_id}")

    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Order not found" in text(page)


def test_the_dashboard_shows_counts_and_sums(http: httpx.Client) -> None:
    place(http)
    sums = exactly(http.get("/dashboard"))

    page = http.get("/desk/dashboard")

    assert page.status_code == 200
    assert f"Revenue, cancelled orders left out {sums['totalRevenue']:,} USD" in text(page)
    for status in sums["byStatus"]:
        assert f"{status['status'].capitalize()} {status['orders']:,} {status['revenue']:,}" in text(page)
    today = sums["byDay"][0]
    titles = [unescape(title).split("\n") for title in re.findall("(?s)<title>(.*?)</title>", page.text)]
    orders = "1 order" if today["orders"] == 1 else f"{today['orders']:,} orders"
    assert [f"{today['day']}: {orders}", *said_of(today, "orders")] in titles
    assert [f"{today['day']}: {today['revenue']:,} USD", *said_of(today, "revenue")] in titles


def said_of(day: Mapping[str, Any], counted: str) -> list[str]:
    """The lines of a bar's title, from its top down; what is cancelled earns nothing."""
    kept = [one for one in day["byStatus"] if counted == "orders" or one["status"] != "cancelled"]
    order = ("cancelled", "pending", "confirmed", "shipped", "delivered")
    return [f"{one[counted]:,} {one['status']}" for one in sorted(kept, key=lambda one: order.index(one["status"]))]


# --- acting -----------------------------------------------------------------------------------------------------------


def test_an_order_is_led_to_delivery_by_its_buttons(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"

    for status in ("confirmed", "shipped", "delivered"):
        page = send(http, path, forms(http.get(path))[0], reason=f"because {status}")
        assert page.status_code == 200
        assert f"The order is {status} now." in text(page)
        assert f"because {status}" in text(page)

    assert [event["type"] for event in history(http, order_id)] == ["OrderCreated", *["OrderStatusUpdated"] * 3]
    assert forms(http.get(path)) == []


def test_an_order_is_cancelled_by_its_second_form(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"

    page = send(http, path, forms(http.get(path))[1], reason="changed their mind")

    assert "The order is cancelled now." in text(page)
    assert history(http, order_id)[1]["data"] == {"previousStatus": "pending", "reason": "changed their mind"}


def test_of_two_clerks_the_slower_one_changes_nothing_and_is_told(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"
    (confirm, _), (_, cancel) = forms(http.get(path)), forms(http.get(path))
    assert send(http, path, confirm).status_code == 200

    page = send(http, path, cancel, reason="out of stock")

    assert page.status_code == 409
    assert "The order has changed since you saw it: it is confirmed now. Yours was not done." in text(page)
    assert len(history(http, order_id)) == 2
    again = forms(page)[1]
    assert dict(again)["reason"] == "out of stock"  # nothing typed is lost
    assert "The order is cancelled now." in text(send(http, path, again))


def test_a_page_that_was_used_already_changes_nothing_more(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"
    confirm, cancel = forms(http.get(path))
    send(http, path, confirm)

    page = send(http, path, cancel)

    assert page.status_code == 409
    assert "it is confirmed now" in text(page)
    assert len(history(http, order_id)) == 2


def test_the_same_wish_from_a_version_that_is_gone_is_not_taken_for_done(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"
    first, second = forms(http.get(path))[0], forms(http.get(path))[0]
    send(http, path, first)

    assert send(http, path, second).status_code == 409


def test_a_button_that_is_pressed_twice_acts_once(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"
    confirm = forms(http.get(path))[0]

    pages = [send(http, path, confirm) for _ in range(2)]

    assert [page.status_code for page in pages] == [200, 200]
    assert len(history(http, order_id)) == 2


def test_a_reason_that_is_too_long_is_refused_beside_its_field(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"

    page = send(http, path, forms(http.get(path))[0], reason="x" * 1001)

    assert page.status_code == 400
    assert 'class="fault" id="reason-fault-confirmed">Reason must have at most 1000 characters' in page.text
    assert dict(forms(page)[0])["reason"] == "x" * 1001
    assert len(history(http, order_id)) == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"csrf": "x"}, 403),
        ({"key": "x"}, 400),
        ({"version": "one"}, 400),
        ({"version": "99999999999999999999"}, 400),
        ({"version": "7"}, 409),
        ({"status": "lost"}, 400),
        ({"status": "delivered"}, 409),
    ],
)
def test_a_form_that_was_tampered_with_changes_nothing(
    http: httpx.Client, changes: Mapping[str, str], status: int
) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"

    page = send(http, path, forms(http.get(path))[0], **changes)

    assert page.status_code == status
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(history(http, order_id)) == 1


def test_a_change_of_an_order_that_is_not_there_is_not_found(http: httpx.Client) -> None:
    form = forms(http.get(f"/desk/orders/{place(http)}"))[0]

    assert send(http, "/desk/orders/none", form).status_code == 404


def test_no_other_site_can_send_a_form(http: httpx.Client) -> None:
    order_id = place(http)
    path = f"/desk/orders/{order_id}"
    form = dict(forms(http.get(path))[0])

    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert http.post(path, data=form, headers=headers).status_code == 403
    assert len(history(http, order_id)) == 1


# --- a new order ------------------------------------------------------------------------------------------------------


def test_an_order_is_created_with_items_added_one_by_one(http: httpx.Client) -> None:
    customer = new_customer()
    form = typed(http, TEA, customerId=f"  {customer} ")

    form = forms(send(http, "/desk/new", form, do="add"))[0]
    assert [value for name, value in form if name == "productId"] == ["p-1", ""]
    assert dict(form)["customerId"] == f"  {customer} "
    second = rows(TEA, {"productId": "p-2", "quantity": "1", "price": "0.05"}, {})
    page = send(http, "/desk/new", [*(pair for pair in form if pair[0] not in dict(second)), *second], do="create")

    assert page.status_code == 200
    order = exactly(http.get(f"/orders/{page.url.path.rpartition('/')[2]}"))
    assert order["customerId"] == customer
    assert [one["productId"] for one in order["items"]] == ["p-1", "p-2"]
    assert order["items"][1]["productName"] == "Unknown Product"
    assert order["shippingAddress"] == {"street": "1 Main Street"}
    assert str(order["totalAmount"]) == "19.65"


def test_a_row_is_removed_and_the_rest_stays(http: httpx.Client) -> None:
    form = typed(http, TEA, {**TEA, "productId": "p-2"}, {**TEA, "productId": "p-3"})

    page = send(http, "/desk/new", form, do="remove-1")

    assert [value for name, value in forms(page)[0] if name == "productId"] == ["p-1", "p-3"]
    for _ in range(3):
        page = send(http, "/desk/new", forms(page)[0], do="remove-0")
    assert [value for name, value in forms(page)[0] if name == "productId"] == [""]
    assert send(http, "/desk/new", form, do="remove-77").status_code == 200


def test_each_fault_stands_beside_its_field_and_nothing_typed_is_lost(http: httpx.Client) -> None:
    bad = {"productId": "p-9", "productName": HOSTILE, "quantity": "two", "price": "1.005"}
    form = typed(http, TEA, {}, bad, {"quantity": "1"}, **{"customerId": " ", "address.street": ""})

    page = send(http, "/desk/new", form, do="create")

    assert page.status_code == 400
    faults = dict(re.findall(r'class="fault" id="([^"]+)-fault">([^<]+)<', page.text))
    assert faults == {
        "customerId": "Customer ID is required",
        "quantity-2": "Quantity must be a whole number",
        "price-2": "Price must have at most 2 decimals in USD",
        "productId-3": "Product ID is required",
        "price-3": "Price must be positive",
    }
    assert '<p class="fault">Shipping address is required</p>' in page.text
    for field, message in faults.items():
        assert f'<a href="#{field}">{message}</a>' in page.text
        assert re.search(rf'id="{field}"[^>]+aria-invalid="true" aria-describedby="{field}-fault"', page.text)
    kept = [
        (name, value) for name, value in forms(page)[0] if name in ("productId", "productName", "quantity", "price")
    ]
    assert kept == rows(TEA, {}, bad, {"quantity": "1"})


def test_without_any_item_the_items_are_at_fault(http: httpx.Client) -> None:
    page = send(http, "/desk/new", typed(http, {}, {}), do="create")

    assert page.status_code == 400
    assert '<a href="#items">At least one item is required</a>' in page.text


def test_more_items_than_an_order_may_have_are_all_kept(http: httpx.Client) -> None:
    page = send(http, "/desk/new", typed(http, *[TEA] * 201), do="create")

    assert page.status_code == 400
    assert "At most 200 items are allowed" in text(page)
    assert len([name for name, _ in forms(page)[0] if name == "productId"]) == 201


def test_an_order_that_is_sent_twice_is_made_once(http: httpx.Client) -> None:
    customer = new_customer()
    form = typed(http, TEA, customerId=customer)

    pages = [send(http, "/desk/new", form, do="create") for _ in range(2)]

    assert pages[0].url == pages[1].url
    assert exactly(http.get(f"/customers/{customer}/orders"))["total"] == 1


def test_another_order_from_the_same_form_is_made_when_it_is_meant(http: httpx.Client) -> None:
    customer = new_customer()
    form = typed(http, TEA, customerId=customer)
    made = send(http, "/desk/new", form, do="create").url.path

    page = send(http, "/desk/new", form, do="create", quantity="3")

    assert page.status_code == 409
    assert f'<a href="{made}">another order</a>' in page.text
    assert dict(forms(page)[0])["quantity"] == "3"
    assert send(http, "/desk/new", forms(page)[0], do="create").status_code == 200
    assert exactly(http.get(f"/customers/{customer}/orders"))["total"] == 2


@pytest.mark.parametrize("changes", [{"orderId": "nw-1"}, {"orderId": ""}, {"csrf": ""}])
def test_a_new_order_needs_a_form_of_ours(http: httpx.Client, changes: Mapping[str, str]) -> None:
    assert send(http, "/desk/new", typed(http, TEA), do="create", **changes).status_code in (400, 403)


# --- live -------------------------------------------------------------------------------------------------------------


def test_a_page_hears_that_orders_have_changed(http: httpx.Client) -> None:
    page = http.get("/desk/dashboard")
    live = re.search(r'data-live="([^"]+)"', page.text)
    assert live is not None
    place(http)  # after the page was made, before it listens

    with http.stream("GET", unescape(live[1]), headers={"Accept": "text/event-stream"}) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.iter_lines()
        heard = [next(lines) for _ in range(5)]

    assert heard[2].startswith("id: ")
    assert heard[3:] == ["event: changed", "data: {}"]


# --- where it is served -----------------------------------------------------------------------------------------------


def test_the_desk_can_be_left_out(tmp_path: Path) -> None:
    with start("memory:", tmp_path / "service.log", desk="false") as server, httpx.Client(base_url=server.url) as http:
        assert http.get("/").headers["location"] == "docs"
        for path in ("/desk/new", "/desk/dashboard", "/desk/changes", "/desk/orders/a"):
            assert http.get(path).status_code == 404


def test_by_default_it_is_for_this_machine_only(server: Server, http: httpx.Client) -> None:
    assert http.get("/", headers={"Host": "shop.example"}).status_code == 403
    assert http.get("/", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403
    assert http.get("/", headers={"Host": f"localhost:{server.url.rpartition(':')[2]}"}).status_code == 200


def test_elsewhere_it_must_be_asked_for(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"host": "0.0.0.0"}  # noqa: S104 - that is what is tested
    with start("memory:", tmp_path / "a.log", **settings) as server:
        assert httpx.get(f"{server.url}/").headers["location"] == "docs"
    with start("memory:", tmp_path / "b.log", desk="true", **settings) as server:
        assert httpx.get(f"{server.url}/", headers={"Host": "shop.example"}).status_code == 200


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def small_service() -> AsyncGenerator[OrderService]:
    """The service on a store in memory, with one order."""
    async with open_service("memory:") as service:
        await service.commands.execute(create("order-1"))
        yield service


LOOKS = ("/", "/desk/dashboard", "/desk/orders/order-1")
CHANGES = ("/desk/orders/order-1", "/desk/new")


async def log_in(http: httpx.AsyncClient, name: str) -> httpx.Response:
    """Log in with a password that is the name, where the desk leads to; the page that it leads back to."""
    there = (await http.get("/", follow_redirects=True)).url
    login = forms(await http.get(there))[0]
    sent = {**dict(login), "name": name, "password": name}
    return await http.post("/console/login", data=sent, headers={"Origin": AT}, follow_redirects=True)


async def test_where_there_are_logins_nobody_else_may_look_or_act(small_service: OrderService, tmp_path: Path) -> None:
    given = {"host": "0.0.0.0", "console_logins": logins(tmp_path, ann=Role.OPERATE)}  # noqa: S104 - that is tested
    for asked_for in (None, True):
        async with browser(small_service, desk=asked_for, **given) as http:
            for path in (*LOOKS, "/desk/new"):
                answer = await http.get(path, params={"x": "1"})
                assert answer.status_code == 303
                assert answer.headers["location"] == f"/console/login?next={quote(path, safe='')}%3Fx%3D1"
            assert (await http.get("/desk/changes", headers={"Accept": "text/event-stream"})).status_code == 401
            for path in CHANGES:
                assert (await http.post(path, headers={"Origin": AT})).status_code == 401
    assert await small_service.store.head() == 1


@pytest.mark.parametrize(
    ("role", "looks", "acts"), [(Role.SEE, 403, 403), (Role.PAYLOADS, 200, 403), (Role.OPERATE, 200, 200)]
)
async def test_each_role_may_do_what_it_is_for(
    small_service: OrderService, tmp_path: Path, role: Role, looks: int, acts: int
) -> None:
    async with browser(small_service, console_logins=logins(tmp_path, ann=role)) as http:
        assert (await log_in(http, "ann")).status_code == looks
        assert [(await http.get(path)).status_code for path in LOOKS] == [looks] * 3
        assert (await http.get("/desk/new")).status_code == acts
        page = await http.get("/desk/orders/order-1")
        form = dict(forms(page)[-1]) if looks == 200 else {"csrf": http.cookies["twofold-form"]}
        form |= {"status": "confirmed", "version": "1", "key": str(uuid4())}
        answers = [
            await http.post(
                "/desk/orders/order-1", data={**form, **changes}, headers={"Origin": AT}, follow_redirects=True
            )
            for changes in ({"csrf": ""}, {})
        ]
        assert [answer.status_code for answer in answers] == [403, acts]

    recorded = [one async for one in small_service.store.read_all()]
    assert [one.metadata.actor for one in recorded] == ([None, "ann"] if acts == 200 else [None])
    if acts == 200:
        assert "by ann" in text(answers[1])


async def test_who_is_logged_in_can_leave(small_service: OrderService, tmp_path: Path) -> None:
    async with browser(small_service, console_logins=logins(tmp_path, ann=Role.OPERATE)) as http:
        page = await log_in(http, "ann")
        assert page.url.path == "/"
        assert (await http.get("/console")).status_code == 200  # one login for both

        out = forms(page)[0]
        await http.post("/console/logout", data=dict(out), headers={"Origin": AT})

        assert (await http.get("/")).status_code == 303


# --- mounted ----------------------------------------------------------------------------------------------------------


async def test_it_works_wherever_it_is_mounted(small_service: OrderService) -> None:
    transport = httpx.ASGITransport(application(small_service, Settings()), root_path="/my shop")
    async with httpx.AsyncClient(transport=transport, base_url=AT) as http:
        for path in (*LOOKS, "/desk/new"):
            page = await http.get(f"/my shop{path}")
            links = re.findall(r' (?:href|src|action|hx-get|data-live)="([^"#]+)"', page.text)
            assert links
            assert all(link.startswith("/my%20shop/") for link in links), links
            for link in links:
                if "/static/" in link:
                    assert (await http.get(link)).status_code == 200

        form = dict(forms(await http.get("/my shop/desk/orders/order-1"))[0])
        done = await http.post("/my shop/desk/orders/order-1", data=form, headers={"Origin": AT})
        assert done.headers["location"] == "/my%20shop/desk/orders/order-1?done=1"
