"""Idempotency-Key by HTTP: the same request gets the same answer, whatever happened since, and takes effect once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from order_samples import body
from servers import Server, start
from talking import (
    JSON,
    at_once,
    bring,
    cancel,
    encode,
    history,
    new_customer,
    new_key,
    patch,
    place,
    post,
    problem,
    refused,
    written,
)

Send = Callable[[httpx.Client], httpx.Response]


def answer(response: httpx.Response) -> tuple[int, bytes, str | None, str | None, str | None]:
    """What must be the same in each answer to the same request."""
    headers = response.headers
    return response.status_code, response.content, *(headers.get(n) for n in ("etag", "location", "content-type"))


def total(http: httpx.Client, customer: str) -> int:
    """How many orders a customer has."""
    found: int = http.get(f"/customers/{customer}/orders").json()["total"]
    return found


# --- the same request -----------------------------------------------------------------------------------------------


def test_a_creation_repeated_is_the_first_one(http: httpx.Client) -> None:
    customer, key = new_customer(), new_key()
    first = post(http, "/orders", body(customerId=customer), Idempotency_Key=key)
    order_id = first.json()["orderId"]
    bring(http, order_id, "confirmed", "shipped")

    again = post(http, "/orders", body(customerId=customer), Idempotency_Key=key)

    assert first.status_code == 201
    assert answer(again) == answer(first)
    assert again.headers["location"] == f"/orders/{order_id}"
    assert total(http, customer) == 1


def test_a_key_is_the_same_quoted_or_raw(http: httpx.Client) -> None:
    customer, key = new_customer(), new_key()

    answers = {
        answer(post(http, "/orders", body(customerId=customer), Idempotency_Key=said))
        for said in (key, f'"{key}"', key, f'"{key}"')
    }

    assert len(answers) == 1
    assert total(http, customer) == 1


def test_a_change_repeated_is_answered_as_it_was_then(http: httpx.Client) -> None:
    order_id, key = place(http), new_key()
    first = patch(http, order_id, {"status": "confirmed"}, Idempotency_Key=key)
    bring(http, order_id, "shipped", "delivered")
    before = history(http, order_id)

    again = patch(http, order_id, {"status": "confirmed"}, Idempotency_Key=key)

    assert first.status_code == 200
    assert first.headers["etag"] == '"2"'
    assert answer(again) == answer(first)
    assert history(http, order_id) == before


def test_a_cancellation_repeated_is_answered_as_it_was_then(http: httpx.Client) -> None:
    order_id, key = place(http), new_key()

    first = cancel(http, order_id, {"reason": "r"}, Idempotency_Key=key)
    again = cancel(http, order_id, {"reason": "r"}, Idempotency_Key=key)

    assert first.status_code == 200
    assert answer(again) == answer(first)
    assert len(history(http, order_id)) == 2


def test_a_change_that_changed_nothing_is_remembered_too(http: httpx.Client) -> None:
    order_id, key = place(http), new_key()
    first = patch(http, order_id, {"status": "pending"}, Idempotency_Key=key)
    bring(http, order_id, "confirmed")

    again = patch(http, order_id, {"status": "pending"}, Idempotency_Key=key)

    assert first.status_code == 200
    assert answer(again) == answer(first)


@pytest.mark.parametrize("name", ["not found", "forbidden", "another version"])
def test_a_refusal_is_remembered_although_it_would_be_granted_now(http: httpx.Client, name: str) -> None:
    order_id, key = place(http), new_key()

    def send() -> httpx.Response:
        match name:
            case "not found":
                return patch(http, f"{order_id}x", {"status": "confirmed"}, Idempotency_Key=key)
            case "forbidden":
                return patch(http, order_id, {"status": "shipped"}, Idempotency_Key=key)
            case _:
                return cancel(http, order_id, {}, Idempotency_Key=key, If_Match='"2"')

    first = send()
    bring(http, order_id, "confirmed")

    again = send()

    problem(first, {"not found": 404, "forbidden": 409, "another version": 412}[name])
    assert answer(again) == answer(first)
    assert len(history(http, order_id)) == 2


def test_what_was_not_valid_may_be_mended_under_its_key(http: httpx.Client) -> None:
    key = new_key()

    refused(post(http, "/orders", body(customerId=""), Idempotency_Key=key), "Customer ID is required")

    assert post(http, "/orders", body(), Idempotency_Key=key).status_code == 201


# --- another request ------------------------------------------------------------------------------------------------


def test_a_key_is_not_for_a_second_request(http: httpx.Client) -> None:
    customer, key = new_customer(), new_key()
    first = post(http, "/orders", body(customerId=customer), Idempotency_Key=key)
    order_id = first.json()["orderId"]
    reused = "The Idempotency-Key was used for a different request"

    problem(post(http, "/orders", body(customerId=customer, shippingAddress="x"), Idempotency_Key=key), 422, reused)
    problem(patch(http, order_id, {"status": "confirmed"}, Idempotency_Key=key), 422, reused)
    problem(cancel(http, order_id, {}, Idempotency_Key=key), 422, reused)

    assert total(http, customer) == 1
    assert len(history(http, order_id)) == 1
    assert answer(post(http, "/orders", body(customerId=customer), Idempotency_Key=key)) == answer(first)


def test_a_key_of_a_refusal_is_not_for_a_second_request(http: httpx.Client) -> None:
    order_id, key = place(http), new_key()
    problem(patch(http, order_id, {"status": "shipped"}, Idempotency_Key=key), 409)

    problem(patch(http, order_id, {"status": "confirmed"}, Idempotency_Key=key), 422)
    problem(patch(http, order_id, {"status": "shipped"}, Idempotency_Key=key, If_Match='"1"'), 422)
    problem(patch(http, place(http), {"status": "shipped"}, Idempotency_Key=key), 422)
    problem(cancel(http, order_id, {"status": "shipped"}, Idempotency_Key=new_key()), 400)

    assert len(history(http, order_id)) == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, f'"{"x" * 256}"', "a\tb", "ключ", '"é"'])
def test_a_key_that_is_none_is_refused(http: httpx.Client, key: str) -> None:
    customer = new_customer()
    headers = [(b"Idempotency-Key", key.encode())]
    sentence = "Idempotency-Key must be one of 1 to 255 printable ASCII characters"

    for path in ("/orders", f"/orders/{place(http)}/cancel"):
        sent = body(customerId=customer) if path == "/orders" else {}
        response = http.post(path, content=encode(sent), headers=[*headers, (b"Content-Type", b"application/json")])
        refused(response, sentence)

    assert total(http, customer) == 0


def test_two_keys_are_none(http: httpx.Client) -> None:
    headers = [("Idempotency-Key", new_key()), ("Idempotency-Key", new_key()), *JSON.items()]

    problem(http.post("/orders", content=encode(body()), headers=headers), 400, "Validation failed")


@pytest.mark.parametrize("key", ["x", "x" * 255, "a b", "a/b?c=d&e", "'; drop table event; --", '"a\\"b"', '"', "\\"])
def test_a_key_may_be_anything_printable(http: httpx.Client, key: str) -> None:
    customer = new_customer()

    first = post(http, "/orders", body(customerId="same for all"), Idempotency_Key=key)
    other = post(http, "/orders", body(customerId=customer), Idempotency_Key=key)

    assert first.status_code == 201
    problem(other, 422)


# --- after a restart ------------------------------------------------------------------------------------------------


@contextmanager
def restarted(store: str, log: Path) -> Generator[httpx.Client]:
    """A client of a service that runs for the length of the block."""
    with start(store, log) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
        assert server.stop() == 0


def test_the_same_request_gets_the_same_answer_after_a_restart(tmp_path: Path) -> None:
    store, log = f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "service.log"
    customer, keys = new_customer(), [new_key() for _ in range(6)]
    with restarted(store, log) as http:
        order_id = place(http, customerId=customer)
        requests: list[Send] = [
            lambda http: post(http, "/orders", body(customerId=customer), Idempotency_Key=keys[0]),
            lambda http: patch(http, order_id, {"status": "confirmed"}, Idempotency_Key=keys[1], If_Match='"1"'),
            lambda http: patch(http, order_id, {"status": "delivered"}, Idempotency_Key=keys[2]),
            lambda http: patch(http, "nothing", {"status": "shipped"}, Idempotency_Key=keys[3]),
            lambda http: patch(http, order_id, {"status": "shipped"}, Idempotency_Key=keys[4], If_Match='"1"'),
            lambda http: cancel(http, order_id, {"reason": "r"}, Idempotency_Key=keys[5]),
        ]
        first = [send(http) for send in requests]
        shown = http.get(f"/orders/{order_id}")
        assert [response.status_code for response in first] == [201, 200, 409, 404, 412, 200]

    with restarted(store, log) as http:
        again = [send(http) for send in requests]
        assert [answer(response) for response in again] == [answer(response) for response in first]
        assert answer(http.get(f"/orders/{order_id}")) == answer(shown)
        assert total(http, customer) == 2


# --- at once --------------------------------------------------------------------------------------------------------


def create_at_once(urls: list[str], customer: str) -> list[httpx.Response]:
    """The answers to the same creation with the same key, sent to each of these services at once."""
    headers = JSON | {"Idempotency-Key": new_key()}
    request = written("POST", "/orders", encode(body(customerId=customer)), headers)
    return at_once((url, request) for url in urls)


def test_a_hundred_creations_with_one_key_at_once_are_one(server: Server, http: httpx.Client) -> None:
    for _ in range(3):
        customer = new_customer()

        answers = create_at_once([server.url] * 100, customer)

        assert {answer(response) for response in answers} == {answer(answers[0])}
        assert answers[0].status_code == 201
        assert total(http, customer) == 1
        order_id = answers[0].json()["orderId"]
        assert [event["version"] for event in history(http, order_id)] == [1]


def test_a_key_is_one_across_two_processes_on_one_file(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    with (
        start(store, tmp_path / "one.log") as one,
        start(store, tmp_path / "other.log") as other,
        httpx.Client(base_url=one.url) as http,
    ):
        for _ in range(5):
            customer = new_customer()

            answers = create_at_once([one.url, other.url] * 20, customer)

            assert {answer(response) for response in answers} == {answer(answers[0])}
            assert answers[0].status_code == 201
            assert total(http, customer) == 1
            order_id = answers[0].json()["orderId"]
            assert http.get(f"{other.url}/orders/{order_id}").content == http.get(f"/orders/{order_id}").content
