"""Looking into a log whose application cannot cope with it: whatever its code raises, all else is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest

from twofold import Category, Codec, Decider, Metadata, NewEvent, Projection, Recorded, Source
from twofold.errors import ExportRefused
from twofold.inspecting.changes import difference, explain
from twofold.inspecting.context import in_context
from twofold.inspecting.exporting import export
from twofold.inspecting.finding import find
from twofold.inspecting.history import history, state_at
from twofold.inspecting.inspection import Inspection
from twofold.inspecting.personal import MASK
from twofold.inspecting.rows import rows
from twofold.inspecting.streams import recent
from twofold.inspecting.values import value_of
from twofold.messages import new_id
from twofold.model import Deciding, Model
from twofold.store import Store
from twofold.stores.memory import MemoryStore
from twofold.table_view import TableView
from twofold.views import Views


@dataclass(frozen=True)
class Moved:
    place: str


Board = dict[tuple[int, int], frozenset["Piece"]]


@dataclass(frozen=True)
class Piece:
    name: str
    worth: Decimal


def evolve(board: Board, event: Moved) -> Board:
    """A state as a domain may well have it: no JSON has such keys, and nobody said how pieces are sorted."""
    column, row = event.place.split(",")
    pieces = frozenset(Piece(name, Decimal(9)) for name in ("queen", "king"))
    return {**board, (int(column), int(row)): pieces}


class Row(msgspec.Struct, frozen=True):
    moves: int


class Places(Projection[Moved, Row]):
    name = "places"
    view = Row

    def key(self, recorded: Recorded[Moved], /) -> str:
        return recorded.data.place.split(",")[1]

    def evolve(self, view: Row | None, recorded: Recorded[Moved], /) -> Row:
        return Row(1 if view is None else view.moves + 1)


def decide(_command: object, _board: Board) -> Sequence[Moved]:
    return []


def id_of(command: Any) -> str:
    return str(command)


codec: Codec[Moved] = Codec({"Moved": Moved})
category: Category[object, Board, Moved] = Category("game", Decider(decide, evolve, {}), codec, id_of)
view = TableView(Places(), Source(frozenset({"game"}), codec))
MODEL = Model("chess", [Deciding(category, [])], [view])


async def played(store: Store, *places: str) -> Inspection:
    await store.append("game-1", [codec.encode(Moved(place), Metadata.new()) for place in places], expected=0)
    return Inspection(store, MODEL, Views(store, [view]))


async def test_a_state_that_is_no_json_is_shown_in_one_order() -> None:
    async with MemoryStore() as store:
        inspection = await played(store, "1,2", "3,4")
        pieces = [{"name": "king", "worth": Decimal(9)}, {"name": "queen", "worth": Decimal(9)}]
        assert (await state_at(inspection, "game-1")).state == {"[1,2]": pieces, "[3,4]": pieces}
        changes = (await difference(inspection, "game-1", 1, 2)).changes
        assert {change.path.partition("]")[0] for change in changes} == {'["[3,4'}
        explained = await explain(inspection, "game-1")
        assert {field.set_by.version for field in explained.fields if field.set_by is not None} == {1, 2}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({None: 1, True: 2, Decimal("1.50"): 3, (1, "a"): 4}, {"null": 1, "true": 2, "1.50": 3, '[1,"a"]': 4}),
        ([frozenset({1, "a", None})], [["a", 1, None]]),
        ({Piece("king", Decimal(9)): 1}, {'{"name":"king","worth":"9"}': 1}),
        ((Row(1), {Row(2): {3}}), [{"moves": 1}, {'{"moves":2}': [3]}]),
        ({(1,): 1j}, {"[1]": "1j"}),
    ],
)
def test_any_value_is_shown(value: object, shown: object) -> None:
    assert value_of(value) == shown


async def test_a_view_that_cannot_place_an_event_hides_nothing() -> None:
    async with MemoryStore() as store:
        inspection = await played(store, "1,2", "nowhere")
        event = await in_context(inspection, position=2)
        assert event is not None
        assert [took.keys for took in event.took] == [()]
        assert [row.key for row in (await explain(inspection, "game-1", 2)).rows] == ["2"]


async def test_the_rows_of_a_view_that_was_never_built_hide_nothing() -> None:
    async with MemoryStore() as store:
        inspection = await played(store, "1,2")
        assert [hit.stream for hit in await find(inspection, "game-1")] == ["game-1"]
        (row,) = await rows(inspection, "game-1")
        assert (row.stored, row.folded) == (None, {"moves": 1})
        assert row.trouble is not None


async def test_what_cannot_be_folded_is_not_exported() -> None:
    async with MemoryStore() as store:
        inspection = await played(store, "1,2", "nowhere")
        with pytest.raises(ExportRefused, match="version 2 stops the fold"):
            await export(inspection, "game-1")


@pytest.mark.parametrize("depth", [90, 101, 500, 900])
async def test_an_event_that_is_nested_too_deep_is_shown_as_text(depth: int) -> None:
    data = b"[" * depth + b"]" * depth
    async with MemoryStore() as store:
        event = NewEvent(id=new_id(), type="Deep", schema=1, data=data, metadata=Metadata.new())
        await store.append("cave-1", [event], expected=0)
        inspection = Inspection(store)
        for (shown,) in ((await history(inspection, "cave-1")).events, (await recent(inspection)).events):
            assert (shown.trouble is None) == (depth <= 100)
            assert isinstance(shown.data, str) == (depth > 100)


Name = Annotated[str, msgspec.Meta(extra={"personal": True})]


class Person(msgspec.Struct, frozen=True):
    age: int
    name: Name


class Listed(msgspec.Struct, frozen=True, array_like=True):
    age: int
    name: Name


class Tagged(msgspec.Struct, frozen=True, array_like=True, tag=True):
    age: int
    name: Name


class Paired(NamedTuple):
    age: int
    name: Name


class Known(msgspec.Struct, frozen=True):
    age: int
    anything: Any
    bare: list[Any]
    people: tuple[Paired, ...]
    owner: tuple[int, Name]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Listed(7, "Ada"), [7, MASK]),
        (Tagged(7, "Ada"), ["Tagged", 7, MASK]),
        (Paired(7, "Ada"), [7, MASK]),
        ([Person(7, "Ada")], [MASK]),
        ({"ada": Person(7, "Ada")}, {"ada": MASK}),
        (frozenset({Person(7, "Ada")}), [MASK]),
        (
            Known(7, Person(7, "Ada"), [Paired(7, "Ada")], (Paired(7, "Ada"),), (7, "Ada")),
            {"age": 7, "anything": MASK, "bare": [MASK], "people": [[7, MASK]], "owner": [7, MASK]},
        ),
        (Person(7, "Ada"), {"age": 7, "name": MASK}),
    ],
)
async def test_what_is_personal_is_masked_in_a_state_of_any_kind(value: object, shown: object) -> None:
    def become(_state: object, _event: Moved) -> object:
        return value

    deciding = Category[object, object, Moved]("game", Decider(nothing, become, None), codec, id_of)
    async with MemoryStore() as store:
        await played(store, "1,2")
        masked = Inspection(store, Model("chess", [Deciding(deciding, [])]), personal=False)
        assert (await state_at(masked, "game-1")).state == shown
        answers = [await explain(masked, "game-1"), await difference(masked, "game-1", 0, 1)]
        assert "Ada" not in msgspec.json.encode(answers).decode()


def nothing(_command: object, _state: object) -> Sequence[Moved]:
    return []
