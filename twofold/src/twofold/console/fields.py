"""JSON values field by field, so that two of them can be shown beside each other with what differs marked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import msgspec

MOST = 2_000  # fields of a value that are told apart
_decode = msgspec.json.Decoder(float_hook=str).decode


class Field(NamedTuple):
    """A field in two values: its path, and its text in each; None where it is not there."""

    path: str
    before: str | None
    after: str | None

    @property
    def changed(self) -> bool:
        """Whether the two differ."""
        return self.before != self.after


def compared(before: object, after: object) -> list[Field]:
    """The fields of two values, in the order of the second; those that only the first has at the end."""
    old, new = dict(_flat(before)), dict(_flat(after))
    paths = dict.fromkeys([*new, *old])
    return [Field(path, old.get(path), new.get(path)) for path in list(paths)[:MOST]]


def parsed(content: bytes | None) -> object:
    """The JSON that bytes hold; what is none as text."""
    if content is None:
        return None
    try:
        return _decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
        return content.decode(errors="replace")


def _flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a value by their paths; nothing for no value at all."""
    if isinstance(value, dict) and value:
        for name, member in cast("dict[str, object]", value).items():
            yield from _flat(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for number, item in enumerate(cast("list[object]", value)):
            yield from _flat(item, f"{path}[{number}]")
    elif value is not None or path:
        yield path or "value", "null" if value is None else _text(value)


def _text(value: Any) -> str:
    """A leaf as it is shown: text without its quotes, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
