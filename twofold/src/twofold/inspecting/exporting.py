"""A stream as a given/when/then test: Python that runs as it stands, to be kept beside the other tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import isfinite
from types import FunctionType
from typing import Any, cast
from uuid import UUID

import msgspec

from twofold.decider import Decider
from twofold.errors import ExportRefused
from twofold.inspecting.history import decider_of, fold
from twofold.inspecting.inspection import Decoded, Inspection, decoded
from twofold.inspecting.trying import command_of

EXPORTED = 200
"""The most events of a stream that are written as a test."""
_PLAIN = (bool, int, str, bytes, type(None))


async def export(
    inspection: Inspection,
    stream: str,
    *,
    version: int | None = None,
    command: tuple[str, Mapping[str, Any]] | None = None,
) -> str:
    """The source of a test: given the events up to a version, when the command is said, then what it leads to.

    Without a command it ends with the state. Personal fields are in it: it is for those who may see them. Raises
    ExportRefused, ModelMissing, CommandUnknown, CommandInvalid.
    """
    deciding = decider_of(inspection, stream)
    if deciding is None:
        raise ExportRefused(stream, "the code that decides about it is not known here")
    events, trouble = await decoded(inspection, stream, until=version)
    if trouble is not None:
        raise ExportRefused(stream, trouble)
    if not events:
        raise ExportRefused(stream, "there is nothing in it")
    if len(events) > EXPORTED:
        raise ExportRefused(stream, f"it has more than {EXPORTED} events; ask for an earlier version")
    decider = deciding.category.decider
    source = _Source(stream)
    named = source.named(decider, decider.decide, decider.evolve, deciding.category.id_of)
    given = [event.data for event in events]
    if command is None:
        (_, state), trouble = fold(inspection, deciding, Decoded(events, None))
        if trouble is not None:
            raise ExportRefused(stream, trouble)
        steps: list[tuple[str, Sequence[Any]]] = [("then_state", [state])]
    else:
        name, members = command
        _, said = command_of(inspection, name, members)
        steps = [("when", [said]), _outcome(decider, given, said)]
    return source.written(events[-1].version, named, [("given", given), *steps])


def _outcome(decider: Decider[Any, Any, Any], given: Sequence[Any], command: object) -> tuple[str, Sequence[Any]]:
    try:
        return "then", tuple(decider.decide(command, decider.fold(given)))
    except Exception as refusal:  # the domain's own error is what the test expects
        return "then_raises", [type(refusal)]


class _Source:
    """Values as Python, and the imports that they need."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._imports: dict[str, set[str]] = {"twofold.testing.scenario": {"Scenario"}}

    def written(self, version: int, decider: str, steps: Sequence[tuple[str, Sequence[Any]]]) -> str:
        """The whole file."""
        lines = [f"        Scenario({decider})"]
        for name, values in steps:
            lines.append(f"        .{name}(" + (")" if not values else ""))
            lines += [f"            {self.literal(value)}," for value in values]
            lines += ["        )"] if values else []
        modules = sorted(self._imports.items())
        imports = [f"from {module} import {', '.join(sorted(names))}" for module, names in modules]
        function = re.sub(r"\W+", "_", self._stream.lower(), flags=re.ASCII).strip("_") or "stream"
        title = f"What happened to a thing, as its stream had it at version {version}."
        return "\n".join(
            [
                f'"""{title}"""',
                "",
                *imports,
                "",
                "",
                f"def test_{function}_{version}() -> None:",
                "    (",
                *lines,
                "    )",
                "",
            ]
        )

    def named(self, decider: Decider[Any, Any, Any], *functions: object) -> str:
        """The decider by the name that it has in the module of one of its functions."""
        for function in functions:
            module = sys.modules.get(function.__module__) if isinstance(function, FunctionType) else None
            for name, value in vars(module).items() if module is not None else ():
                if value is decider:
                    return self._import(cast("FunctionType", function).__module__, name)
                if getattr(value, "decider", None) is decider:
                    return f"{self._import(cast('FunctionType', function).__module__, name)}.decider"
        raise ExportRefused(self._stream, "its decider has no name in the module of its functions")

    def literal(self, value: object) -> str:
        """The value as an expression."""
        match value:
            case Enum():
                return f"{self._type(type(value))}.{value.name}"
            case _ if type(value) in _PLAIN:
                return repr(value)
            case float():
                return repr(value) if isfinite(value) else f'float("{value}")'
            case Decimal() | UUID():
                return f'{self._type(type(value))}("{value}")'
            case datetime() | date() | time() | timedelta() | timezone():
                self._import("datetime", "datetime")
                return self._time(value)
            case type():
                return self._type(value)
            case _ if isinstance(value, msgspec.Struct):
                members = [(name, getattr(value, name)) for name in value.__struct_fields__]
                return self._made(type(value), members)
            case _ if is_dataclass(value):
                members = [(field.name, getattr(value, field.name)) for field in fields(value) if field.init]
                return self._made(type(value), members)
            case _:
                return self._collection(value)

    def _collection(self, value: object) -> str:
        match value:
            case dict():
                members = cast("dict[object, object]", value).items()
                return f"{{{', '.join(f'{self.literal(key)}: {self.literal(member)}' for key, member in members)}}}"
            case tuple():
                items = [self.literal(item) for item in cast("tuple[object, ...]", value)]
                return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
            case list():
                return f"[{', '.join(self.literal(item) for item in cast('list[object]', value))}]"
            case set() | frozenset():
                items = sorted(self.literal(item) for item in cast("frozenset[object]", value))
                name = "set" if isinstance(value, set) else "frozenset"
                return f"{name}([{', '.join(items)}])"
            case _:
                raise ExportRefused(self._stream, f"a {type(value).__qualname__} cannot be written as Python")

    def _time(self, value: object) -> str:
        """A time, by the names in the module that its `repr` gives it."""
        text = repr(value)
        for name in ("datetime", "date", "time", "timedelta", "timezone"):
            if f"datetime.{name}" in text:
                self._imports["datetime"].add(name)
        if isinstance(value, datetime | time) and value.tzinfo is not None:
            offset = value.utcoffset() or timedelta()
            self._imports["datetime"] |= {"timedelta", "timezone"}
            text = repr(value.replace(tzinfo=timezone(offset)))
        return re.sub(r"\bdatetime\.(datetime|date|time|timedelta|timezone)\b", r"\1", text)

    def _made(self, kind: type, members: Sequence[tuple[str, object]]) -> str:
        return f"{self._type(kind)}({', '.join(f'{name}={self.literal(member)}' for name, member in members)})"

    def _type(self, kind: type) -> str:
        if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
            raise ExportRefused(self._stream, f"{kind.__qualname__} cannot be imported")
        outer, *inner = kind.__qualname__.split(".")
        return ".".join((outer if kind.__module__ == "builtins" else self._import(kind.__module__, outer), *inner))

    def _import(self, module: str, name: str) -> str:
        taken = {known for names in (n for m, n in self._imports.items() if m != module) for known in names}
        if name in taken:
            raise ExportRefused(self._stream, f"two modules have a {name}")
        self._imports.setdefault(module, set()).add(name)
        return name
