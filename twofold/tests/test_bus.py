"""A message reaches its one handler through the middleware, and what is missing is found at start-up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, assert_type

import pytest

from twofold import Command, CommandBus, Metadata, Query, QueryBus
from twofold.bus import Next, R
from twofold.errors import BusBuilt, HandlerExists, HandlersMissing, MessageUnknown


@dataclass(frozen=True)
class Greet(Command[str]):
    name: str


@dataclass(frozen=True)
class GreetLoudly(Greet):
    pass


@dataclass(frozen=True)
class Shout(Command[int]):
    times: int = 1


@dataclass(frozen=True)
class WhoIs(Query[str | None]):
    name: str


async def greet(command: Greet, metadata: Metadata) -> str:
    return f"Hello, {command.name}"


async def shout(command: Shout, metadata: Metadata) -> int:
    return command.times


async def who_is(query: WhoIs, metadata: Metadata) -> str | None:
    return query.name or None


# --- routing --------------------------------------------------------------------------------------------------------


async def test_a_command_gets_the_answer_of_its_handler() -> None:
    bus = CommandBus()
    bus.handles(Greet)(greet)
    bus.handles(Shout)(shout)
    assert assert_type(await bus.execute(Greet("Ada")), str) == "Hello, Ada"
    assert assert_type(await bus.execute(Shout(3)), int) == 3


async def test_a_query_gets_the_answer_of_its_handler() -> None:
    bus = QueryBus()
    bus.handles(WhoIs)(who_is)
    assert assert_type(await bus.ask(WhoIs("Ada")), str | None) == "Ada"
    assert await bus.ask(WhoIs("")) is None


async def test_a_handler_is_given_back_as_it_was() -> None:
    bus = CommandBus()
    assert bus.handles(Greet)(greet) is greet

    @bus.handles(Shout)
    async def decorated(command: Shout, metadata: Metadata) -> int:
        return command.times

    assert await decorated(Shout(2), Metadata.new()) == 2


async def test_what_a_handler_raises_comes_out() -> None:
    bus = CommandBus()

    @bus.handles(Greet)
    async def refuse(command: Greet, metadata: Metadata) -> str:
        raise LookupError(command.name)

    with pytest.raises(LookupError, match="Ada"):
        await bus.execute(Greet("Ada"))


async def test_a_message_without_a_handler_is_unknown() -> None:
    with pytest.raises(MessageUnknown, match="no handler is registered for Greet") as error:
        await CommandBus().execute(Greet("Ada"))
    assert error.value.message is Greet
    with pytest.raises(MessageUnknown, match="WhoIs"):
        await QueryBus().ask(WhoIs("Ada"))


async def test_a_subclass_is_a_message_of_its_own() -> None:
    bus = CommandBus()
    bus.handles(Greet)(greet)
    with pytest.raises(MessageUnknown, match="GreetLoudly"):
        await bus.execute(GreetLoudly("Ada"))


async def test_a_second_handler_is_refused_and_the_first_stays() -> None:
    async def impostor(command: Greet, metadata: Metadata) -> str:
        return "Go away"

    bus = CommandBus()
    bus.handles(Greet)(greet)
    with pytest.raises(HandlerExists, match="Greet has a handler already") as error:
        bus.handles(Greet)(impostor)
    assert error.value.message is Greet
    with pytest.raises(HandlerExists):
        bus.handles(Greet)(greet)
    assert await bus.execute(Greet("Ada")) == "Hello, Ada"


# --- at start-up ----------------------------------------------------------------------------------------------------


async def test_build_names_every_message_without_a_handler() -> None:
    bus = CommandBus()
    bus.handles(Shout)(shout)
    with pytest.raises(HandlersMissing, match="Greet, GreetLoudly") as error:
        bus.build([Greet, Shout, GreetLoudly])
    assert error.value.messages == (Greet, GreetLoudly)


async def test_a_bus_that_could_not_be_built_takes_what_was_missing() -> None:
    bus = CommandBus()
    with pytest.raises(HandlersMissing):
        bus.build([Greet])
    bus.handles(Greet)(greet)
    bus.build([Greet])


async def test_after_build_nothing_is_registered() -> None:
    bus = CommandBus()
    handles_shout = bus.handles(Shout)
    bus.build()
    for late in (lambda: bus.handles(Greet)(greet), lambda: handles_shout(shout)):
        with pytest.raises(BusBuilt, match="must be registered before"):
            late()


# --- metadata -------------------------------------------------------------------------------------------------------


async def test_a_message_without_metadata_is_given_some_of_its_own() -> None:
    seen: list[Metadata] = []
    bus = CommandBus()

    @bus.handles(Shout)
    async def note(command: Shout, metadata: Metadata) -> int:
        seen.append(metadata)
        return 1

    await bus.execute(Shout())
    await bus.execute(Shout())
    given = Metadata.new(actor="ada")
    await bus.execute(Shout(), given)
    assert seen[0].message_id != seen[1].message_id
    assert seen[0].correlation_id == seen[0].message_id
    assert seen[0].causation_id is None
    assert seen[0].at.tzinfo is not None
    assert seen[2] is given


# --- middleware -----------------------------------------------------------------------------------------------------


class Noting:
    """Notes when it is passed, on the way in and on the way out."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    async def __call__(self, message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        self.notes.append(f"{self.name} in")
        try:
            return await call_next(message, metadata)
        finally:
            self.notes.append(f"{self.name} out")


async def test_the_first_middleware_is_the_outermost() -> None:
    notes: list[str] = []
    bus = CommandBus([Noting("first", notes), Noting("second", notes)])
    bus.handles(Greet)(greet)
    await bus.execute(Greet("Ada"))
    assert notes == ["first in", "second in", "second out", "first out"]


async def test_middleware_is_around_the_handlers_of_queries_too() -> None:
    notes: list[str] = []
    bus = QueryBus([Noting("first", notes)])
    bus.handles(WhoIs)(who_is)
    await bus.ask(WhoIs("Ada"))
    assert notes == ["first in", "first out"]


async def test_middleware_sees_an_error_pass_outwards() -> None:
    notes: list[str] = []
    bus = CommandBus([Noting("first", notes)])

    @bus.handles(Greet)
    async def refuse(command: Greet, metadata: Metadata) -> str:
        raise LookupError

    with pytest.raises(LookupError):
        await bus.execute(Greet("Ada"))
    assert notes == ["first in", "first out"]


async def test_middleware_can_refuse() -> None:
    async def nobody(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        raise PermissionError

    handled: list[object] = []
    bus = CommandBus([nobody])

    @bus.handles(Greet)
    async def note(command: Greet, metadata: Metadata) -> str:
        handled.append(command)
        return ""

    with pytest.raises(PermissionError):
        await bus.execute(Greet("Ada"))
    assert handled == []


async def test_middleware_can_change_the_message_and_its_metadata() -> None:
    async def as_guest(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        changed = replace(message, name="guest") if isinstance(message, Greet) else message
        return await call_next(changed, Metadata.new(actor="guest"))

    bus = CommandBus([as_guest])

    @bus.handles(Greet)
    async def both(command: Greet, metadata: Metadata) -> str:
        return f"{command.name} {metadata.actor}"

    assert await bus.execute(Greet("Ada")) == "guest guest"


async def test_middleware_can_call_again() -> None:
    async def twice(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        try:
            return await call_next(message, metadata)
        except ConnectionError:
            return await call_next(message, metadata)

    calls: list[int] = []
    bus = CommandBus([twice])

    @bus.handles(Shout)
    async def fail_once(command: Shout, metadata: Metadata) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError
        return len(calls)

    assert await bus.execute(Shout()) == 2


async def test_middleware_can_answer_from_what_it_knows() -> None:
    class Remembering:
        """Answers a message that was answered before, without asking its handler."""

        def __init__(self) -> None:
            self.answers: dict[object, Any] = {}

        async def __call__(self, message: object, metadata: Metadata, call_next: Next[R], /) -> R:
            if message not in self.answers:
                self.answers[message] = await call_next(message, metadata)
            answer: R = self.answers[message]
            return answer

    calls: list[int] = []
    bus = CommandBus([Remembering()])

    @bus.handles(Shout)
    async def count(command: Shout, metadata: Metadata) -> int:
        calls.append(1)
        return len(calls)

    assert [await bus.execute(Shout()), await bus.execute(Shout()), await bus.execute(Shout(2))] == [1, 1, 2]
