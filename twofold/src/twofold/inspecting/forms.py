"""A form for each command, made from its type: what can be filled in, and how the texts of a form become its fields."""

from __future__ import annotations

import inspect as python
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from twofold.errors import CommandInvalid
from twofold.inspecting.inspection import Inspection
from twofold.inspecting.personal import is_personal
from twofold.inspecting.values import json_of, value_of


class FieldKind(StrEnum):
    """What is filled into a field; `json` is for what has parts."""

    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    CHOICE = "choice"
    TRUTH = "truth"
    TIME = "time"
    JSON = "json"


class FormField(Struct, frozen=True, kw_only=True, rename="camel"):
    """A field of a command. One that is not required may be left empty, and then has its default."""

    name: str
    kind: FieldKind
    required: bool
    default: Any
    choices: Sequence[Any]
    personal: bool


class CommandForm(Struct, frozen=True, kw_only=True, rename="camel"):
    """A command that can be sent: its category, what it means, its fields, and the JSON Schema of all of it."""

    command: str
    category: str
    summary: str
    fields: Sequence[FormField]
    schema: Any


def forms(inspection: Inspection) -> list[CommandForm]:
    """A form for each command of the model; none without a model."""
    deciding = inspection.model.deciding if inspection.model is not None else ()
    return [_form(each.category.name, command) for each in deciding for command in each.commands]


def _form(category: str, command: type) -> CommandForm:
    try:
        described: Any = inspect.type_info(command)
        schema: Any = msgspec.json.schema(command)
    except (TypeError, NameError):  # a type of which msgspec knows nothing: it can only be written as JSON
        described, schema = None, None
    fields = [_field(field) for field in getattr(described, "fields", ())]
    summary = (python.getdoc(command) or "").partition("\n\n")[0].replace("\n", " ")
    return CommandForm(command=command.__name__, category=category, summary=summary, fields=fields, schema=schema)


def _field(field: inspect.Field) -> FormField:
    kind, choices, personal = _kind(field.type)
    default = None if field.default is NODEFAULT else value_of(field.default)
    return FormField(
        name=field.encode_name, kind=kind, required=field.required, default=default, choices=choices, personal=personal
    )


def _kind(kind: inspect.Type) -> tuple[FieldKind, Sequence[Any], bool]:
    """What is filled in for a type, the values that there are to choose from, and whether it is personal."""
    match kind:
        case inspect.Metadata():
            found, choices, personal = _kind(kind.type)
            return found, choices, personal or is_personal(kind)
        case inspect.UnionType(types=kinds):
            others = [each for each in kinds if not isinstance(each, inspect.NoneType)]
            return _kind(others[0]) if len(others) == 1 else (FieldKind.JSON, (), False)
        case inspect.EnumType(cls=cls):
            return FieldKind.CHOICE, [each.value for each in cls], False
        case inspect.LiteralType(values=values):
            return FieldKind.CHOICE, list(values), False
        case inspect.StrType() | inspect.UUIDType():
            return FieldKind.TEXT, (), False
        case inspect.IntType():
            return FieldKind.WHOLE, (), False
        case inspect.DecimalType() | inspect.FloatType():
            return FieldKind.NUMBER, (), False
        case inspect.BoolType():
            return FieldKind.TRUTH, (), False
        case inspect.DateTimeType() | inspect.DateType():
            return FieldKind.TIME, (), False
        case _:
            return FieldKind.JSON, (), False


def filled_in(form: CommandForm, texts: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a command as JSON has them, from the texts of a form. Raises CommandInvalid."""
    fields: dict[str, Any] = {}
    for field in form.fields:
        text = texts.get(field.name, "")
        if text == "" and not (field.required and field.kind is FieldKind.TEXT):
            if field.required and field.kind is not FieldKind.TRUTH:
                raise CommandInvalid(form.command, f"{field.name} is missing")
            if field.kind is FieldKind.TRUTH:
                fields[field.name] = False
            continue
        fields[field.name] = _read(form, field, text)
    return fields


def _read(form: CommandForm, field: FormField, text: str) -> Any:
    match field.kind:
        case FieldKind.WHOLE:
            if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):
                raise CommandInvalid(form.command, f"{field.name} must be a whole number")
            return int(text)
        case FieldKind.NUMBER | FieldKind.JSON:
            try:
                return json_of(text.encode())
            except (msgspec.DecodeError, UnicodeEncodeError):
                if field.kind is FieldKind.JSON and _takes_text(form, field):
                    return text
                kind = "a number" if field.kind is FieldKind.NUMBER else "JSON"
                raise CommandInvalid(form.command, f"{field.name} must be {kind}") from None
        case FieldKind.TRUTH:
            return text.lower() in ("true", "on", "yes", "1")
        case FieldKind.CHOICE:
            return next((choice for choice in field.choices if str(choice) == text), text)
        case _:
            return text


def _takes_text(form: CommandForm, field: FormField) -> bool:
    """Whether a field that may be many things may be a text."""
    schema = msgspec.json.encode(form.schema)
    members = msgspec.json.decode(schema).get("$defs", {}).get(form.command, {}).get("properties", {})
    return any(each.get("type") == "string" for each in members.get(field.name, {}).get("anyOf", ()))
