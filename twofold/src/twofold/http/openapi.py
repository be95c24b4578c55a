"""An OpenAPI 3.1 document, generated from the operations that are served and the types of their messages.

An operation is declared once: the router serves it and the document describes it, so the two cannot part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, cast

import msgspec

from twofold.http.application import Handler, Route
from twofold.http.problems import MEDIA_TYPE

JsonSchema = Mapping[str, Any]


class ProblemFault(msgspec.Struct, frozen=True):
    """One fault of a request that was not valid."""

    message: str
    path: str
    code: str


class ProblemDetails(msgspec.Struct, frozen=True):
    """RFC 9457 problem details; `error` says it in one sentence, `details` and `errors` list what was not valid."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    details: list[str] | msgspec.UnsetType = msgspec.UNSET
    errors: list[ProblemFault] | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation: where it stands (`path`, `query` or `header`), its schema, and what it means."""

    name: str
    where: str
    schema: JsonSchema
    description: str
    required: bool = False

    def described(self) -> dict[str, Any]:
        """The parameter as OpenAPI says it. One of a query that is empty is as good as left out."""
        return {
            "name": self.name,
            "in": self.where,
            "required": self.required or self.where == "path",
            **({"allowEmptyValue": True} if self.where == "query" and not self.required else {}),
            "schema": dict(self.schema),
            "description": self.description,
        }


@dataclass(frozen=True)
class Operation:
    """One method on one path: who handles it, what it takes, what it answers.

    `answers` gives the type of the JSON of each status, None for an answer without a body; `problems` the statuses of
    problem details. `body` is the type of the JSON body; `body_optional` lets it be left out.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answers: Mapping[int, Any]
    problems: Sequence[int] = ()
    parameters: Sequence[Parameter] = ()
    body: Any = None
    body_optional: bool = False
    headers: Mapping[int, Sequence[str]] = field(default_factory=dict[int, Sequence[str]])


def routes(operations: Sequence[Operation]) -> list[Route]:
    """A route for each operation."""
    return [Route(operation.method, operation.path, operation.handler) for operation in operations]


def document(
    title: str,
    version: str,
    description: str,
    operations: Sequence[Operation],
    own: Mapping[type, JsonSchema] = MappingProxyType({}),
) -> bytes:
    """The OpenAPI document as JSON. `own` gives the schemas of types that do not describe themselves."""
    types = [kind for operation in operations for kind in (operation.body, *operation.answers.values()) if kind]
    types.append(ProblemDetails)
    refs, components = msgspec.json.schema_components(
        types, schema_hook=lambda kind: dict(own[kind]), ref_template="#/components/schemas/{name}"
    )
    schemas = {str(kind): schema for kind, schema in zip(types, refs, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r":(path|int)}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, schemas)
    answer = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "paths": paths,
        "components": {"schemas": components},
    }
    return msgspec.json.encode(_decimals_as_numbers(answer))


def _described(operation: Operation, schemas: Mapping[str, JsonSchema]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],  # what pages list operations by
        "parameters": [parameter.described() for parameter in operation.parameters],
        "responses": {
            str(status): _answer(status, "application/json", schemas[str(kind)] if kind else None)
            for status, kind in operation.answers.items()
        },
    }
    for status, names in operation.headers.items():
        headers = {name: {"schema": {"type": "string"}, "required": True} for name in names}
        described["responses"][str(status)]["headers"] = headers
    for status in operation.problems:
        described["responses"][str(status)] = _answer(status, MEDIA_TYPE, schemas[str(ProblemDetails)])
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[str(operation.body)]}}
        described["requestBody"] = {"required": not operation.body_optional, "content": content}
    return described


def _answer(status: int, media_type: str, schema: JsonSchema | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        answer["content"] = {media_type: {"schema": schema}}
    return answer


def _decimals_as_numbers(value: object) -> object:
    """msgspec describes a decimal as text; here it is sent as a JSON number."""
    if isinstance(value, dict):
        members = {**cast("dict[str, object]", value)}
        if members.get("format") == "decimal":
            members.pop("format")
            members["type"] = "number" if members["type"] == "string" else members["type"]
        return {name: _decimals_as_numbers(member) for name, member in members.items()}
    if isinstance(value, list):
        return [_decimals_as_numbers(item) for item in cast("list[object]", value)]
    return value
