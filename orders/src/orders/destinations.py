"""What orders can be imported into: a running service by its HTTP API, or a store itself.

Both are asked in the same words, under the same keys with the same fingerprints, so an import that was begun through
one can be finished through the other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
import msgspec
from uuid_utils.compat import uuid7

from orders import requests
from orders.app import OrderService, open_service
from orders.domain import OrderCommand, Status, UpdateOrderStatus, orders
from orders.importing import Created, Destination, ImportStopped, Refused
from orders.settings import SettingRefused
from twofold import Idempotency, Metadata, Receipt, TwofoldError, ValidationFailed
from twofold.errors import OutcomeUnknown, RequestRefused, StoreFailed, StoreUnavailable, TimedOut
from twofold.http.problems import Problem
from twofold.http.requests import fingerprint, parse_json

T = TypeVar("T")

WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)  # seconds before each further attempt: a restart fits in
LONGEST_WAIT = 60.0  # seconds: the longest Retry-After that is obeyed
ANSWER_SECONDS = 60.0  # how long one answer is waited for
AGAIN = frozenset({408, 429, 502, 503, 504})  # statuses that say: the same request may be answered later


@asynccontextmanager
async def destination_at(url: str, *, currency: str, in_flight: int) -> AsyncGenerator[Destination]:
    """What the URL names: a service for http and https, or else a store, whose views are caught up first.

    Raises SettingRefused, StoreRefused.
    """
    if not url.startswith(("http://", "https://")):
        async with open_service(url) as service:
            yield StoreDestination(service, currency)
        return
    certificates = httpx.create_ssl_context()  # read once, for all clients
    async with AsyncExitStack() as stack:
        try:
            if not httpx.URL(url).host:
                raise SettingRefused(f"{url} is not the address of a service: it names no host")
            clients = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS, verify=certificates)
                )
                for _ in range(in_flight)
            ]
        except httpx.InvalidURL as error:
            raise SettingRefused(f"{url} is not the address of a service: {error}") from error
        yield ServiceDestination(clients)


class Later(Exception):
    """Not now: the same request may be answered in `seconds`, or sooner than is known."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        self.seconds = seconds
        super().__init__(reason)


async def insistently(send: Callable[[], Awaitable[T]], subject: str) -> T:
    """What `send` answers, tried again while it says Later. Raises ImportStopped when patience has an end."""
    for wait in WAITS:
        try:
            return await send()
        except Later as later:
            spread = random.uniform(0.5, 1.5)  # noqa: S311 - no secret: many requests must not come back at once
            await asyncio.sleep(max(wait * spread, min(later.seconds, LONGEST_WAIT)))
    try:
        return await send()
    except Later as later:
        raise ImportStopped(f"{subject}: {later}") from later


# --- a running service ----------------------------------------------------------------------------------------------


class _Answer(msgspec.Struct, rename="camel"):
    order_id: str


class _Problem(msgspec.Struct):
    error: str = ""
    details: list[str] = []


def sentences_of(problem: bytes) -> list[str]:
    """What a problem says; nothing if it is not one."""
    try:
        told = msgspec.json.decode(problem, type=_Problem)
    except msgspec.MsgspecError:
        return []
    return told.details or ([told.error] if told.error else [])


class ServiceDestination:
    """A running service, by as many clients as there are requests at once.

    Each client keeps one connection: the pool of a single client looks at all of its connections for each request, and
    that took most of the time. Each client has the service's address as the base of every URL.
    """

    def __init__(self, clients: Sequence[httpx.AsyncClient]) -> None:
        self._idle = list(clients)
        self._address = str(clients[0].base_url).rstrip("/")

    async def create(self, key: str, order: bytes) -> Created:
        """See Destination.create."""
        answer = await self._send("POST", "/orders", key, order)
        return Created(self._read(answer).order_id, _repeated(answer))

    async def go_on(self, key: str, order_id: str, status: Status) -> bool:
        """See Destination.go_on."""
        answer = await self._send("PATCH", f"/orders/{order_id}/status", key, _body(status))
        self._read(answer)
        return _repeated(answer)

    async def _send(self, method: str, path: str, key: str, body: bytes) -> httpx.Response:
        # An import reads nothing back, so it need not wait until the views have each order.
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "Prefer": "wait=0"}

        async def send() -> httpx.Response:
            client = self._idle.pop()
            try:
                answer = await client.request(method, path, content=body, headers=headers)
            except httpx.TransportError as error:  # it may have arrived or not: the key makes that no matter
                raise Later(str(error) or type(error).__name__) from error
            finally:
                self._idle.append(client)
            if answer.status_code in AGAIN:
                reason = "; ".join(sentences_of(answer.content)) or answer.reason_phrase
                raise Later(f"{answer.status_code} {reason}", _retry_after(answer))
            return answer

        answer = await insistently(send, f"{self._address} does not answer")
        if not answer.is_success:
            told = sentences_of(answer.content)
            raise Refused(told or [f"The service answered {answer.status_code} {answer.reason_phrase}"])
        return answer

    def _read(self, answer: httpx.Response) -> _Answer:
        try:
            return msgspec.json.decode(answer.content, type=_Answer)
        except msgspec.MsgspecError as error:
            raise ImportStopped(f"{self._address} does not answer like an order service") from error


def _repeated(answer: httpx.Response) -> bool:
    return "Idempotent-Replayed" in answer.headers


def _retry_after(answer: httpx.Response) -> float:
    """The seconds that Retry-After asks for: it says so many, or a date."""
    text = answer.headers.get("Retry-After", "")
    if text.isdecimal():
        return min(float(text), LONGEST_WAIT)
    try:
        return (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return 0.0


# --- a store --------------------------------------------------------------------------------------------------------


class StoreDestination:
    """A store, through the same buses as the service."""

    def __init__(self, service: OrderService, currency: str) -> None:
        self._service = service
        self._currency = currency

    async def create(self, key: str, order: bytes) -> Created:
        """See Destination.create."""
        try:
            command = requests.create_order(str(uuid7()), parse_json(order), self._currency)
        except ValidationFailed as failed:
            raise Refused(fault.message for fault in failed.faults) from failed
        except Problem as malformed:
            raise Refused([malformed.error]) from malformed
        receipt = await self._execute(command, _idempotency(key, "POST", "/orders", order))
        return Created(orders.id_in(receipt.stream), receipt.repeated)

    async def go_on(self, key: str, order_id: str, status: Status) -> bool:
        """See Destination.go_on."""
        idempotency = _idempotency(key, "PATCH", f"/orders/{order_id}/status", _body(status))
        return (await self._execute(UpdateOrderStatus(order_id, status), idempotency)).repeated

    async def _execute(self, command: OrderCommand, idempotency: Idempotency) -> Receipt:
        async def send() -> Receipt:
            try:
                return await self._service.commands.execute(command, Metadata.new(idempotency=idempotency))
            except (StoreUnavailable, TimedOut) as error:
                raise Later(str(error)) from error

        try:
            return await insistently(send, "the store does not answer")
        except RequestRefused as refused:
            raise Refused(sentences_of(refused.refusal) or [str(refused)]) from refused
        except ValidationFailed as failed:
            raise Refused(fault.message for fault in failed.faults) from failed
        except (StoreFailed, OutcomeUnknown) as error:
            raise ImportStopped(str(error)) from error
        except ImportStopped:
            raise
        except TwofoldError as error:
            raise Refused([str(error)]) from error


def _body(status: Status) -> bytes:
    return msgspec.json.encode({"status": status})


def _idempotency(key: str, method: str, path: str, body: bytes) -> Idempotency:
    """As the HTTP API would read it from the same request, so that both ways know each other's."""
    return Idempotency(key, fingerprint(method, path, body))
