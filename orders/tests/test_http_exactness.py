"""Exact in, exact out: what was sent by HTTP is what is read, digit by digit, also by a JavaScript client."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from order_samples import body, item
from orders import money, validation
from servers import start
from talking import JSON, encode, exactly, history, new_customer, place

CENT = Decimal("0.01")
LARGEST = money.LARGEST

# --- prices as they are written -------------------------------------------------------------------------------------

WRITTEN = [
    ("9.80", "9.80"),
    ("9.8", "9.80"),
    ('"9.80"', "9.80"),
    ('"9.8"', "9.80"),
    ("10", "10.00"),
    ('"10"', "10.00"),
    ("0.01", "0.01"),
    ("0.1", "0.10"),
    ("0.07", "0.07"),
    ("1.10", "1.10"),
    ("4.35", "4.35"),
    ("1e1", "10.00"),
    ("1.5E+2", "150.00"),
    ("980e-2", "9.80"),
    ("9.80" + "0" * 100, "9.80"),
    ("123456789.01", "123456789.01"),
    ("999999999.99", "999999999.99"),
    ('"999999999.99"', "999999999.99"),
    ("0.29", "0.29"),
    ("1.005e3", "1005.00"),
]


@pytest.mark.parametrize(("sent", "kept"), WRITTEN, ids=range(len(WRITTEN)))
def test_a_price_comes_back_as_a_number_of_exactly_its_digits(http: httpx.Client, sent: str, kept: str) -> None:
    content = encode(body(items=[item(quantity=1, price="PRICE")])).replace(b'"PRICE"', sent.encode())

    created = http.post("/orders", content=content, headers=JSON)
    shown = http.get(created.headers["location"])

    assert re.findall(r'"(?:price|subtotal|totalAmount)":([^,}]+)', shown.text) == [kept, kept, kept]
    (event,) = history(http, created.json()["orderId"])
    assert event["data"]["items"][0]["price"] == Decimal(kept)


def test_a_sum_is_not_that_of_floats(http: httpx.Client) -> None:
    items = [
        item(price=Decimal(price), quantity=quantity) for price, quantity in (("0.10", 3), ("0.20", 1), ("1.10", 7))
    ]

    shown = http.get(f"/orders/{place(http, items=items)}")

    assert exactly(shown)["totalAmount"] == Decimal("8.20")
    assert '"totalAmount":8.20' in shown.text


def test_a_javascript_client_reads_every_amount_right(http: httpx.Client, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    cents = [1, 7, 29, 435, 980, 100_000, 123_456_789, 10**11 - 1]
    placed = [place(http, items=[item(price=Decimal(number) * CENT, quantity=1)]) for number in cents]
    shown = [http.get(f"/orders/{order_id}").text for order_id in placed]
    script = """
        const orders = JSON.parse(process.argv[1]).map(text => JSON.parse(text));
        console.log(JSON.stringify(orders.map(order => [order.totalAmount.toFixed(2), order.items[0].price * 100])));
    """
    run = subprocess.run([node, "-e", script, json.dumps(shown)], capture_output=True, check=True, cwd=tmp_path)

    read = json.loads(run.stdout)

    assert [text for text, _ in read] == [f"{Decimal(number) * CENT:.2f}" for number in cents]
    assert [round(number) for _, number in read] == cents


@pytest.mark.parametrize(("currency", "sent", "kept"), [("JPY", "980", "980"), ("KWD", "9.805", "9.805")])
def test_a_price_has_the_digits_of_its_currency(tmp_path: Path, currency: str, sent: str, kept: str) -> None:
    with (
        start("memory:", tmp_path / "service.log", currency=currency) as server,
        httpx.Client(base_url=server.url) as http,
    ):
        order_id = place(http, items=[item(price=Decimal(sent), quantity=1)])

        shown = http.get(f"/orders/{order_id}").text

        assert re.findall(r'"(?:price|subtotal|totalAmount)":([^,}]+)', shown) == [kept, kept, kept]
        assert f'"currency":"{currency}"' in shown
        assert exactly(http.get("/dashboard"))["totalRevenue"] == Decimal(sent)


# --- whatever is valid ----------------------------------------------------------------------------------------------

CONTROL = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF]))
LINE = st.characters(codec="utf-8", exclude_characters=CONTROL)
TEXT = LINE | st.sampled_from("\t\r\n")


def texts(alphabet: st.SearchStrategy[str], longest: int) -> st.SearchStrategy[str]:
    """Texts that say something."""
    return st.text(alphabet, min_size=1, max_size=longest).filter(str.strip)


def prices() -> st.SearchStrategy[object]:
    """Prices as a number or a text; a few items of them stay below the largest total."""
    amounts = (st.integers(1, 99_999) | st.integers(1, 10**9)).map(lambda cents: cents * CENT)
    return amounts | amounts.map(str)


ITEMS = st.fixed_dictionaries(
    {"productId": texts(LINE, validation.MAX_ID), "quantity": st.integers(1, 9), "price": prices()},
    optional={"productName": st.none() | st.text(TEXT, max_size=validation.MAX_NAME)},
)
LINES = st.dictionaries(
    st.text(TEXT, max_size=validation.MAX_ADDRESS_NAME),
    st.text(TEXT, max_size=validation.MAX_ADDRESS_LINE),
    min_size=1,
    max_size=validation.MAX_ADDRESS_LINES,
).filter(lambda lines: any(line.strip() for line in lines.values()))
ORDERS = st.fixed_dictionaries(
    {
        "customerId": texts(LINE, validation.MAX_ID),
        "items": st.lists(ITEMS, min_size=1, max_size=5),
        "shippingAddress": texts(TEXT, validation.MAX_ADDRESS_LINE) | LINES,
    }
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=ORDERS, reason=st.text(TEXT, max_size=validation.MAX_REASON))
def test_what_was_sent_is_what_is_read(http: httpx.Client, sent: dict[str, Any], reason: str) -> None:
    created = http.post("/orders", content=encode(sent), headers=JSON)
    assert created.status_code == 201, created.text
    order_id = created.json()["orderId"]
    cancelled = http.post(f"/orders/{order_id}/cancel", content=encode({"reason": reason}), headers=JSON)
    assert cancelled.status_code == 200, cancelled.text

    shown = exactly(http.get(f"/orders/{order_id}"))

    assert shown["customerId"] == sent["customerId"]
    assert shown["shippingAddress"] == sent["shippingAddress"]
    assert list(shown["shippingAddress"]) == list(sent["shippingAddress"])  # its lines in their order
    assert shown["itemCount"] == len(sent["items"])
    total = Decimal(0)
    for was, now in zip(sent["items"], shown["items"], strict=True):
        name = was.get("productName")
        price = Decimal(was["price"])
        subtotal = price * was["quantity"]
        total += subtotal
        assert now == {
            "productId": was["productId"],
            "productName": name if name and name.strip() else "Unknown Product",
            "quantity": was["quantity"],
            "price": price,
            "subtotal": subtotal,
        }
    assert shown["totalAmount"] == total
    assert shown["statusHistory"][-1]["reason"] == (reason if reason.strip() else "Order cancelled")
    assert exactly(http.get(f"/orders/{order_id}", params={"version": 2})) == shown


def test_the_largest_order_is_kept(http: httpx.Client) -> None:
    items = [item(productId=f"p-{n}", price=Decimal("4.99"), quantity=1_000_000) for n in range(199)]
    rest = LARGEST - 199 * Decimal("4990000.00")
    order_id = place(http, customerId=new_customer(), items=[*items, item(price=rest, quantity=1)])

    shown = exactly(http.get(f"/orders/{order_id}"))

    assert shown["totalAmount"] == LARGEST
    assert shown["itemCount"] == 200
