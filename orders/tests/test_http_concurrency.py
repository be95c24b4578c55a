"""Many requests at once: each version of an order is won by one, nobody is lost in silence, too many do no harm."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

import naive
from order_samples import body
from servers import Server, start
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


def test_a_thousand_at_once_do_it_no_harm(server: Server, http: httpx.Client) -> None:
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


FEW = 5
# The service, but few may wait for the file, and those who do wait for long: a 503 can only come from the few.
SERVE_FEW = f"""
import sys
from orders.cli import main
from twofold.stores.sqlite import driver, writer
driver.BUSY_MILLISECONDS, writer.WAITING_LIMIT = 60_000, {FEW}
sys.argv = ["orders", "serve"]
main()
"""


async def test_more_than_it_can_take_is_told_to_come_again(tmp_path: Path) -> None:
    file, customer = tmp_path / "orders.db", new_customer()
    command = [sys.executable, "-c", SERVE_FEW]
    with start(f"sqlite:///{file}", tmp_path / "service.log", command=command, command_seconds=60) as server:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:

            async def create() -> httpx.Response:
                return await client.post("/orders", content=encode(body(customerId=customer)), headers=JSON)

            with closing(sqlite3.connect(file)) as other, other:
                other.execute("begin immediate")  # as another process that writes
                creating = [asyncio.create_task(create()) for _ in range(50)]
                told, _ = await asyncio.wait(creating, return_when=asyncio.FIRST_COMPLETED)
                for task in told:
                    assert problem(await task, 503)["type"] == "urn:twofold:problem:busy"
                assert (await client.get("/dashboard")).status_code == 200  # who only reads need not wait

            answers = await asyncio.gather(*creating)
            counts = Counter(answer.status_code for answer in answers)
            assert set(counts) == {201, 503}
            assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 503)

            assert (await client.get("/readyz")).status_code == 200
            assert (await create()).status_code == 201
            assert (await client.get(f"/customers/{customer}/orders")).json()["total"] == counts[201] + 1
        assert server.stop() == 0
    assert naive.faults(naive.read(file)) == []
