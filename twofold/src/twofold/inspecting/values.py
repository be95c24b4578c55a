"""Values of any type as JSON, their leaves by path, and what is too large to be shown cut short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

Path = tuple[str | int, ...]

LONGEST_TEXT = 2_000
"""Characters of a text that are shown in a list; the event by itself has all of them."""
MOST_ITEMS = 200
"""Items of an array, or members of an object, that are shown in a list."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def value_of(value: object) -> Any:
    """Any value as JSON has it: what msgspec can write, and the `repr` of what it cannot. Decimals stay exact."""
    return msgspec.to_builtins(value, builtin_types=(Decimal,), str_keys=True, enc_hook=repr, order="deterministic")


def json_of(data: bytes) -> Any:
    """A JSON text, its numbers exact. What is not JSON raises msgspec.DecodeError."""
    try:
        return _decode(data)
    except (UnicodeDecodeError, RecursionError, ArithmeticError, ValueError) as error:
        raise msgspec.DecodeError(str(error)) from None


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Each value that has no others in it, by its path; an empty object or array is one, too."""
    for step, member in _members(value):
        yield from leaves(member, (*path, step))
    if not _members(value):
        yield path, value


def _members(value: object) -> Sequence[tuple[str | int, Any]]:
    match value:
        case dict():
            return list(cast("dict[str, Any]", value).items())
        case list() | tuple():
            return list(enumerate(cast("Sequence[Any]", value)))
        case _:
            return ()


def same(one: object, other: object) -> bool:
    """Whether two leaves are the same JSON: true is not 1."""
    return type(one) is type(other) and one == other


def path_text(path: Path) -> str:
    """A path as people write it: `items[0].price`; a name that has other signs in it stands in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{msgspec.json.encode(step).decode()}]"
    return text


def brief(value: object) -> tuple[Any, bool]:
    """The value with long texts and long lists cut short, and whether anything was."""
    match value:
        case str():
            cut = len(value) > LONGEST_TEXT
            return (f"{value[:LONGEST_TEXT]}…" if cut else value), cut
        case dict():
            members = list(cast("Mapping[str, Any]", value).items())
            short = {brief(name)[0]: brief(member) for name, member in members[:MOST_ITEMS]}
            cut = len(members) > MOST_ITEMS or any(len(name) > LONGEST_TEXT for name, _ in members)
            return {name: member for name, (member, _) in short.items()}, cut or any(was for _, was in short.values())
        case list():
            items = cast("Sequence[Any]", value)
            shown = [brief(item) for item in items[:MOST_ITEMS]]
            return [item for item, _ in shown], len(items) > MOST_ITEMS or any(was for _, was in shown)
        case _:
            return value, False
