"""Subscriptions at a terminal: told to stop, to go on, or to begin anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from twofold.cli.printing import tell
from twofold.cli.terminal import AskedWrongly, at_terminal
from twofold.connect import connect
from twofold.operating import Operator
from twofold.views import Views

Opening = Callable[[str], AbstractAsyncContextManager[Views]]
"""Opens the store that a URL names, with the views that an application keeps in it, and runs none of them."""


@asynccontextmanager
async def open_any(url: str) -> AsyncGenerator[Views]:
    """An `Opening` for the store of any application, whose code nobody has here. Raises StoreRefused."""
    async with connect(url, create=False) as store:
        yield Views(store)


async def pause(opening: Opening, url: str, name: str, reason: str, *, json: bool) -> None:
    """Nobody may go on with the subscription from now on. Raises AskedWrongly where no reason is given."""
    reason = given(reason)
    async with opening(url) as views:
        operator = Operator(views, at_terminal())
        found = await operator.find(name)
        _tell(found.name, "paused", await operator.pause(found, reason), json=json)


async def resume(opening: Opening, url: str, name: str, *, json: bool) -> None:
    """Go on with the subscription, also where it had failed."""
    async with opening(url) as views:
        operator = Operator(views, at_terminal())
        found = await operator.find(name)
        _tell(found.name, "resumed", await operator.resume(found), json=json)


async def reset(opening: Opening, url: str, name: str, *, json: bool) -> None:
    """Empty the view's tables, forget its parked events, and begin anew, in one transaction."""
    async with opening(url) as views:
        operator = Operator(views, at_terminal())
        found = await operator.find(name)
        _tell(found.name, "reset", await operator.reset(found), json=json)


def _tell(name: str, done: str, position: int, *, json: bool) -> None:
    tell(f"{name} {done} at position {position}", {"name": name, "done": done, "position": position}, json=json)


def given(reason: str) -> str:
    """A reason that says something. Raises AskedWrongly if it does not."""
    if not reason.strip():
        raise AskedWrongly("say why with --reason: whoever looks at it later will ask")
    return reason
