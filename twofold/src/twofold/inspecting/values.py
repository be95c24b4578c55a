"""Values of any type as JSON, their leaves by path, and what is too large to be shown cut short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, cast

import msgspec

Path = tuple[str | int, ...]

LONGEST_TEXT = 2_000
"""Characters of a text that are shown in a list; the event by itself has all of them."""
MOST_ITEMS = 200
"""Items of an array, or members of an object, that are shown in a list."""
DEEPEST = 100
"""Levels of arrays and objects that are taken apart: who walks through them is a function that calls itself."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def value_of(value: object) -> Any:
    """Any value as JSON has it: what msgspec can write, and the `repr` of what it cannot. Decimals stay exact.

    A state need not be JSON: its keys become texts, whatever they are, and its sets are put in an order.
    """
    try:
        return msgspec.to_builtins(value, builtin_types=(Decimal,), str_keys=True, enc_hook=repr, order="deterministic")
    except TypeError:  # a key that is no text or number, or a set of what has no order
        return _of_parts(value)


def _of_parts(value: object) -> Any:
    match value:
        case dict():
            return {_name(key): value_of(member) for key, member in cast("dict[object, object]", value).items()}
        case list() | tuple():
            return [value_of(item) for item in cast("Sequence[object]", value)]
        case set() | frozenset():
            return sorted((value_of(item) for item in cast("frozenset[object]", value)), key=msgspec.json.encode)
        case msgspec.Struct():
            names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
            return {name: value_of(getattr(value, field)) for name, field in names}
        case _ if is_dataclass(value):
            return {field.name: value_of(getattr(value, field.name)) for field in fields(value)}
        case _:
            return repr(value)


def _name(key: object) -> str:
    """A key as the text that names a member."""
    plain = value_of(key)
    return str(plain) if isinstance(plain, str | Decimal) else msgspec.json.encode(plain).decode()


def json_of(data: bytes) -> Any:
    """A JSON text, its numbers exact. What is not JSON, or nested deeper than `DEEPEST`, raises msgspec.DecodeError."""
    try:
        value = _decode(data)
    except (UnicodeDecodeError, RecursionError, ArithmeticError, ValueError) as error:
        raise msgspec.DecodeError(str(error)) from None
    if data.count(b"[") + data.count(b"{") > DEEPEST and _is_too_deep(value):
        raise msgspec.DecodeError(f"it is nested more than {DEEPEST} levels deep")
    return value


def _is_too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [member for each in level for _, member in _members(each) if isinstance(member, dict | list)]
    return bool(level)


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
