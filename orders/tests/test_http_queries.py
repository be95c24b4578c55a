"""The queries by HTTP: each row of the table of the API, with each of its statuses, on the running service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from order_samples import body, item
from talking import bring, cancel, exactly, history, new_customer, place, post, problem, refused

NO_ORDER = "01a20709-3072-71b0-b15b-000000000000"
STATUSES = "pending, confirmed, shipped, delivered, cancelled"


def links(response: httpx.Response) -> dict[str, str]:
    """The Link header as a client reads it: relation to URL."""
    return {rel: url for url, rel in re.findall(r'<([^>]*)>; rel="([a-z]+)"', response.headers.get("link", ""))}


def follow(http: httpx.Client, path: str, rel: str = "next") -> Iterator[httpx.Response]:
    """The answer to a path, and all that its links lead to."""
    url: str | None = path
    while url is not None:
        response = http.get(url)
        assert response.status_code == 200, response.text
        yield response
        url = links(response).get(rel)


def ids(response: httpx.Response) -> list[str]:
    """The ids of the orders of an answer."""
    return [order["orderId"] for order in response.json()["orders"]]


@pytest.fixture(scope="module")
def crowd(shared_client: httpx.Client) -> tuple[str, list[str]]:
    """A customer with 45 orders, oldest first; every third is confirmed."""
    customer = new_customer()
    placed = [place(shared_client, customerId=customer) for _ in range(45)]
    for order_id in placed[::3]:
        bring(shared_client, order_id, "confirmed")
    return customer, placed


# --- GET /orders/{orderId} ------------------------------------------------------------------------------------------


def test_an_order_shows_all_that_is_known_of_it(http: httpx.Client) -> None:
    before = datetime.now(UTC)
    order_id = place(http, customerId="Zoë")
    bring(http, order_id, "confirmed")

    response = http.get(f"/orders/{order_id}")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["etag"] == '"2"'
    order = exactly(response)
    times = [order.pop("createdAt"), order.pop("updatedAt"), *(c.pop("timestamp") for c in order["statusHistory"])]
    assert order == {
        "orderId": order_id,
        "customerId": "Zoë",
        "items": [
            {
                "productId": "p-1",
                "productName": "Blue Teapot",
                "quantity": 2,
                "price": Decimal("9.80"),
                "subtotal": Decimal("19.60"),
            },
            {
                "productId": "p-2",
                "productName": "Unknown Product",
                "quantity": 1,
                "price": Decimal("0.05"),
                "subtotal": Decimal("0.05"),
            },
        ],
        "itemCount": 2,
        "shippingAddress": {"street": "1 Main Street", "city": "Springfield"},
        "totalAmount": Decimal("19.65"),
        "currency": "USD",
        "status": "confirmed",
        "statusHistory": [
            {"status": "pending", "reason": "Order created"},
            {"status": "confirmed", "reason": "Status updated"},
        ],
        "version": 2,
    }
    created, updated, first, second = (datetime.fromisoformat(time) for time in times)
    assert before <= created == first <= second == updated <= datetime.now(UTC)


def test_no_proxy_keeps_what_is_read(http: httpx.Client) -> None:
    customer = new_customer()
    order_id = place(http, customerId=customer)
    for path in (
        f"/orders/{order_id}",
        f"/orders/{order_id}?version=1",
        f"/orders/{order_id}?version=2",
        f"/orders/{order_id}/events",
        f"/customers/{customer}/orders",
        "/orders",
        "/dashboard",
    ):
        assert http.get(path).headers["cache-control"] == "private, no-cache", path
    assert http.get(f"/orders/{order_id}", headers={"If-None-Match": '"1"'}).headers["cache-control"]


def test_an_order_that_is_not_there_is_not_found(http: httpx.Client) -> None:
    problem(http.get(f"/orders/{NO_ORDER}"), 404, "Order not found")
    problem(http.get(f"/orders/{NO_ORDER}", params={"version": 1}), 404)
    problem(http.get(f"/orders/{NO_ORDER}/events"), 404, "Order not found")


def test_an_order_is_shown_as_it_was_at_each_version(http: httpx.Client) -> None:
    order_id = place(http)
    then = [http.get(f"/orders/{order_id}")]
    for status in ("confirmed", "shipped", "delivered"):
        bring(http, order_id, status)
        then.append(http.get(f"/orders/{order_id}"))

    for version, was in enumerate(then, start=1):
        now = http.get(f"/orders/{order_id}", params={"version": version})
        assert now.content == was.content
        assert now.headers["etag"] == was.headers["etag"] == f'"{version}"'
    problem(http.get(f"/orders/{order_id}", params={"version": 5}), 404, "Order version not found")


def test_a_version_is_a_whole_number_from_one(http: httpx.Client) -> None:
    order_id = place(http)

    refused(http.get(f"/orders/{order_id}?version=0"), "Version must be at least 1")
    refused(http.get(f"/orders/{order_id}?version=3000000000"), "Version must be at most 2147483647")
    for version in ("-1", "1.0", "one", "1e3", "9" * 30, "%D9%A1"):
        refused(http.get(f"/orders/{order_id}?version={version}"), "Version must be a whole number")
    refused(http.get(f"/orders/{order_id}?at=1"), "Unknown parameter: at")
    refused(http.get(f"/orders/{order_id}?version=1&version=1"), "Parameter version is given twice")


@pytest.mark.parametrize("has", ['"2"', 'W/"2"', '"1", "2"', "*"])
def test_what_the_client_has_already_is_not_sent_again(http: httpx.Client, has: str) -> None:
    order_id = place(http)
    bring(http, order_id, "confirmed")

    response = http.get(f"/orders/{order_id}", headers={"If-None-Match": has})

    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == '"2"'


def test_what_the_client_has_not_is_sent(http: httpx.Client) -> None:
    order_id = place(http)

    for has in ('"2"', '"0", W/"7"', '"x"'):
        assert http.get(f"/orders/{order_id}", headers={"If-None-Match": has}).status_code == 200
    sentence = 'If-None-Match must be * or a list of entity tags like "3"'
    refused(http.get(f"/orders/{order_id}", headers={"If-None-Match": "1"}), sentence)


# --- GET /orders/{orderId}/events -----------------------------------------------------------------------------------


def test_the_history_tells_each_event_with_its_origin(http: httpx.Client) -> None:
    order_id = place(http, customerId="alice")
    bring(http, order_id, "confirmed")
    cancel(http, order_id, {"reason": "too late"})

    response = http.get(f"/orders/{order_id}/events")

    assert response.status_code == 200
    assert response.json()["orderId"] == order_id
    created, confirmed, cancelled = exactly(response)["events"]
    assert [event["version"] for event in (created, confirmed, cancelled)] == [1, 2, 3]
    assert created["position"] < confirmed["position"] < cancelled["position"]
    assert created["type"] == "OrderCreated"
    assert created["data"]["items"][0]["price"] == Decimal("9.80")
    assert (confirmed["type"], confirmed["data"]["previousStatus"], confirmed["data"]["newStatus"]) == (
        "OrderStatusUpdated",
        "pending",
        "confirmed",
    )
    assert (cancelled["type"], cancelled["data"]) == (
        "OrderCancelled",
        {"previousStatus": "confirmed", "reason": "too late"},
    )
    assert len({event["id"] for event in (created, confirmed, cancelled)}) == 3
    assert all(event["messageId"] == event["correlationId"] for event in (created, confirmed, cancelled))


# --- GET /customers/{customerId}/orders -----------------------------------------------------------------------------


def test_a_customers_orders_come_newest_first_twenty_a_page(http: httpx.Client, crowd: tuple[str, list[str]]) -> None:
    customer, placed = crowd
    path = f"/customers/{customer}/orders"

    pages = [http.get(path, params={"page": page}) for page in (1, 2, 3, 4)]

    assert [ids(page) for page in pages] == [placed[:24:-1], placed[24:4:-1], placed[4::-1], []]
    for number, page in enumerate(pages, start=1):
        said = page.json()
        assert (said["page"], said["limit"], said["total"]) == (number, 20, 45)
        assert set(said) == {"orders", "page", "limit", "total", "cursor"}
    assert [page.json()["cursor"] is None for page in pages] == [False, False, True, True]
    assert pages[0].content == http.get(path).content


def test_the_links_of_a_customers_orders_lead_through_all(http: httpx.Client, crowd: tuple[str, list[str]]) -> None:
    customer, placed = crowd
    path = f"/customers/{customer}/orders?limit=10"

    pages = list(follow(http, path))

    assert [order for page in pages for order in ids(page)] == placed[::-1]
    assert [set(links(page)) for page in pages] == [
        {"first", "last", "next"},
        *[{"first", "last", "prev", "next"}] * 3,
        {"first", "last", "prev"},
    ]
    assert links(pages[0])["last"] == links(pages[-1])["last"]
    assert http.get(links(pages[0])["last"]).content == pages[-1].content
    assert http.get(links(pages[-1])["first"]).content == pages[0].content
    assert [ids(page) for page in follow(http, links(pages[0])["last"], "prev")] == [ids(page) for page in pages[::-1]]


def test_a_cursor_leads_through_all_whatever_is_added(http: httpx.Client) -> None:
    customer = new_customer()
    placed = [place(http, customerId=customer) for _ in range(7)]
    path = f"/customers/{customer}/orders"
    page = http.get(path, params={"limit": 2})
    seen = ids(page)

    while (cursor := page.json()["cursor"]) is not None:
        place(http, customerId=customer)  # newer: it must not push what was seen into view again
        page = http.get(path, params={"limit": 2, "cursor": cursor})
        assert links(page).get("next", "").endswith(page.json()["cursor"] or "")
        seen += ids(page)

    assert seen == placed[::-1]


def test_a_customers_orders_of_one_status(http: httpx.Client, crowd: tuple[str, list[str]]) -> None:
    customer, placed = crowd
    path = f"/customers/{customer}/orders?status=confirmed&limit=4"

    pages = list(follow(http, path))

    assert [order for page in pages for order in ids(page)] == placed[::3][::-1]
    assert {page.json()["total"] for page in pages} == {15}
    assert http.get(path.replace("confirmed", "shipped")).json()["total"] == 0


def test_a_page_is_of_one_to_a_hundred(http: httpx.Client, crowd: tuple[str, list[str]]) -> None:
    customer, placed = crowd
    path = f"/customers/{customer}/orders"

    assert ids(http.get(path, params={"limit": 100})) == placed[::-1]
    assert ids(http.get(path, params={"limit": 1})) == placed[-1:]
    refused(http.get(path, params={"limit": 101}), "Limit must be at most 100")
    refused(http.get(path, params={"limit": 0, "page": 0}), "Page must be at least 1", "Limit must be at least 1")
    refused(
        http.get(path, params={"limit": "ten", "page": "-1", "status": "lost", "sort": "newest"}),
        "Unknown parameter: sort",
        f"Status must be one of: {STATUSES}",
        "Page must be a whole number",
        "Limit must be a whole number",
    )
    for cursor in ("x", "AAAA", "W10", "é", "=" * 9, "WyJvbGRlc3QiLDEsMV0"):
        refused(http.get(path, params={"cursor": cursor}), "Cursor is not one that was given for this list")


def test_a_customer_who_never_ordered_has_an_empty_page(http: httpx.Client) -> None:
    said = http.get(f"/customers/{new_customer()}/orders").json()

    assert said == {"orders": [], "page": 1, "limit": 20, "total": 0, "cursor": None}


@pytest.mark.parametrize("customer", ["a/b", "a/orders", "ü ☂", "50%", "a?b#c", "a+b", '"', "\\", "%2F"])
def test_any_customer_can_be_asked_for(http: httpx.Client, customer: str) -> None:
    order_id = place(http, customerId=customer)
    path = httpx.URL(http.base_url).copy_with(raw_path=b"/customers/" + _escaped(customer) + b"/orders?limit=1")

    response = http.get(path)

    assert ids(response) == [order_id]
    assert ids(http.get(links(response)["first"])) == [order_id]


def _escaped(text: str) -> bytes:
    return "".join(f"%{byte:02X}" for byte in text.encode()).encode()


# --- GET /orders ----------------------------------------------------------------------------------------------------


def test_a_search_finds_words_and_beginnings_of_words(http: httpx.Client) -> None:
    word = f"w{new_customer()[-12:]}"  # of this test alone
    tea = place(http, items=[item(productName=f"{word} Grüner Tee")], shippingAddress="Bahnhofstraße 1, Zürich")
    pot = place(http, items=[item(productName=f"{word} Teapot")], shippingAddress={"city": "Springfield"})

    def found(text: str) -> list[str]:
        return ids(http.get("/orders", params={"q": text}))

    assert found(word) == [pot, tea]
    assert found(f"{word} teap") == [pot]
    assert found(f"springfield {word}") == [pot]
    assert found(f"{word.upper()} ZÜRICH") == [tea]
    assert found(f"{word} nowhere") == []
    assert found(tea) == [tea]


@pytest.mark.parametrize(
    "text", ['"', "'", "*", "a OR b", "NEAR(a b)", "-", "(", "a:b", "^a", "{}", "\x00", "a\x00b", "%", "☂", "\\", ";--"]
)
def test_a_search_has_no_syntax_to_break(http: httpx.Client, text: str) -> None:
    assert http.get("/orders", params={"q": text}).status_code == 200


def test_a_search_filters_by_status_and_amount(http: httpx.Client) -> None:
    word = new_customer()
    cheap = place(http, customerId=word, items=[item(price="1.00", quantity=1)])
    middle = place(http, customerId=word, items=[item(price="19.99", quantity=1)])
    dear = place(http, customerId=word, items=[item(price="20.00", quantity=1)])
    bring(http, middle, "confirmed")

    def found(**parameters: str) -> list[str]:
        response = http.get("/orders", params={"q": word, **parameters})
        assert response.status_code == 200, response.text
        return ids(response)

    assert found(status="confirmed") == [middle]
    assert found(min="19.99") == [dear, middle]
    assert found(min="19.991") == [dear]
    assert found(max="19.99") == [middle, cheap]
    assert found(max="19.9899999999") == [cheap]
    assert found(min="2", max="19.995") == [middle]
    assert found(min="21") == []
    assert found(max="9" * 30) == [dear, middle, cheap]
    assert found(sort="newest") == [dear, middle, cheap]
    assert found(sort="oldest") == [cheap, middle, dear]
    assert found(sort="highest") == [dear, middle, cheap]
    assert found(sort="lowest", status="pending") == [cheap, dear]


def test_a_search_filters_by_days_and_times(http: httpx.Client) -> None:
    word = new_customer()
    order_id = place(http, customerId=word)
    created = datetime.fromisoformat(http.get(f"/orders/{order_id}").json()["createdAt"])
    day, moment = created.date(), timedelta(microseconds=1)

    def found(**parameters: object) -> bool:
        response = http.get(
            "/orders", params={"q": word, **{name.strip("_"): str(v) for name, v in parameters.items()}}
        )
        assert response.status_code == 200, response.text
        return ids(response) == [order_id]

    assert found(from_=day, to=day)
    assert found(from_=created.isoformat(), to=created.isoformat())
    assert found(from_=created.replace(tzinfo=None).isoformat())
    assert not found(from_=(created + moment).isoformat())
    assert not found(to=(created - moment).isoformat())
    assert not found(from_=day + timedelta(days=1))
    assert not found(to=day - timedelta(days=1))
    assert found(from_="0001-01-01", to="9999-12-31")


def test_a_search_pages_through_links_in_every_order(http: httpx.Client) -> None:
    word = new_customer()
    prices = ["3.00", "1.00", "2.00", "1.00", "3.00", "2.00", "1.00"]
    placed = [place(http, customerId=word, items=[item(price=price, quantity=1)]) for price in prices]
    by_price = sorted(range(len(placed)), key=lambda number: (prices[number], number))
    expected = {
        "newest": placed[::-1],
        "oldest": placed,
        "lowest": [placed[number] for number in by_price],
        "highest": [placed[number] for number in by_price[::-1]],
    }

    for sort, orders in expected.items():
        pages = list(follow(http, f"/orders?q={word}&sort={sort}&limit=2&min=0.5"))
        assert [order for page in pages for order in ids(page)] == orders
        assert [page.json()["cursor"] is None for page in pages] == [False, False, False, True]
        assert all(set(page.json()) == {"orders", "limit", "cursor"} for page in pages)


def test_a_search_says_what_it_does_not_understand(http: httpx.Client) -> None:
    parameters = {"status": "lost", "from": "x", "to": "2026-02-30", "min": "-1", "max": "NaN", "sort": "size"}

    refused(
        http.get("/orders", params={**parameters, "limit": "1000", "foo": "bar"}),
        "Unknown parameter: foo",
        f"Status must be one of: {STATUSES}",
        "From must be a date or a time (ISO 8601)",
        "To must be a date or a time (ISO 8601)",
        "Min must be a number",
        "Max must be a number",
        "Sort must be one of: newest, oldest, highest, lowest",
        "Limit must be at most 100",
    )
    newest = http.get("/orders", params={"limit": 1, "sort": "newest"}).json()["cursor"]
    refused(
        http.get("/orders", params={"sort": "highest", "cursor": newest}),
        "Cursor is not one that was given for this list",
    )
    refused(http.get("/orders", params={"q": "x" * 501}), "Parameter q must have at most 500 characters")


# --- GET /dashboard -------------------------------------------------------------------------------------------------


def test_the_dashboard_counts_and_sums(http: httpx.Client) -> None:
    before: dict[str, Any] = exactly(http.get("/dashboard"))
    customer, product = new_customer(), new_customer()
    price = Decimal("999999.99")
    items = [item(productId=product, productName="Yacht", price=price, quantity=3)]
    kept = place(http, customerId=customer, items=items)
    called_off = place(http, customerId=customer, items=items)
    bring(http, kept, "confirmed")
    cancel(http, called_off, {})

    response = http.get("/dashboard")

    assert response.status_code == 200
    after = exactly(response)
    assert after["currency"] == "USD"
    assert after["totalOrders"] - before["totalOrders"] == 2
    assert after["totalRevenue"] - before["totalRevenue"] == 3 * price
    was = {row["status"]: row for row in before["byStatus"]}
    gained = {
        row["status"]: (row["orders"] - was[row["status"]]["orders"], row["revenue"] - was[row["status"]]["revenue"])
        for row in after["byStatus"]
    }
    assert gained == {
        "pending": (0, 0),
        "confirmed": (1, 3 * price),
        "shipped": (0, 0),
        "delivered": (0, 0),
        "cancelled": (1, 3 * price),
    }
    assert {"customerId": customer, "orders": 2, "revenue": 3 * price} in after["bestCustomers"]
    assert {"productId": product, "productName": "Yacht", "quantity": 3, "revenue": 3 * price} in after["bestProducts"]
    days = [row["day"] for row in after["byDay"]]
    assert days == sorted(days, reverse=True)
    assert sum(row["revenue"] for row in after["byDay"]) == after["totalRevenue"]
    of_days = [one for row in after["byDay"] for one in row["byStatus"]]
    for row in after["byStatus"]:
        assert sum(one["orders"] for one in of_days if one["status"] == row["status"]) == row["orders"]
        assert sum(one["revenue"] for one in of_days if one["status"] == row["status"]) == row["revenue"]
    refused(http.get("/dashboard?day=1"), "Unknown parameter: day")


# --- HEAD -----------------------------------------------------------------------------------------------------------


def test_head_says_what_get_would_without_a_body(http: httpx.Client) -> None:
    order_id = place(http)

    for path in (
        f"/orders/{order_id}",
        f"/orders/{order_id}/events",
        f"/orders/{NO_ORDER}",
        "/orders?limit=1",
        f"/customers/{new_customer()}/orders",
        "/dashboard",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/orders?limit=0",
    ):
        get, head = http.get(path), http.head(path)
        assert head.status_code == get.status_code
        assert head.content == b""
        for name in ("content-type", "content-length", "etag", "link"):
            assert head.headers.get(name) == get.headers.get(name)


def test_a_reading_leaves_nothing_behind(http: httpx.Client) -> None:
    order_id = place(http)
    for path in (f"/orders/{order_id}", f"/orders/{order_id}?version=1", f"/orders/{order_id}/events", "/dashboard"):
        http.get(path)

    assert len(history(http, order_id)) == 1
    assert post(http, "/orders", body()).status_code == 201
