"""The middleware that is shipped: each keeps its word, alone and with the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from logging import DEBUG, ERROR, INFO
from uuid import uuid4

import pytest

from twofold import Command, CommandBus, Fault, Metadata, Middleware, Query, QueryBus, TwofoldError, ValidationFailed
from twofold.errors import TimedOut
from twofold.middleware import correlation, logging, timeout, validation


@dataclass(frozen=True)
class Register(Command[str]):
    name: str = "Ada"
    age: int = 36

    def faults(self) -> Sequence[Fault]:
        faults: list[Fault] = []
        if not self.name:
            faults.append(Fault("Name is required", "name", "required"))
        if self.age < 0:
            faults.append(Fault("Age must not be negative", "age", "minimum"))
        return faults


@dataclass(frozen=True)
class Inner(Command[None]):
    pass


@dataclass(frozen=True)
class Look(Query[str]):
    pass


def answering(*middleware: Middleware) -> CommandBus:
    bus = CommandBus(middleware)

    @bus.handles(Register)
    async def register(command: Register, metadata: Metadata) -> str:
        return command.name

    return bus


def raising(error: BaseException, *middleware: Middleware) -> CommandBus:
    bus = CommandBus(middleware)

    @bus.handles(Register)
    async def register(command: Register, metadata: Metadata) -> str:
        raise error

    return bus


# --- validation -----------------------------------------------------------------------------------------------------


async def test_all_faults_are_gathered_and_the_handler_is_not_asked() -> None:
    bus = raising(AssertionError("not to be asked"), validation)
    with pytest.raises(ValidationFailed, match="Name is required; Age must not be negative") as error:
        await bus.execute(Register("", -1))
    assert [(fault.path, fault.code) for fault in error.value.faults] == [("name", "required"), ("age", "minimum")]


async def test_a_message_without_faults_is_handled() -> None:
    assert await answering(validation).execute(Register("Ada")) == "Ada"


async def test_a_message_that_cannot_say_what_is_wrong_with_it_is_handled() -> None:
    bus = QueryBus([validation])

    @bus.handles(Look)
    async def look(query: Look, metadata: Metadata) -> str:
        return "nothing to see"

    assert await bus.ask(Look()) == "nothing to see"


# --- logging --------------------------------------------------------------------------------------------------------


class OutOfStock(TwofoldError):
    pass


@pytest.mark.parametrize(
    ("error", "level", "text"),
    [
        (None, DEBUG, "Register done"),
        (OutOfStock("secret"), INFO, "Register refused (OutOfStock)"),
        (ZeroDivisionError("secret"), ERROR, "Register failed (ZeroDivisionError)"),
    ],
)
async def test_the_log_tells_name_ids_duration_and_outcome_and_no_content(
    caplog: pytest.LogCaptureFixture, error: Exception | None, level: int, text: str
) -> None:
    caplog.set_level(DEBUG, logger="twofold.messages")
    metadata = Metadata.new(actor="secret")
    bus = answering(logging) if error is None else raising(error, logging)
    with nullcontext() if error is None else pytest.raises(type(error)):
        assert await bus.execute(Register("secret"), metadata) == "secret"
    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (level, text)
    assert line.__dict__["message_id"] == str(metadata.message_id)
    assert line.__dict__["correlation_id"] == str(metadata.correlation_id)
    assert line.__dict__["milliseconds"] >= 0
    assert "secret" not in str(line.__dict__)
    assert "secret" not in caplog.text


# --- correlation ----------------------------------------------------------------------------------------------------


def nesting(inner: Metadata | None = None) -> tuple[CommandBus, list[Metadata]]:
    """A bus on which each Register sends an Inner, and the metadata that the handlers are given, Register's first."""
    seen: list[Metadata] = []
    bus = CommandBus([correlation])

    @bus.handles(Register)
    async def register(command: Register, metadata: Metadata) -> str:
        seen.append(metadata)
        await asyncio.sleep(0)
        await bus.execute(Inner(), inner)
        return command.name

    @bus.handles(Inner)
    async def note(command: Inner, metadata: Metadata) -> None:
        seen.append(metadata)

    return bus, seen


async def test_a_nested_message_has_the_correlation_the_cause_and_the_actor_of_the_outer() -> None:
    bus, seen = nesting()
    await bus.execute(Register(), Metadata.new(actor="ada"))
    outer, inner = seen
    assert inner.correlation_id == outer.correlation_id
    assert inner.causation_id == outer.message_id
    assert inner.message_id != outer.message_id
    assert (outer.causation_id, outer.actor, inner.actor) == (None, "ada", "ada")


async def test_a_nested_message_keeps_what_it_says_of_itself() -> None:
    said = Metadata.new(actor="grace").caused()
    bus, seen = nesting(said)
    await bus.execute(Register(), Metadata.new(actor="ada"))
    assert seen[1] == said


async def test_a_message_that_is_passed_on_under_its_own_metadata_is_no_cause_of_itself() -> None:
    metadata = Metadata.new()
    bus, seen = nesting(metadata)
    await bus.execute(Register(), metadata)
    assert seen == [metadata, metadata]


async def test_messages_one_after_the_other_have_nothing_to_do_with_each_other() -> None:
    bus, seen = nesting()
    await bus.execute(Register())
    await bus.execute(Inner())
    assert seen[2].correlation_id not in (seen[0].correlation_id, seen[1].correlation_id)
    assert seen[2].causation_id is None


async def test_after_an_error_the_next_message_has_no_cause() -> None:
    bus = raising(ZeroDivisionError(), correlation)
    with pytest.raises(ZeroDivisionError):
        await bus.execute(Register())
    nested, seen = nesting()
    await nested.execute(Register())
    assert seen[0].causation_id is None


async def test_messages_at_the_same_time_do_not_mix() -> None:
    bus, seen = nesting()
    ids = [uuid4() for _ in range(20)]
    await asyncio.gather(*(bus.execute(Register(), Metadata.new(correlation_id=id)) for id in ids))
    outers = {metadata.message_id: metadata for metadata in seen if metadata.causation_id is None}
    inners = [metadata for metadata in seen if metadata.causation_id is not None]
    assert {metadata.correlation_id for metadata in inners} == set(ids)
    for metadata in inners:
        assert metadata.causation_id is not None
        assert outers[metadata.causation_id].correlation_id == metadata.correlation_id


async def test_correlation_goes_from_a_command_to_its_queries() -> None:
    seen: list[Metadata] = []
    commands, queries = CommandBus([correlation]), QueryBus([correlation])

    @commands.handles(Register)
    async def register(command: Register, metadata: Metadata) -> str:
        return await queries.ask(Look())

    @queries.handles(Look)
    async def look(query: Look, metadata: Metadata) -> str:
        seen.append(metadata)
        return ""

    metadata = Metadata.new()
    await commands.execute(Register(), metadata)
    assert (seen[0].correlation_id, seen[0].causation_id) == (metadata.correlation_id, metadata.message_id)


# --- time-out -------------------------------------------------------------------------------------------------------


async def test_a_message_that_takes_too_long_is_given_up() -> None:
    cancelled: list[bool] = []
    bus = CommandBus([timeout(0.01)])

    @bus.handles(Register)
    async def sleep(command: Register, metadata: Metadata) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return ""

    with pytest.raises(TimedOut, match=r"Register was not answered within 0\.01 s") as error:
        await bus.execute(Register())
    assert (error.value.message, error.value.seconds, cancelled) == (Register, 0.01, [True])


async def test_a_message_in_time_is_answered() -> None:
    assert await answering(timeout(60)).execute(Register()) == "Ada"


async def test_the_handlers_own_timeout_is_its_own() -> None:
    own = TimeoutError("the payment service")
    with pytest.raises(TimeoutError, match="the payment service") as error:
        await raising(own, timeout(60)).execute(Register())
    assert error.value is own


async def test_who_asked_and_is_cancelled_is_cancelled_and_not_told_of_a_timeout() -> None:
    bus = CommandBus([timeout(60)])

    @bus.handles(Register)
    async def sleep(command: Register, metadata: Metadata) -> str:
        await asyncio.sleep(60)
        return ""

    asking = asyncio.create_task(bus.execute(Register()))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


# --- all together ---------------------------------------------------------------------------------------------------


async def test_all_of_them_stand_around_one_handler(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(DEBUG, logger="twofold.messages")
    bus = answering(correlation, logging, timeout(60), validation)
    assert await bus.execute(Register("Ada")) == "Ada"
    with pytest.raises(ValidationFailed):
        await bus.execute(Register(""))
    assert [line.getMessage() for line in caplog.records] == ["Register done", "Register refused (ValidationFailed)"]
