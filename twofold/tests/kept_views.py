"""What the tests of kept views share: the views, ways to append, and what the views must come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import sqlalchemy as sa

from small_orders import (
    BoughtProducts,
    OpenOrders,
    OrderEvent,
    bought,
    codec,
    counts,
    event_counts,
    open_orders,
    source,
)
from twofold import Metadata, Receipt, Recorded, Store
from twofold.projection import fold
from twofold.store import Progress
from twofold.stores.memory import MemoryStore
from twofold.verify import Difference, verify
from twofold.views import TableView, Views


def small_views(store: Store) -> Views:
    """All the views of small orders: one that deletes, one of several keys, one in free SQL."""
    return Views(store, [open_orders(), bought(), event_counts()])


async def started(store: Store) -> Views:
    """The views, kept from now on."""
    views = small_views(store)
    await views.start()
    return views


async def append(store: Store, stream: str, *events: OrderEvent) -> Receipt:
    """The events at the end of the stream, whatever was there."""
    return await store.append(stream, [codec.encode(event, Metadata.new()) for event in events], expected=None)


async def whole_log(store: Store) -> Sequence[Recorded[OrderEvent]]:
    """All orders' events, decoded."""
    return list(source.decode([recorded async for recorded in store.read_all()]))


def table_view(views: Views, name: str) -> TableView[OrderEvent, object]:
    """A view of one row a key."""
    return cast("TableView[OrderEvent, object]", views.view(name))


async def kept_rows(views: Views, name: str) -> dict[str, object]:
    """What a table holds, by key, in the order in which the rows came to be."""
    view = table_view(views, name)
    query = sa.select(view.table.c.key, view.table.c.body).order_by(view.table.c.row)
    return {key: view.decode(body) for key, body in await views.scan(query)}


async def assert_equal_to_the_fold(views: Views, store: Store) -> None:
    """Each view is what its projection makes of the whole log."""
    events = await whole_log(store)
    assert await kept_rows(views, "open_orders") == fold(OpenOrders(), events)
    assert await kept_rows(views, "bought") == fold(BoughtProducts(), events)
    numbers: dict[str, int] = dict(await views.scan(sa.select(counts.c.event, counts.c.number)))
    assert numbers == {kind: sum(event.type == kind for event in events) for kind in {event.type for event in events}}


def silent(progress: Progress) -> None:
    """Nobody looks at the progress."""


async def differences(views: Views, store: Store) -> list[Difference]:
    """What the verifier finds."""
    async with MemoryStore() as scratch:
        return await verify(views, store, scratch, silent)
