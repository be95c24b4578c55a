"""Talking to the running service: what the tests send most, and what each problem has to look like."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from order_samples import body

JSON = {"Content-Type": "application/json"}

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Writes JSON as a careful client does: a decimal becomes a number of exactly its digits."""


def exactly(response: httpx.Response) -> Any:
    """The JSON of an answer, its numbers as they are written there."""
    return json.loads(response.content, parse_float=Decimal)


def new_customer() -> str:
    """A customer that no other test knows."""
    return f"customer-{uuid4()}"


def new_key() -> str:
    """An idempotency key that no other test used."""
    return str(uuid4())


def post(http: httpx.Client, path: str, sent: object, **headers: str) -> httpx.Response:
    """POST this as JSON; a header is named with `_` for `-`."""
    return http.post(path, content=encode(sent), headers=JSON | _headers(headers))


def patch(http: httpx.Client, order_id: str, sent: object, **headers: str) -> httpx.Response:
    """PATCH an order's status."""
    return http.patch(f"/orders/{order_id}/status", content=encode(sent), headers=JSON | _headers(headers))


def cancel(http: httpx.Client, order_id: str, sent: object, **headers: str) -> httpx.Response:
    """Cancel an order."""
    return post(http, f"/orders/{order_id}/cancel", sent, **headers)


def _headers(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def place(http: httpx.Client, **changes: object) -> str:
    """Create an order that is valid but for the changes; its id."""
    response = post(http, "/orders", body(**changes))
    assert response.status_code == 201, response.text
    order_id: str = response.json()["orderId"]
    return order_id


def bring(http: httpx.Client, order_id: str, *statuses: str) -> None:
    """Lead an order through these statuses."""
    for status in statuses:
        response = patch(http, order_id, {"status": status})
        assert response.status_code == 200, response.text


def history(http: httpx.Client, order_id: str) -> list[dict[str, Any]]:
    """The events of an order."""
    events: list[dict[str, Any]] = exactly(http.get(f"/orders/{order_id}/events"))["events"]
    return events


def problem(response: httpx.Response, status: int, error: str | None = None) -> dict[str, Any]:
    """The problem that an answer is: with this status, and this sentence where it is given."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = exactly(response)
    assert said["status"] == status
    assert said["type"].startswith("urn:twofold:problem:")
    assert said["title"]
    assert said["detail"]
    assert said["error"]
    if error is not None:
        assert said["error"] == error
    return said


def refused(response: httpx.Response, *details: str) -> list[dict[str, str]]:
    """The faults of an answer that refuses a message as not valid: exactly these sentences, in this order."""
    said = problem(response, 400, "Validation failed")
    assert said["details"] == list(details)
    assert [fault["message"] for fault in said["errors"]] == list(details)
    errors: list[dict[str, str]] = said["errors"]
    return errors


# --- without a client: for requests that none would send, and for more of them at once than one can bear --------------


def written(method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A request as it goes over the wire, the only one of its connection."""
    given = {"Host": "test", "Connection": "close", "Content-Length": str(len(content)), **(headers or {})}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(head).encode() + content


def read(answer: bytes) -> httpx.Response:
    """An answer as it came over the wire, whole."""
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    response = httpx.Response(int(status.split()[1]), headers=headers, content=content)
    assert len(content) == int(response.headers["content-length"]), "the answer broke off"
    return response


def exchange(url: str, request: bytes) -> httpx.Response:
    """The answer to a request that closes its connection."""
    return at_once([(url, request)])[0]


def at_once(requests: Iterable[tuple[str, bytes]]) -> list[httpx.Response]:
    """The answers to requests (of a URL, and as written) that are all under way at once."""

    async def gathered() -> list[httpx.Response]:
        return await asyncio.gather(*(_exchange(url, request) for url, request in requests))

    return asyncio.run(gathered())


async def _exchange(url: str, request: bytes) -> httpx.Response:
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        await writer.drain()
        return read(await reader.read(-1))
    finally:
        writer.close()
