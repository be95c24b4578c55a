"""What operators do is recorded in the log, whoever does it and whatever comes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from kept_views import assert_equal_to_the_fold, small_views
from small_orders import OrderObject, counts, id_of, open_orders, order
from small_orders import codec as orders
from terminals import Terminal
from twofold import Category, Idempotency, Metadata, NewEvent, Receipt, Repository, Source, Store
from twofold.auditing import STREAM, Action, Actor, OperatorAsked, actions, codec, recorded
from twofold.connect import connect
from twofold.errors import ProjectionFailed, StoreBusy
from twofold.events import Recorded, category_of
from twofold.operating import Operator
from twofold.sql import Work
from twofold.stores.memory import MemoryStore
from twofold.testing.contract_base import attached, happened
from twofold.views import Views

ADA = Actor("ada", "console")


def told(action: Action) -> tuple[object, ...]:
    return (action.who, action.way, action.what, action.projection, action.position, action.reason)


async def test_an_action_is_recorded_with_who_what_why_and_what_came_of_it(store: Store) -> None:
    views = Views(store, subscribed=[open_orders()])
    await views.start()
    operator = Operator(views, ADA)
    found = await operator.find("open_orders")
    assert await operator.pause(found, " too slow \ud800") == 0
    await Operator(views, Actor("bob", "terminal")).resume(found)
    await operator.retry(found)
    page = await actions(store)
    assert page.before is None
    assert [told(each) for each in page.actions] == [
        ("ada", "console", "retry", "open_orders_v1", None, None),
        ("bob", "terminal", "resume", "open_orders_v1", None, None),
        ("ada", "console", "pause", "open_orders_v1", None, "too slow ?"),
    ]
    assert [(each.outcome, each.failed) for each in page.actions] == [
        ("0 folded, 0 left", False),
        ("", False),
        ("", False),
    ]
    assert all(each.at and each.ended and each.at <= each.ended for each in page.actions)


async def test_it_is_listed_at_a_terminal_the_last_action_first(terminal: Terminal, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with connect(url) as store:
        assert await terminal("audit", "--store", url) == (0, "Nobody has changed anything yet\n", "")
        async with recorded(store, ADA, "pause", projection="sales", reason="\x1b[31mtoo slow"):
            pass
        with pytest.raises(StoreBusy):
            async with recorded(store, ADA, "skip", projection="sales", sequence="[red]", position=7):
                raise StoreBusy("others write")
        async with recorded(store, Actor("bob", "api"), "retry", projection="sales") as outcome:
            outcome.text = "2 folded, 0 left"
            code, printed, _ = await terminal("audit", "--store", url, "--limit", "1")
            assert code == 0
            assert "going on, or broken off" in printed
            assert "There are earlier ones: --before" in printed
    code, printed, complained = await terminal("audit", "--store", url)
    assert (code, complained) == (0, "")
    heading, *rows = [line.split("  ") for line in printed.splitlines()]
    assert [cell for cell in map(str.strip, heading) if cell] == [
        *("When", "Who", "By", "What", "Of", "Why", "What came of it")
    ]
    assert [[cell for cell in map(str.strip, row) if cell][1:] for row in rows] == [
        ["bob", "api", "retry", "sales", "done: 2 folded, 0 left"],
        ["ada", "console", "skip", "sales [red] event 7", "failed: StoreBusy: others write"],
        ["ada", "console", "pause", "sales", "\N{REPLACEMENT CHARACTER}[31mtoo slow", "done"],
    ]
    _, printed, _ = await terminal("audit", "--store", url, "--json")
    assert [action["what"] for action in json.loads(printed)["actions"]] == ["retry", "skip", "pause"]
    assert json.loads(printed)["before"] is None


async def test_what_fails_is_recorded_as_failed(store: Store) -> None:
    with pytest.raises(StoreBusy):
        async with recorded(store, ADA, "promote", projection="sales"):
            raise StoreBusy("others write")
    with pytest.raises(asyncio.CancelledError):
        async with recorded(store, ADA, "build", projection="sales"):
            raise asyncio.CancelledError
    build, promote = (await actions(store)).actions
    assert (promote.outcome, promote.failed) == ("StoreBusy: others write", True)
    assert (build.outcome, build.failed) == ("CancelledError: ", True)
    told = (await actions(store, personal=False)).actions  # what an error quotes is not for everybody
    assert [each.outcome for each in told] == ["CancelledError", "StoreBusy"]


async def test_what_was_begun_and_never_ended_is_seen(store: Store) -> None:
    asked = OperatorAsked("rebuild", "terminal", "sales")
    await store.append(STREAM, [codec.encode(asked, Metadata.new(actor="ada"))], expected=None)
    (action,) = (await actions(store)).actions
    assert (action.what, action.outcome, action.ended) == ("rebuild", None, None)


async def test_actions_come_page_by_page_also_where_others_came_in_between(store: Store) -> None:
    async with recorded(store, ADA, "outer"):
        for number in range(12):
            async with recorded(store, ADA, f"action {number}"):
                pass
    whats: list[str] = []
    before: int | None = None
    while True:
        page = await actions(store, before=before, limit=3)
        assert len(page.actions) <= 3
        assert all(each.outcome == "" for each in page.actions)
        whats += [each.what for each in page.actions]
        before = page.before
        if before is None:
            break
    assert whats == [*(f"action {number}" for number in reversed(range(12))), "outer"]


async def test_an_inline_view_that_is_stuck_keeps_no_operator_from_acting(store: Store) -> None:
    def stuck(events: Sequence[Recorded[bytes]]) -> Work[None]:
        yield from ()
        raise ValueError("it cannot fold")

    await attached(store, "stuck", stuck)
    done = False
    async with recorded(store, ADA, "reset"):
        done = True
    assert done
    with pytest.raises(ProjectionFailed):
        await store.append("order-1", [happened()], expected=0)


class Full(MemoryStore):
    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        raise StoreBusy("no room")


async def test_what_cannot_be_recorded_is_not_done() -> None:
    done = False
    async with Full() as store:
        with pytest.raises(StoreBusy):
            async with recorded(store, ADA, "reset"):
                done = True
    assert not done


async def test_no_view_of_the_application_sees_it(store: Store) -> None:
    views = small_views(store)
    await views.start()
    async with recorded(store, ADA, "reset"):
        pass
    assert await store.head() == 2
    await assert_equal_to_the_fold(views, store)
    assert await views.scan(sa.select(counts)) == []


async def test_a_record_that_cannot_be_read_is_shown_as_one(store: Store) -> None:
    async with recorded(store, ADA, "reset"):
        pass
    await store.append(STREAM, [happened(type="Strange")], expected=None)
    strange, reset = (await actions(store)).actions
    assert strange.trouble is not None
    assert reset.what == "reset"


def test_no_application_has_the_category_of_the_record() -> None:
    """Its views would be given events of the record that its codec does not know, and stop there."""
    name = category_of(STREAM)
    with pytest.raises(ValueError, match="is taken"):
        Category(name, order, orders, id_of)
    with pytest.raises(ValueError, match="is taken"):
        Repository(name, OrderObject, orders)
    with pytest.raises(ValueError, match="is taken"):
        Source(frozenset({"order", name}), orders)
