"""Live queries: an order, or a customer's orders, and then each change of them, folded from the log.

They are folded from the streams and not read from the views: a view that is subscribed may be behind, and its parts at
different positions; the log has one order for all. The views only say which orders a customer has, as far as they have
come; from there on the log is looked through. So no change is missed, and none is sent twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

import sqlalchemy as sa

from orders import validation
from orders.app import OrderService
from orders.details import details, source
from orders.domain import OrderCreated, OrderNotFound, codec, orders
from orders.sales import sales
from orders.searching import DEFAULT_LIMIT, MAX_LIMIT
from twofold.errors import EventUnknown, EventUnreadable
from twofold.events import Recorded
from twofold.http.exchange import Request, Response
from twofold.http.problems import Problem
from twofold.http.requests import Parameters
from twofold.http.streams import HEARTBEAT, HEARTBEAT_SECONDS, Streams, frame, read_last_event_id
from twofold.parked import Parked
from twofold.projection import live
from twofold.sequences import stream_sequence
from twofold.store import LARGEST
from twofold.tail import Change, Feed, Tail
from twofold.views import identity

WORD_SECONDS = 1.0  # between two words that something has changed
CUSTOMERS = 10_000  # whose order it is, kept in memory for so many orders
MOST_MISSED = 10_000  # orders that have changed since a client was here last
MOST_BEHIND = 20_000  # events that may be looked through because the views have not come to them

_table = details.table
_OF_CUSTOMER = sa.select(_table.c.key).where(_table.c.customer_id == sa.bindparam("customer_id"))
_NEWEST = (
    _OF_CUSTOMER.add_columns(_table.c.first_position)
    .order_by(_table.c.first_position.desc())
    .limit(sa.bindparam("limit"))
)
_CHANGED = _OF_CUSTOMER.where(_table.c.last_position > sa.bindparam("after")).limit(MOST_MISSED + 1)


class LiveOrders:
    """The handlers that answer with server-sent events, over a running service."""

    def __init__(self, service: OrderService) -> None:
        self._streams = Streams()
        self._store = service.store
        self._views = service.views
        self._watermarks = service.watermarks
        self._tail = Tail(service.store, self._keys_of)
        self._parked = Parked(service.store)
        self._customers: OrderedDict[str, str] = OrderedDict()

    @property
    def open(self) -> int:
        """How many clients listen now."""
        return self._streams.open

    def close(self) -> None:
        """End all feeds: the service stops."""
        self._streams.close()
        self._tail.close()

    async def stream_order(self, request: Request) -> Response:
        """GET /orders/{orderId}, live."""
        Parameters(request, ()).check()
        order_id: str = request.path_params["orderId"]
        if validation.order(order_id):  # no order has such an id, and stores refuse to look for some of them
            raise OrderNotFound(order_id)
        return await self._streams.response(partial(self._order, order_id, read_last_event_id(request)))

    async def stream_customer(self, request: Request) -> Response:
        """GET /customers/{customerId}/orders, live."""
        parameters = Parameters(request, ("limit",))
        limit = parameters.whole("limit", "Limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        parameters.check()
        customer_id: str = request.path_params["customerId"]
        return await self._streams.response(partial(self._customer, customer_id, limit, read_last_event_id(request)))

    async def stream_any(self, request: Request) -> Response:
        """That orders have changed behind a position, once a second at most: for pages that show many of them."""
        parameters = Parameters(request, ("after",))
        after = parameters.whole("after", "After", default=None, least=0, most=LARGEST)
        parameters.check()
        last = read_last_event_id(request)
        return await self._streams.response(partial(self._any, after if last is None else last))

    async def _any(self, after: int | None, _stack: AsyncExitStack) -> AsyncGenerator[bytes]:
        head = await self._store.head()
        return self._words(head if after is None else min(after, head))

    async def _words(self, position: int) -> AsyncGenerator[bytes]:
        """A word for each second in which the log grew, told when the views have what it is about."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._store.wait_appended(after=position)
            except TimeoutError:
                yield HEARTBEAT
                continue
            position = await self._store.head()
            while await self._watermarks.wait([details.name, sales.name], position, HEARTBEAT_SECONDS):
                yield HEARTBEAT
            yield frame(position, "changed", b"{}")
            await asyncio.sleep(WORD_SECONDS)

    async def _order(self, order_id: str, after: int | None, stack: AsyncExitStack) -> AsyncGenerator[bytes]:
        """An order as it is, or each change behind a position; then each change that comes. Raises OrderNotFound."""
        stream = orders.stream(order_id)
        feed = await stack.enter_async_context(self._tail.feed(stream))
        changes = await self._changes(stream, feed.since)
        if not changes:
            raise OrderNotFound(order_id)
        missed = changes[-1:] if _begins(after, feed) else [one for one in changes if one.position > (after or 0)]
        return self._frames(missed, feed)

    async def _customer(
        self, customer_id: str, limit: int, after: int | None, stack: AsyncExitStack
    ) -> AsyncGenerator[bytes]:
        """A customer's newest orders, or each change behind a position; then each change that comes.

        The orders come by when they last changed, and not by when they were created: who breaks off between two of
        them has seen all up to some position, and goes on from there.
        """
        feed = await stack.enter_async_context(self._tail.feed(_key(customer_id)))
        if "\0" in customer_id:  # nobody has such an id, and stores refuse to look for it
            return self._frames([], feed)
        # Asked first: the rows that are read afterwards have all that there is up to here.
        known = feed.since - await self._watermarks.behind([details.name], feed.since)
        missed: Iterable[Change]
        if _begins(after, feed):
            missed = await self._newest(customer_id, limit, known, feed.since)
        else:
            missed = await self._missed(customer_id, after or 0, known, feed.since)
        return self._frames(sorted(missed), feed)

    async def _newest(self, customer_id: str, limit: int, known: int, until: int) -> list[Change]:
        """The last change of each of the customer's newest orders."""
        rows = await self._views.rows(_NEWEST, customer_id=customer_id, limit=limit)
        created = {orders.stream(order_id): position for order_id, position in rows}
        for change in await self._looked_through(customer_id, known, until):
            if change.version == 1:  # perhaps older than some in the view, whose parts come forward by themselves
                created[change.stream] = change.position
        newest = sorted(created, key=created.__getitem__)[-limit:]
        found = [await self._changes(stream, until) for stream in newest]
        return [changes[-1] for changes in found if changes]

    async def _missed(self, customer_id: str, after: int, known: int, until: int) -> Iterable[Change]:
        """All changes of the customer's orders behind a position."""
        missed = set(await self._looked_through(customer_id, max(after, known), until))
        if after < known:
            streams = set(await self._parked_streams(customer_id, after))  # first: what is drained now is in the rows
            rows = await self._views.rows(_CHANGED, customer_id=customer_id, after=after)
            if len(rows) > MOST_MISSED:
                raise Problem(410, "too-far-behind", "Too much has changed since then; begin without Last-Event-ID")
            streams.update(orders.stream(row[0]) for row in rows)
            for stream in streams:
                missed.update(change for change in await self._changes(stream, until) if change.position > after)
        return missed

    async def _parked_streams(self, customer_id: str, after: int) -> list[str]:
        """The customer's orders of which the view has not taken an event: by its rows they have not changed."""
        name = identity(details)
        if details in self._views.inline or not any(await self._parked.count(name)):
            return []
        letters = [letter for letter in await self._parked.letters(name) if letter.position > after]
        of_stream = stream_sequence("")  # of events that cannot be read, and those behind them
        streams = {
            letter.sequence.removeprefix(of_stream)
            if letter.sequence.startswith(of_stream)
            else orders.stream(letter.sequence)
            for letter in letters
        }
        return [stream for stream in streams if await self._customer_of(stream) == customer_id]

    async def _looked_through(self, customer_id: str, after: int, until: int) -> list[Change]:
        """The changes of the customer's orders between two positions, by looking at every event."""
        if until - after > MOST_BEHIND:
            raise Problem(503, "busy", "The views are too far behind; try again", headers={"Retry-After": "10"})
        return [
            Change.of(stored)
            async for stored in self._store.read_all(after=after, limit=max(0, until - after))
            if stored.position <= until and _key(customer_id) in await self._keys_of(stored)
        ]

    async def _changes(self, stream: str, until: int) -> list[Change]:
        return [Change.of(stored) async for stored in self._store.read(stream) if stored.position <= until]

    async def _frames(self, missed: Sequence[Change], feed: Feed) -> AsyncGenerator[bytes]:
        for change in missed:
            yield await self._frame(change)
        while not feed.ended:
            coming = await feed.next(HEARTBEAT_SECONDS)
            if coming is not None:
                yield await self._frame(coming)
            elif not feed.ended:
                yield HEARTBEAT

    async def _frame(self, change: Change) -> bytes:
        """The order as it was after a change. An order has few events: to fold them anew keeps nothing in memory."""
        events = self._store.read(change.stream, until=change.version)
        view = await live(details.projection, source, events, orders.id_in(change.stream))
        if view is None:
            raise AssertionError(f"{change.stream} has no order at version {change.version}")
        return frame(change.position, "order", details.encode(view))

    # --- whose order it is --------------------------------------------------------------------------------------------

    async def _keys_of(self, stored: Recorded[bytes]) -> Sequence[str]:
        """An event changes its order, and its customer's orders."""
        if stored.category != orders.name:
            return ()
        if stored.version == 1:
            self._remember(stored)
        customer_id = await self._customer_of(stored.stream)
        return (stored.stream,) if customer_id is None else (stored.stream, _key(customer_id))

    async def _customer_of(self, stream: str) -> str | None:
        """The customer of an order, which never changes; None if its first event cannot be read."""
        if stream in self._customers:
            self._customers.move_to_end(stream)
            return self._customers[stream]
        with suppress(EventUnreadable):  # damaged: the order's own feed says so
            async for stored in self._store.read(stream, until=1):
                self._remember(stored)
        return self._customers.get(stream)

    def _remember(self, first: Recorded[bytes]) -> None:
        with suppress(EventUnknown, EventUnreadable):
            event = codec.decode(first).data
            if isinstance(event, OrderCreated):
                self._customers[first.stream] = event.customer_id
        if len(self._customers) > CUSTOMERS:
            self._customers.popitem(last=False)


def _key(customer_id: str) -> str:
    return f"customer {customer_id}"  # no stream has this name: a space comes before the first `-`


def _begins(after: int | None, feed: Feed) -> bool:
    """Whether a client begins anew: it names no position, or one that this log has not come to."""
    return after is None or after > feed.since
