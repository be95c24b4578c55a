"""Subscriptions, found by the names that people use: told to stop, to go on, or to begin anew.

Whatever process runs them notices it in its next transaction, so nothing has to be stopped or started for it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from twofold.claims import Claims
from twofold.cli.terminal import AskedWrongly, print_json, printable
from twofold.connect import connect
from twofold.errors import ProjectionUnknown
from twofold.parked import Parked
from twofold.sql import Work
from twofold.store import Store
from twofold.views import View, Views, identity, remade

Opening = Callable[[str], AbstractAsyncContextManager[Views]]
"""Opens the store that a URL names, with the views that an application keeps in it, and runs none of them."""


class Found(NamedTuple):
    """A subscription: its name in the store, and its view where the application has the code of it."""

    name: str
    view: View | None


@asynccontextmanager
async def open_any(url: str) -> AsyncGenerator[Views]:
    """An `Opening` for the store of any application, whose code nobody has here. Raises StoreRefused."""
    async with connect(url, create=False) as store:
        yield Views(store)


async def names_in(store: Store) -> list[str]:
    """The names of all subscriptions of a store."""
    return sorted(row[0] for row in await store.rows(Claims(store.dialect).names()))


async def find(views: Views, name: str) -> Found:
    """The subscription of a view that is named as in its code (`sales`), or one named as in the store (`sales_v1`).

    Raises AskedWrongly for a view that is kept inline, ProjectionUnknown.
    """
    known = await names_in(views.store)
    for view in views.all.values():
        if name in (view.name, identity(view)):
            if identity(view) in known:
                return Found(identity(view), view)
            if view in views.inline:
                raise AskedWrongly(
                    f"{view.name} is kept inline: each append folds it in its own transaction, so it cannot stand still"
                    " while appends go on, and nothing of it is ever parked. Only a subscribed view can be paused,"
                    " resumed or reset; this one can be rebuilt"
                )
            raise AskedWrongly(f"no process has begun with {view.name} in this store yet; start the service")
    if name in known:
        return Found(name, None)
    raise ProjectionUnknown(name, sorted({*views.all, *known}) or ["none, as no subscription was ever started here"])


def code_of(found: Found) -> View:
    """The view of a subscription. Raises AskedWrongly if the application has no code of it."""
    if found.view is None:
        raise AskedWrongly(f"this code has no {found.name}, so it cannot fold it; another version of it may")
    return found.view


async def pause(opening: Opening, url: str, name: str, reason: str, *, json: bool) -> None:
    """Nobody may go on with the subscription from now on."""
    async with opening(url) as views:
        found = await find(views, name)
        claims = Claims(views.store.dialect)
        await views.store.work(partial(claims.pause, found.name, given(reason)))
        await _tell(views.store, found.name, "paused", json=json)


async def resume(opening: Opening, url: str, name: str, *, json: bool) -> None:
    """Go on with the subscription, also where it had failed."""
    async with opening(url) as views:
        found = await find(views, name)
        claims = Claims(views.store.dialect)
        await views.store.work(partial(claims.resume, found.name))
        await _tell(views.store, found.name, "resumed", json=json)


async def reset(opening: Opening, url: str, name: str, *, json: bool) -> None:
    """Empty the view's tables, forget its parked events, and begin anew, in one transaction."""
    async with opening(url) as views:
        found = await find(views, name)
        await views.store.work(partial(_begin_anew, views, code_of(found)))
        await _tell(views.store, found.name, "reset", json=json)


def _begin_anew(views: Views, view: View) -> Work[None]:
    claims, name = Claims(views.store.dialect), identity(view)
    yield from claims.set_to(name, 0)
    yield from claims.resume(name)  # else a process that had given it up at position 0 would not try again
    yield from Parked(views.store).forget(name)
    yield from remade(views.current, view)


async def _tell(store: Store, name: str, done: str, *, json: bool) -> None:
    claims = Claims(store.dialect)
    parts = await store.work(partial(claims.parts, name))
    position = min((held.position for held in parts), default=0)
    if json:
        print_json(msgspec.json.encode({"name": name, "done": done, "position": position}))
    else:
        Console(highlight=False).print(Text(printable(f"{name} {done} at position {position}")), soft_wrap=True)


def given(reason: str) -> str:
    """A reason as it can be stored. Raises AskedWrongly if it says nothing."""
    if not reason.strip():
        raise AskedWrongly("say why with --reason: whoever looks at it later will ask")
    return reason.strip().encode(errors="replace").decode()
