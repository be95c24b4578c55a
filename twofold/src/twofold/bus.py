"""The buses: a message goes in, through the middleware, to its one handler, and the handler's answer comes out.

The type of the answer is the message's own: `await commands.execute(CancelOrder(...))` is a `Receipt` to the checker
because `CancelOrder` is a `Command[Receipt]`, and a handler that answers anything else does not type-check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from twofold.errors import BusBuilt, HandlerExists, HandlersMissing, MessageUnknown
from twofold.messages import Command, Metadata, Query

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
R = TypeVar("R")

Next = Callable[[Any, Metadata], Awaitable[R]]


class Middleware(Protocol):
    """One callable around the next: it may look, change, refuse, time, or answer by itself."""

    async def __call__(self, message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        """Answer the message, as a rule by `await call_next(message, metadata)`."""
        ...


class _Bus:
    """What both buses are: handlers by message class, and the middleware around each."""

    def __init__(self, middleware: Sequence[Middleware] = ()) -> None:
        self._middleware = tuple(middleware)
        self._handlers: dict[type, Next[Any]] = {}
        self._built = False

    def _register(self, message: type, handler: Next[Any]) -> None:
        if self._built:
            raise BusBuilt(message)
        if message in self._handlers:
            raise HandlerExists(message)
        for middleware in reversed(self._middleware):
            handler = _around(middleware, handler)
        self._handlers[message] = handler

    def build(self, messages: Iterable[type] = ()) -> None:
        """Check that each of these messages has its handler, and take no more handlers from now on.

        Call it at start-up, with every message that the application knows. Raises HandlersMissing, naming all.
        """
        missing = [message for message in messages if message not in self._handlers]
        if missing:
            raise HandlersMissing(missing)
        self._built = True

    def _send(self, message: object, metadata: Metadata | None) -> Awaitable[Any]:
        handler = self._handlers.get(type(message))
        if handler is None:
            raise MessageUnknown(type(message))
        return handler(message, metadata or Metadata.new())


def _around(middleware: Middleware, call_next: Next[Any]) -> Next[Any]:
    return lambda message, metadata: middleware(message, metadata, call_next)


class CommandBus(_Bus):
    """Routes each command to its one handler."""

    async def execute(self, command: Command[R], metadata: Metadata | None = None) -> R:
        """The handler's answer. Raises MessageUnknown, and whatever middleware and handler raise."""
        answer: R = await self._send(command, metadata)
        return answer

    def handles(self, message: type[M]) -> CommandHandles[M]:
        """Register the handler of a command: `@commands.handles(CancelOrder)`, or `commands.handles(CancelOrder)(f)`.

        Raises HandlerExists for a second one.
        """
        return CommandHandles(self._register, message)


class QueryBus(_Bus):
    """Routes each query to its one handler."""

    async def ask(self, query: Query[R], metadata: Metadata | None = None) -> R:
        """The handler's answer. Raises MessageUnknown, and whatever middleware and handler raise."""
        answer: R = await self._send(query, metadata)
        return answer

    def handles(self, message: type[M]) -> QueryHandles[M]:
        """Register the handler of a query: `@queries.handles(GetOrder)`. Raises HandlerExists for a second one."""
        return QueryHandles(self._register, message)


class _Handles(Generic[M_co]):
    def __init__(self, register: Callable[[type, Next[Any]], None], message: type[M_co]) -> None:
        self._register = register
        self._message = message


class CommandHandles(_Handles[M_co]):
    """Takes the handler of the command `M_co`; the type of its answer is read off the command."""

    def __call__(
        self: CommandHandles[Command[R]], handler: Callable[[M_co, Metadata], Awaitable[R]]
    ) -> Callable[[M_co, Metadata], Awaitable[R]]:
        """Register the handler, and give it back unchanged."""
        self._register(self._message, handler)
        return handler


class QueryHandles(_Handles[M_co]):
    """Takes the handler of the query `M_co`; the type of its answer is read off the query."""

    def __call__(
        self: QueryHandles[Query[R]], handler: Callable[[M_co, Metadata], Awaitable[R]]
    ) -> Callable[[M_co, Metadata], Awaitable[R]]:
        """Register the handler, and give it back unchanged."""
        self._register(self._message, handler)
        return handler
