"""The commands by HTTP: each row of the table of the API, with each of its statuses, on the running service."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest

from order_samples import body, item
from talking import JSON, bring, cancel, history, new_customer, patch, place, post, problem, refused

NO_ORDER = "01a20709-3072-71b0-b15b-000000000000"
STATUSES = "pending, confirmed, shipped, delivered, cancelled"


# --- POST /orders ---------------------------------------------------------------------------------------------------


def test_an_order_is_created_with_its_address_and_version(http: httpx.Client) -> None:
    response = post(http, "/orders", body())

    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["orderId"]
    order_id = response.json()["orderId"]
    assert UUID(order_id).version == 7
    assert response.headers["location"] == f"/orders/{order_id}"
    assert response.headers["etag"] == '"1"'
    assert http.get(response.headers["location"]).status_code == 200


def test_every_fault_of_an_order_is_said_at_once_in_order(http: httpx.Client) -> None:
    sent: dict[str, object] = {
        "customerId": " ",
        "items": [{}, {"productId": "p", "quantity": 0, "price": -1}],
        "shippingAddress": {},
    }

    faults = refused(
        post(http, "/orders", sent),
        "Customer ID is required",
        "Item 0: Product ID is required",
        "Item 0: Quantity must be at least 1",
        "Item 0: Price must be positive",
        "Item 1: Quantity must be at least 1",
        "Item 1: Price must be positive",
        "Shipping address is required",
    )

    assert [(fault["path"], fault["code"]) for fault in faults] == [
        ("customerId", "required"),
        ("items[0].productId", "required"),
        ("items[0].quantity", "required"),
        ("items[0].price", "required"),
        ("items[1].quantity", "too_small"),
        ("items[1].price", "too_small"),
        ("shippingAddress", "required"),
    ]


def test_an_empty_order_lacks_everything(http: httpx.Client) -> None:
    lacks = ("Customer ID is required", "At least one item is required", "Shipping address is required")

    refused(post(http, "/orders", {}), *lacks)
    refused(post(http, "/orders", {"customerId": None, "items": [], "shippingAddress": ""}), *lacks)


@pytest.mark.parametrize("sent", [None, True, 1, 1.5, "order", [], [{}]])
def test_a_body_that_is_no_object_is_refused(http: httpx.Client, sent: object) -> None:
    refused(post(http, "/orders", sent), "The body must be a JSON object")


def test_an_unknown_field_is_refused_by_name(http: httpx.Client) -> None:
    refused(
        post(http, "/orders", body(items=[item(discount=5)], coupon="SAVE")),
        "Item 0: Unknown field: discount",
        "Unknown field: coupon",
    )


# --- PATCH /orders/{orderId}/status ---------------------------------------------------------------------------------


def test_an_order_walks_to_delivered(http: httpx.Client) -> None:
    order_id = place(http)

    for version, status in enumerate(("confirmed", "shipped", "delivered"), start=2):
        response = patch(http, order_id, {"status": status, "reason": f"now {status}"})
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.headers["etag"] == f'"{version}"'
        assert response.json() == {"orderId": order_id, "status": status}

    order = http.get(f"/orders/{order_id}").json()
    assert order["status"] == "delivered"
    assert [change["reason"] for change in order["statusHistory"]] == [
        "Order created",
        "now confirmed",
        "now shipped",
        "now delivered",
    ]


def test_a_change_without_a_reason_gets_the_usual_one(http: httpx.Client) -> None:
    order_id = place(http)
    bring(http, order_id, "confirmed")

    order = http.get(f"/orders/{order_id}").json()

    assert order["statusHistory"][-1]["reason"] == "Status updated"


FORBIDDEN = [
    ((), "shipped"),
    ((), "delivered"),
    (("confirmed",), "pending"),
    (("confirmed",), "delivered"),
    (("confirmed", "shipped"), "cancelled"),
    (("confirmed", "shipped"), "confirmed"),
    (("confirmed", "shipped", "delivered"), "pending"),
    (("confirmed", "shipped", "delivered"), "cancelled"),
    (("cancelled",), "pending"),
    (("cancelled",), "confirmed"),
]


@pytest.mark.parametrize(("path", "status"), FORBIDDEN)
def test_a_forbidden_transition_says_from_which_to_which(http: httpx.Client, path: list[str], status: str) -> None:
    order_id = place(http)
    bring(http, order_id, *path)
    before = history(http, order_id)
    previous = path[-1] if path else "pending"

    said = problem(patch(http, order_id, {"status": status}), 409, f"Order cannot go from {previous} to {status}")

    assert (said["previousStatus"], said["newStatus"]) == (previous, status)
    assert history(http, order_id) == before


def test_the_status_that_it_has_is_answered_without_an_event(http: httpx.Client) -> None:
    order_id = place(http)
    bring(http, order_id, "confirmed")

    response = patch(http, order_id, {"status": "confirmed", "reason": "again"})

    assert response.status_code == 200
    assert response.json() == {"orderId": order_id, "status": "confirmed"}
    assert response.headers["etag"] == '"2"'
    assert len(history(http, order_id)) == 2


@pytest.mark.parametrize("sent", [{}, {"status": None}, {"status": "lost"}, {"status": 1}, {"status": ["shipped"]}])
def test_a_status_is_one_of_five(http: httpx.Client, sent: dict[str, object]) -> None:
    refused(patch(http, place(http), sent), f"Status must be one of: {STATUSES}")


def test_a_change_says_its_faults_together(http: httpx.Client) -> None:
    refused(
        patch(http, place(http), {"status": "lost", "reason": "x" * 1001, "by": "me"}),
        f"Status must be one of: {STATUSES}",
        "Reason must have at most 1000 characters",
        "Unknown field: by",
    )


def test_an_order_id_that_is_blank_is_required(http: httpx.Client) -> None:
    refused(patch(http, "%20", {"status": "confirmed"}), "Order ID is required")
    refused(cancel(http, "%20", {}), "Order ID is required")


def test_what_is_not_there_cannot_be_changed(http: httpx.Client) -> None:
    problem(patch(http, NO_ORDER, {"status": "confirmed"}), 404, "Order not found")
    problem(patch(http, NO_ORDER, {"status": "cancelled"}), 404, "Order not found")
    problem(cancel(http, NO_ORDER, {}), 404, "Order not found")


# --- POST /orders/{orderId}/cancel ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [(), ("confirmed",)])
def test_an_order_is_cancelled_before_it_ships(http: httpx.Client, path: list[str]) -> None:
    order_id = place(http)
    bring(http, order_id, *path)

    response = cancel(http, order_id, {"reason": "changed my mind"})

    assert response.status_code == 200
    assert response.json() == {"orderId": order_id, "status": "cancelled"}
    assert response.headers["etag"] == f'"{len(path) + 2}"'
    last = history(http, order_id)[-1]
    assert last["type"] == "OrderCancelled"
    assert last["data"]["reason"] == "changed my mind"


def test_a_cancellation_needs_no_body(http: httpx.Client) -> None:
    order_id = place(http)

    assert http.post(f"/orders/{order_id}/cancel").json() == {"orderId": order_id, "status": "cancelled"}


def test_to_cancel_and_to_go_to_cancelled_are_the_same(http: httpx.Client) -> None:
    one, other = place(http), place(http)

    cancel(http, one, {"reason": "r"})
    patch(http, other, {"status": "cancelled", "reason": "r"})

    kinds = [[(event["type"], event["data"]) for event in history(http, order_id)[1:]] for order_id in (one, other)]
    assert kinds[0] == kinds[1]
    assert patch(http, one, {"status": "cancelled"}).status_code == 200
    assert cancel(http, other, {}).status_code == 200
    assert len(history(http, one)) == len(history(http, other)) == 2


def test_what_has_shipped_cannot_be_cancelled(http: httpx.Client) -> None:
    order_id = place(http)
    bring(http, order_id, "confirmed", "shipped")

    problem(cancel(http, order_id, {}), 409, "Order cannot go from shipped to cancelled")


# --- conditions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", ['"1"', '"7", "1"', '"1",,"2"', "*"])
def test_if_match_lets_the_right_version_pass(http: httpx.Client, allowed: str) -> None:
    assert patch(http, place(http), {"status": "confirmed"}, If_Match=allowed).status_code == 200
    assert cancel(http, place(http), {}, If_Match=allowed).status_code == 200


@pytest.mark.parametrize("allowed", ['"2"', '"0"', '"2", "3"', 'W/"1"', '"one"', '""', '"01x"', f'"{"9" * 40}"'])
def test_if_match_refuses_another_version(http: httpx.Client, allowed: str) -> None:
    order_id = place(http)

    said = problem(patch(http, order_id, {"status": "confirmed"}, If_Match=allowed), 412)
    problem(cancel(http, order_id, {}, If_Match=allowed), 412, "It is at another version than If-Match says")

    assert said["actualVersion"] == 1
    assert len(history(http, order_id)) == 1


@pytest.mark.parametrize("garbage", ["1", '"1', "W/1", '"1" "2"', "*, *", "", ","])
def test_if_match_that_is_no_list_of_tags_is_refused(http: httpx.Client, garbage: str) -> None:
    order_id = place(http)
    sentence = 'If-Match must be * or a list of entity tags like "3"'

    refused(patch(http, order_id, {"status": "confirmed"}, If_Match=garbage), sentence)
    refused(cancel(http, order_id, {}, If_Match=garbage), sentence)


def test_if_match_on_what_is_not_there_finds_nothing(http: httpx.Client) -> None:
    problem(patch(http, NO_ORDER, {"status": "confirmed"}, If_Match='"1"'), 404, "Order not found")


# --- bodies, routes, methods ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonx"},
        {**JSON, "Content-Encoding": "gzip"},
        {**JSON, "Content-Encoding": "br, identity"},
    ],
)
def test_a_body_that_is_not_json_by_its_headers_is_not_read(http: httpx.Client, headers: dict[str, str]) -> None:
    order_id = place(http)

    for method, path in (
        ("POST", "/orders"),
        ("PATCH", f"/orders/{order_id}/status"),
        ("POST", f"/orders/{order_id}/cancel"),
    ):
        response = http.request(method, path, content=b'{"status": "confirmed"}', headers=headers)
        problem(response, 415, "The body must be application/json")
        assert response.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
)
def test_json_goes_by_several_names(http: httpx.Client, kind: str) -> None:
    headers = {"Content-Type": kind}

    response = http.patch(f"/orders/{place(http)}/status", content=b'{"status":"confirmed"}', headers=headers)

    assert response.status_code == 200


def test_a_route_that_is_not_there_is_not_found(http: httpx.Client) -> None:
    for path in ("/order", "/orders/1/2/3", "/customers", "/customers/alice", "/orders/", "/docs/secret.js"):
        problem(http.get(path), 404, "There is nothing here")


ALLOWED: list[tuple[str, str, set[str]]] = [
    ("DELETE", "/orders", {"GET", "HEAD", "POST"}),
    ("PUT", "/orders/1", {"GET", "HEAD"}),
    ("POST", "/orders/1/events", {"GET", "HEAD"}),
    ("GET", "/orders/1/status", {"PATCH"}),
    ("GET", "/orders/1/cancel", {"POST"}),
    ("POST", "/customers/alice/orders", {"GET", "HEAD"}),
    ("POST", "/dashboard", {"GET", "HEAD"}),
    ("POST", "/livez", {"GET", "HEAD"}),
    ("DELETE", "/openapi.json", {"GET", "HEAD"}),
    ("OPTIONS", "/orders", {"GET", "HEAD", "POST"}),
    ("BREW", "/orders", {"GET", "HEAD", "POST"}),
]


@pytest.mark.parametrize(("method", "path", "allowed"), ALLOWED)
def test_a_wrong_method_hears_the_right_ones(http: httpx.Client, method: str, path: str, allowed: set[str]) -> None:
    response = http.request(method, path)

    problem(response, 405, "This method is not allowed here")
    assert set(response.headers["allow"].replace(" ", "").split(",")) == allowed


# --- a read straight after a write ----------------------------------------------------------------------------------


def test_a_read_straight_after_a_write_sees_it_everywhere(http: httpx.Client) -> None:
    customer = new_customer()
    for number in range(1, 6):
        order_id = place(http, customerId=customer)
        assert http.get(f"/orders/{order_id}").json()["version"] == 1
        bring(http, order_id, "confirmed")
        assert http.get(f"/orders/{order_id}").json()["status"] == "confirmed"
        page: dict[str, Any] = http.get(f"/customers/{customer}/orders").json()
        assert page["total"] == number
        assert page["orders"][0]["orderId"] == order_id
        assert page["orders"][0]["status"] == "confirmed"
        found = http.get("/orders", params={"q": order_id, "status": "confirmed"}).json()
        assert [order["orderId"] for order in found["orders"]] == [order_id]
