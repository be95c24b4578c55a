"""Hostile requests: whatever is sent, it is a client's mistake and never a 500, and nothing of it is stored."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Generator, Iterator
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from order_samples import body, item
from servers import Server, start
from talking import JSON, at_once, encode, exactly, exchange, new_customer, place, post, problem, refused, written
from twofold.http.requests import DRAIN_BYTES

MEGABYTE = 1_048_576

Raw = tuple[str, bytes]


@pytest.fixture
def nothing_stored(http: httpx.Client) -> Generator[None]:
    """The log has grown by nothing when the test is over, and the service is well."""
    before = exactly(http.get("/dashboard"))
    last = http.get("/orders", params={"limit": 1}).content
    yield
    assert exactly(http.get("/dashboard")) == before
    assert http.get("/orders", params={"limit": 1}).content == last
    assert http.get("/readyz").status_code == 200


def order(price: str = "9.80", quantity: str = "2", address: str = '"x"') -> bytes:
    """The body of an order, as text, with these pieces of JSON in it."""
    items = f'[{{"productId":"p","quantity":{quantity},"price":{price}}}]'
    return f'{{"customerId":"alice","items":{items},"shippingAddress":{address}}}'.encode()


def send(http: httpx.Client, content: bytes) -> httpx.Response:
    """POST an order as it is."""
    return http.post("/orders", content=content, headers=JSON)


# --- what is not JSON -----------------------------------------------------------------------------------------------

NOT_JSON = {
    "nothing": b"",
    "a blank": b" ",
    "broken off": b'{"customerId":',
    "two values": b"{}{}",
    "a comma too many": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "a comment": b"// x\n{}",
    "a word": b"undefined",
    "a bare NUL": b'"\x00"',
    "a bare line break": order(address='"a\nb"'),
    "NaN": order(price="NaN"),
    "Infinity": order(price="Infinity"),
    "-Infinity": order(price="-Infinity"),
    "hexadecimal": order(price="0x10"),
    "octal": order(price="010"),
    "no digit before the point": order(price=".5"),
    "no digit behind the point": order(price="5."),
    "a plus sign": order(price="+5"),
    "a lone high surrogate": order(address=r'"\ud800"'),
    "a lone low surrogate": order(address=r'"\udc00"'),
    "surrogates the wrong way round": order(address=r'"\udc00\ud800"'),
    "a surrogate as the name of a line": order(address=r'{"\ud800":"x"}'),
    "a surrogate in UTF-8": order(address='"@"').replace(b"@", b"\xed\xa0\x80"),
    "Latin-1": order(address='"@"').replace(b"@", b"\xfc"),
    "an overlong encoding": order(address='"@"').replace(b"@", b"\xc0\xaf"),
    "UTF-16": order().decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + order(),
    "lists 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a field 100,000 deep": b'{"customerId":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "depth that never ends": b"[" * 500_000,
    "a number of 5,000 digits": order(price="9" * 5_000),
}


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_malformed(http: httpx.Client, content: bytes) -> None:
    said = problem(send(http, content), 400)

    assert said["type"] == "urn:twofold:problem:malformed"


# --- what is JSON, and no order -------------------------------------------------------------------------------------

LARGEST = "999999999.99"
NUMBERS = [
    (order(price="1e400"), f"Item 0: Price must be at most {LARGEST}"),
    (order(price="1" + "0" * 400), f"Item 0: Price must be at most {LARGEST}"),
    (order(price="1E+1000000"), f"Item 0: Price must be at most {LARGEST}"),
    (order(price="1e999999999999999999999"), "Item 0: Price must be a number"),
    (order(price="1000000000"), f"Item 0: Price must be at most {LARGEST}"),
    (order(price="-1e400"), "Item 0: Price must be positive"),
    (order(price="-0.0"), "Item 0: Price must be positive"),
    (order(price="0"), "Item 0: Price must be positive"),
    (order(price="1e-400"), "Item 0: Price must have at most 2 decimals in USD"),
    (order(price="0.005"), "Item 0: Price must have at most 2 decimals in USD"),
    (order(price="9.8" + "0" * 60 + "1"), "Item 0: Price must have at most 2 decimals in USD"),
    (order(price='"NaN"'), "Item 0: Price must be a number"),
    (order(price='"1e2"'), "Item 0: Price must be a number"),
    (order(price='" 1"'), "Item 0: Price must be a number"),
    (order(price='"\u0661"'), "Item 0: Price must be a number"),
    (order(price='""'), "Item 0: Price must be a number"),
    (order(price="true"), "Item 0: Price must be a number"),
    (order(price="{}"), "Item 0: Price must be a number"),
    (order(quantity="1e400"), "Item 0: Quantity must be between 1 and 1000000"),
    (order(quantity="1E+1000000"), "Item 0: Quantity must be between 1 and 1000000"),
    (order(quantity="1" + "0" * 400), "Item 0: Quantity must be at most 1000000"),
    (order(quantity="9007199254740993"), "Item 0: Quantity must be at most 1000000"),
    (order(quantity="1.5"), "Item 0: Quantity must be a whole number"),
    (order(quantity="1e-1000000"), "Item 0: Quantity must be a whole number"),
    (order(quantity='"2"'), "Item 0: Quantity must be a whole number"),
    (order(quantity="true"), "Item 0: Quantity must be a whole number"),
    (order(quantity="-1"), "Item 0: Quantity must be at least 1"),
    (order(price="999999999.99", quantity="2"), f"Order total must be at most {LARGEST}"),
]


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("content", "sentence"), NUMBERS, ids=range(len(NUMBERS)))
def test_a_number_that_cannot_be_kept_is_refused(http: httpx.Client, content: bytes, sentence: str) -> None:
    refused(send(http, content), sentence)


TEXTS = [
    ({"customerId": "a\x00b"}, "Customer ID must not contain control characters"),
    ({"customerId": "a\x1b[31m"}, "Customer ID must not contain control characters"),
    ({"customerId": "a\nb"}, "Customer ID must be one line"),
    ({"customerId": "x" * 101}, "Customer ID must have at most 100 characters"),
    ({"customerId": {"$ne": None}}, "Customer ID must be a text"),
    ({"customerId": ["a"]}, "Customer ID must be a text"),
    ({"customerId": "x" * 900_000}, "Customer ID must have at most 100 characters"),
    ({"shippingAddress": "\ufffe"}, "Shipping address must not contain control characters"),
    ({"shippingAddress": "x" * 301}, "Shipping address must have at most 300 characters"),
    ({"shippingAddress": {"a\x00": "x"}}, "Shipping address: the name of a line is not valid"),
    ({"shippingAddress": {"a": {"b": "c"}}}, "Shipping address: a must be a text"),
    ({"shippingAddress": {str(n): "x" for n in range(21)}}, "Shipping address must have at most 20 lines"),
    ({"shippingAddress": ["x"]}, "Shipping address must be an object or a text"),
    ({"items": "p"}, "Items must be a list"),
    ({"items": {"0": item()}}, "Items must be a list"),
    ({"items": [item()] * 201}, "At most 200 items are allowed"),
    ({"items": [1] * 300_000}, "At most 200 items are allowed"),
    ({"items": [None]}, "Item 0 must be an object"),
    ({"items": [item(productName="x" * 201)]}, "Item 0: Product name must have at most 200 characters"),
    ({"items": [item(productId=5)]}, "Item 0: Product ID must be a text"),
]


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("changes", "sentence"), TEXTS, ids=range(len(TEXTS)))
def test_a_text_or_list_that_cannot_be_kept_is_refused(
    http: httpx.Client, changes: dict[str, object], sentence: str
) -> None:
    refused(post(http, "/orders", body(**changes)), sentence)


@pytest.mark.usefixtures("nothing_stored")
def test_many_faults_make_no_long_answer(http: httpx.Client) -> None:
    fields = {f"field{number}": number for number in range(50_000)}
    parameters = "&".join(f"a{number}=1" for number in range(4_000))

    assert len(send(http, encode(fields)).content) < 5_000
    assert len(http.get(f"/orders?{parameters}").content) < 5_000


def test_of_two_fields_of_one_name_the_last_is_meant(http: httpx.Client) -> None:
    # RFC 8259 leaves it open; this is what JSON.parse does, and so what a JavaScript client would have stored.
    sent = order(price='1, "price": 2').replace(b'"alice"', b'"alice", "customerId": "bob"')

    shown = exactly(http.get(send(http, sent).headers["location"]))

    assert shown["customerId"] == "bob"
    assert shown["items"][0]["price"] == Decimal("2.00")


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_is_of_a_megabyte_at_most(http: httpx.Client) -> None:
    sentence = "The body must have at most 1048576 bytes"
    order_id = "nothing"
    text = order(address='"' + "x" * 2_000_000 + '"')

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    problem(send(http, b" " * (MEGABYTE + 1)), 413, sentence)
    problem(send(http, text), 413, sentence)
    problem(http.post("/orders", content=chunks(), headers=JSON), 413, sentence)
    problem(http.patch(f"/orders/{order_id}/status", content=text, headers=JSON), 413, sentence)
    problem(http.post(f"/orders/{order_id}/cancel", content=chunks(), headers=JSON), 413, sentence)
    problem(send(http, b" " * MEGABYTE), 400)


def test_a_body_that_just_fits_is_taken(http: httpx.Client) -> None:
    content = order()

    assert send(http, content + b" " * (MEGABYTE - len(content))).status_code == 201


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_in_pieces_is_counted_in_all(server: Server) -> None:
    head = written("POST", "/orders", headers=JSON | {"Transfer-Encoding": "chunked"}).replace(
        b"Content-Length: 0\r\n", b""
    )
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    problem(exchange(server.url, head + piece * 17 + b"0\r\n\r\n"), 413)


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_that_is_too_large_is_refused_before_its_end(server: Server) -> None:
    expecting = JSON | {"Content-Length": "5000000", "Expect": "100-continue"}
    asked = exchange(server.url, written("POST", "/orders", headers=expecting))
    stalled = exchange(server.url, written("POST", "/orders", b" ", JSON | {"Content-Length": "5000000"}))
    # Not a byte more than is read: what nobody reads resets the connection, and the answer may be lost with it.
    most = b" " * (DRAIN_BYTES + 1)
    endless = exchange(server.url, written("POST", "/orders", most, JSON | {"Content-Length": "9" * 12}))

    for response in (asked, stalled, endless):
        problem(response, 413)
        assert response.headers["connection"] == "close"


# --- paths, parameters, heads ---------------------------------------------------------------------------------------

NO_ORDERS = [
    "%FF",
    "%ED%A0%80",
    "%00",
    "a%0Ab",
    "%",
    "%zz",
    "..;",
    "'%20or%201=1",
    "x" * 5_000,
    "y" * 50_000,
]


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("order_id", NO_ORDERS, ids=[text[:20] for text in NO_ORDERS])
def test_an_order_that_cannot_be_is_not_found(server: Server, order_id: str) -> None:
    problem(exchange(server.url, written("GET", f"/orders/{order_id}")), 404, "Order not found")
    problem(exchange(server.url, written("GET", f"/orders/{order_id}?version=1")), 404)
    problem(exchange(server.url, written("GET", f"/orders/{order_id}/events")), 404, "Order not found")
    for method, path, sent in (("PATCH", "status", b'{"status":"shipped"}'), ("POST", "cancel", b"{}")):
        response = exchange(server.url, written(method, f"/orders/{order_id}/{path}", sent, JSON))
        assert response.status_code in (400, 404)
        problem(response, response.status_code)


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("order_id", ["%00", "a%00", "%00a", "a%00b", "%01", "%0D%0A", "%1B[31m", "%7F", "%C2%85"])
def test_no_order_has_a_control_character_in_its_id(server: Server, order_id: str) -> None:
    """Some stores cannot even be asked for one."""
    status, cancel = f"/orders/{order_id}/status", f"/orders/{order_id}/cancel"
    for path in ("", "?version=1", "/events"):
        problem(exchange(server.url, written("GET", f"/orders/{order_id}{path}")), 404)
    for method, path, sent in (("PATCH", status, b'{"status":"shipped"}'), ("POST", cancel, b"{}")):
        for head in ({}, {"If-Match": '"1"'}, {"If-Match": "*"}, {"Idempotency-Key": str(uuid4())}):
            response = exchange(server.url, written(method, path, sent, {**JSON, **head}))
            assert problem(response, 400)["errors"][0]["message"].startswith("Order ID")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    "path",
    ["/orders/a%2Fb", "/orders/..%2F..%2Fetc", "/orders/%2E%2E/x", "//orders", "/orders//", "/docs/../orders", "/%FF"],
)
def test_a_path_is_taken_as_it_is(server: Server, path: str) -> None:
    problem(exchange(server.url, written("GET", path)), 404, "There is nothing here")


@pytest.mark.parametrize("customer", ["%FF", "%00", "%", "%ED%A0%80", "x" * 5_000, "a%09X-Evil:%201"])
def test_a_customer_who_cannot_be_has_no_orders(server: Server, customer: str) -> None:
    response = exchange(server.url, written("GET", f"/customers/{customer}/orders"))

    assert response.status_code == 200
    assert response.json()["orders"] == []
    assert "x-evil" not in response.headers


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("q=%FF", 200),
        ("q=%ED%A0%80", 200),
        ("q=%00", 200),
        ("q", 200),
        ("&&", 200),
        ("=1", 400),
        ("%FF=1", 400),
        ("q=a&q=b", 400),
        ("limit=%EF%BC%91", 400),
        ("limit=+1", 400),
        ("limit=1_0", 400),
        ("status=%00", 400),
        ("from=9999-12-31T23:59:59-14:00", 400),
        ("from=0001-01-01T00:00:00%2B14:00", 400),
        ("from=%ED%A0%80", 400),
        ("to=9999-12-31T23:59:59.999999Z", 200),
        ("min=1e5", 400),
        ("max=-1", 400),
        ("cursor=%00", 400),
        ("cursor=" + "A" * 400, 400),
        ("q=" + "x" * 60_000, 400),
    ],
)
def test_a_query_is_answered_or_refused(server: Server, query: str, status: int) -> None:
    response = exchange(server.url, written("GET", f"/orders?{query}"))

    assert response.status_code == status, response.text


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (written("GET", "/orders/" + "x" * 200_000), 431),
        (written("GET", "/livez", headers={"X-Long": "x" * 200_000}), 431),
        (written("GET", "/livez", headers={f"X-{n}": "1" for n in range(500)}), 431),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /orders/\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
        (written("POST", "/orders", headers=JSON | {"Content-Length": "-1"}), 400),
        (written("POST", "/orders", headers=JSON | {"Content-Length": "9" * 30}), 400),
        (written("POST", "/orders", headers=JSON | {"Content-Length": "2, 3"}), 400),
        (written("POST", "/orders", b"zz\r\n{}\r\n0\r\n\r\n", JSON | {"Transfer-Encoding": "chunked"}), 400),
        (written("CONNECT", "/orders"), 405),
        (written("TRACE", "/orders"), 405),
    ],
    ids=range(12),
)
def test_a_head_that_is_no_head_is_refused(server: Server, request_: bytes, status: int) -> None:
    response = exchange(server.url, request_)

    assert response.status_code == status


FAR = "9" * 5_000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/projections/order_details/parked/{FAR}", 404),
        ("/console/streams?time=0001-01-01T00:00:00%2B12:00", 400),
        ("/console/streams?time=9999-12-31T23:59:59-12:00", 400),
        ("/console/streams?time=2026-01-31T14:00", 200),
        ("/console/streams?category=%00", 200),
        ("/console/stream?name=%00", 404),
        ("/console/stream?name=order-%00&at=3", 404),
        ("/console/projections/step?name=sales&stream=%00", 200),
        ("/console/api/streams?category=%00", 400),
        ("/console/api/stream?name=%00", 400),
        ("/console/search?q=%00", 200),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_what_operators_ask_for_is_answered_or_refused(http: httpx.Client, path: str, status: int) -> None:
    assert http.get(path).status_code == status


def test_a_version_beyond_the_last_is_the_last(http: httpx.Client) -> None:
    order_id = place(http)
    for version in (2, 101, 20_260_101, 10**17):
        page = http.get("/console/stream", params={"name": f"order-{order_id}", "at": version})
        assert page.status_code == 200
        assert "After version" in page.text


@pytest.mark.parametrize("accepted", ["application/openmetrics-text; version=x", "text/plain;version=1.x", ";;;="])
def test_numbers_are_told_whatever_is_accepted(http: httpx.Client, accepted: str) -> None:
    assert http.get("/metrics", headers={"Accept": accepted}).status_code == 200


def test_a_condition_on_two_lines_is_one_list(http: httpx.Client) -> None:
    order_id = place(http)
    lines = [("If-Match", '"7"'), ("If-Match", '"1"'), *JSON.items()]

    response = http.patch(f"/orders/{order_id}/status", content=b'{"status":"confirmed"}', headers=lines)

    assert response.status_code == 200
    has = [("If-None-Match", '"1"'), ("If-None-Match", '"2"')]
    assert http.get(f"/orders/{order_id}", headers=has).status_code == 304


def test_the_log_names_nobody_and_cannot_be_forged(server: Server) -> None:
    name = new_customer()

    exchange(server.url, written("GET", f"/customers/{name}%0AFORGED%1B[31m/orders"))

    assert name not in server.output
    assert "FORGED" not in server.output
    assert "\x1b" not in server.output


# --- slow clients ---------------------------------------------------------------------------------------------------

HURRIED = """
import sys
from twofold.http import requests
requests.BODY_SECONDS = 0.3
sys.argv = ["orders", "serve"]
from orders.cli import main
main()
"""
"""The service, that waits for a body no longer than the test does."""


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    command = (sys.executable, "-c", HURRIED)
    with start("memory:", tmp_path / "service.log", command=command) as server:
        head = written("POST", "/orders", headers=JSON | {"Content-Length": "500"})

        stalled = [(server.url, head + b'{"customerId":')] * 50
        others = [(server.url, written("GET", "/dashboard"))] * 50
        answers = at_once([*stalled, *others])

        for response in answers[:50]:
            problem(response, 408, "The body did not arrive in time")
        assert {response.status_code for response in answers[50:]} == {200}


def test_a_client_who_goes_away_in_the_middle_does_no_harm(server: Server, http: httpx.Client) -> None:
    address = httpx.URL(server.url)
    head = written("POST", "/orders", headers=JSON | {"Content-Length": "500"})
    for sent in (head[:20], head, head + b'{"customerId":', written("GET", "/orders?limit=100")):
        for _ in range(10):
            with socket.create_connection((address.host, address.port or 80)) as connection:
                connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )  # to cut, not to close
                connection.sendall(sent)

    assert http.get("/readyz").status_code == 200
    assert "Traceback" not in server.output
