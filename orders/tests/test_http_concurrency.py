"""Many requests at once: each version of an order is won by one, nobody is lost in silence, too many do no harm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from order_samples import body
from servers import Server
from talking import JSON, at_once, encode, history, new_customer, place, problem, written

ATTEMPTS = 5


Asked = tuple[str, str, dict[str, Any], dict[str, str]]
"""A method, a path, a body and headers."""


def ask(server: Server, asked: Sequence[Asked]) -> list[httpx.Response]:
    """The answers to requests that are all under way at once."""
    return at_once(
        (server.url, written(method, path, encode(sent), JSON | headers)) for method, path, sent, headers in asked
    )


@pytest.mark.parametrize("attempt", range(ATTEMPTS))
def test_of_fifty_changes_for_one_version_exactly_one_wins(server: Server, http: httpx.Client, attempt: int) -> None:
    order_id = place(http)
    path = f"/orders/{order_id}/status"
    ways: list[Asked] = [
        ("PATCH", path, {"status": ("confirmed", "cancelled")[number % 2], "reason": str(number)}, {"If-Match": '"1"'})
        for number in range(50)
    ]

    answers = ask(server, ways)

    won = [number for number, response in enumerate(answers) if response.status_code == 200]
    assert len(won) == 1
    for response in answers:
        if response.status_code != 200:
            assert problem(response, 412)["actualVersion"] == 2
    created, changed = history(http, order_id)
    assert (created["version"], changed["version"]) == (1, 2)
    assert changed["data"]["reason"] == str(won[0])


@pytest.mark.parametrize("attempt", range(ATTEMPTS))
def test_of_fifty_changes_of_one_order_none_is_lost_in_silence(
    server: Server, http: httpx.Client, attempt: int
) -> None:
    order_id = place(http)
    path = f"/orders/{order_id}/status"
    statuses = ("confirmed", "shipped", "delivered", "cancelled")
    ways: list[Asked] = [
        ("PATCH", path, {"status": statuses[number % 4], "reason": str(number)}, {}) for number in range(50)
    ]

    answers = ask(server, ways)

    events = history(http, order_id)
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    happened = {event["data"]["reason"]: event for event in events[1:]}
    assert len(happened) == len(events) - 1
    for (_, _, sent, _), response in zip(ways, answers, strict=True):
        if response.status_code == 409:  # told so, and nothing stored
            assert sent["reason"] not in happened
            continue
        assert response.status_code == 200, response.text
        version = int(response.headers["etag"].strip('"'))
        to = events[version - 1]["data"].get("newStatus", "cancelled")
        assert to == sent["status"]  # it was at this status then, by this request or by an equal one before it
        if sent["reason"] in happened:
            assert happened[sent["reason"]]["version"] == version
    acknowledged = {sent["reason"] for (_, _, sent, _), r in zip(ways, answers, strict=True) if r.status_code == 200}
    assert set(happened) <= acknowledged
    order = http.get(f"/orders/{order_id}").json()
    assert order["version"] == len(events)
    assert [change["reason"] for change in order["statusHistory"]] == ["Order created", *happened]


def test_every_one_of_many_creations_is_kept(server: Server, http: httpx.Client) -> None:
    customer = new_customer()

    creation: Asked = ("POST", "/orders", body(customerId=customer), {})

    answers = ask(server, [creation] * 300)

    assert Counter(response.status_code for response in answers) == {201: 300}
    assert len({response.json()["orderId"] for response in answers}) == 300
    assert http.get(f"/customers/{customer}/orders").json()["total"] == 300


def test_more_than_it_can_take_does_it_no_harm(server: Server, http: httpx.Client) -> None:
    customer = new_customer()
    writes: list[Asked] = [("POST", "/orders", body(customerId=customer), {})] * 500
    reads: list[Asked] = [("GET", "/orders?q=teapot&limit=50", {}, {})] * 500
    ways = [way for pair in zip(writes, reads, strict=True) for way in pair]

    answers = ask(server, ways)

    counts = Counter((method, response.status_code) for (method, *_), response in zip(ways, answers, strict=True))
    assert {status for _, status in counts} <= {200, 201, 503}
    assert all("retry-after" in response.headers for response in answers if response.status_code == 503)
    assert http.get("/readyz").status_code == 200
    assert http.get(f"/customers/{customer}/orders").json()["total"] == counts["POST", 201]
