"""The console's answers as JSON, for programs: under /console/api, with the same roles as its pages.

Who may see, but not payloads, gets the same answers with what is personal masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID, uuid4

import msgspec
from msgspec import Meta, Struct

from twofold.auditing import actions
from twofold.bus import CommandBus
from twofold.console.access import Access, Visitor
from twofold.console.logins import Role
from twofold.errors import Fault, ModelMissing, ValidationFailed
from twofold.events import Receipt
from twofold.http.answers import encode, json_response
from twofold.http.exchange import Request, Response
from twofold.http.problems import Problem
from twofold.http.requests import Parameters, fingerprint, read_body, read_json, whole_number
from twofold.inspecting.changes import difference, explain
from twofold.inspecting.context import in_context
from twofold.inspecting.correlation import correlation
from twofold.inspecting.drawing import Drawing, drawing, mermaid
from twofold.inspecting.exporting import export
from twofold.inspecting.finding import Hit, find
from twofold.inspecting.forms import CommandForm, forms
from twofold.inspecting.history import history, state_at
from twofold.inspecting.inspection import Inspection
from twofold.inspecting.rows import ShownRow, rows
from twofold.inspecting.standing import standing
from twofold.inspecting.streams import categories, position_at, recent, streams
from twofold.inspecting.trying import command_of, try_command
from twofold.messages import Idempotency, Metadata
from twofold.store import LARGEST

S = TypeVar("S", bound=Struct)

PATH = "/console/api"
MAX_BODY = 1_048_576  # bytes
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

NO_NUL = "^[^\\x00]+$"
"""The pattern of what can name something in a store."""

Text = Annotated[str, Meta(min_length=1, max_length=500, pattern=NO_NUL)]
Version = Annotated[int, Meta(ge=0, le=LARGEST)]


# --- what is asked and answered ------------------------------------------------------------------------------------


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A command: its name, and its fields as JSON has them."""

    command: Text
    fields: Mapping[str, Any]


class Try(Asked, frozen=True):
    """A command that is to be tried, on its stream as it is now or was at a version."""

    version: Version | None = None


class SendCommand(Asked, frozen=True):
    """A command that is to be sent. The same key with the same command is the same request."""

    key: Annotated[str, Meta(min_length=1, max_length=255, pattern="^[ -~]+$")] | None = None


class Export(Struct, frozen=True, forbid_unknown_fields=True):
    """A stream that is to be written as a test, up to a version, with a command said then."""

    stream: Text
    version: Version | None = None
    command: Text | None = None
    fields: Mapping[str, Any] = {}


class Sent(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a command: its receipt where it has one, and the ids under which it is found."""

    command: str
    stream: str | None
    version: int | None
    position: int | None
    repeated: bool
    message_id: UUID
    key: str


class Categories(Struct, frozen=True):
    """The categories of streams that there are."""

    categories: Sequence[str]


class Rows(Struct, frozen=True):
    """The rows of views that a stream's events are in."""

    rows: Sequence[ShownRow]


class Found(Struct, frozen=True):
    """What a text was found to name."""

    hits: Sequence[Hit]


class Forms(Struct, frozen=True):
    """The commands that can be tried and sent."""

    commands: Sequence[CommandForm]


class Exported(Struct, frozen=True):
    """The source of a test, in Python."""

    source: str


class DrawnModel(Struct, frozen=True):
    """The model as a drawing, and as the text of a Mermaid flowchart."""

    drawing: Drawing
    mermaid: str


# --- the handlers --------------------------------------------------------------------------------------------------


class ConsoleApi:
    """The handlers, over a store and what is known of its application. Without `commands` none is sent."""

    def __init__(self, inspection: Inspection, access: Access, commands: CommandBus | None = None) -> None:
        self._inspection = inspection
        self._access = access
        self._commands = commands

    async def overview(self, request: Request) -> Response:
        """GET /console/api/overview."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        return _answer(await standing(inspection))

    async def categories(self, request: Request) -> Response:
        """GET /console/api/categories."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        return _answer(Categories(await categories(inspection)))

    async def streams(self, request: Request) -> Response:
        """GET /console/api/streams. With `at` those that were active last at that time or before."""
        inspection, parameters = await self._asked(request, "category", "before", "at", "limit")
        category, before, limit = _name(parameters, "category"), _before(parameters), _limit(parameters)
        at = parameters.read("at", "At", "a time, as in 2026-03-01T12:00:00Z", _time)
        parameters.check()
        if at is not None:
            reached = await position_at(inspection.store, at) + 1
            before = reached if before is None else min(before, reached)
        return _answer(await streams(inspection, category=category, before=before, limit=limit))

    async def events(self, request: Request) -> Response:
        """GET /console/api/events: the log from its end."""
        inspection, parameters = await self._asked(request, "before", "limit")
        before, limit = _before(parameters), _limit(parameters)
        parameters.check()
        return _answer(await recent(inspection, before=before, limit=limit))

    async def history(self, request: Request) -> Response:
        """GET /console/api/stream."""
        inspection, parameters = await self._asked(request, "name", "after", "limit")
        name, limit = _text(parameters, "name"), _limit(parameters)
        after = parameters.whole("after", "After", default=0, least=0, most=LARGEST)
        parameters.check()
        found = await history(inspection, name, after=after, limit=limit)
        if not found.version:
            raise Problem(404, "stream-unknown", "There is no such stream")
        return _answer(found)

    async def state(self, request: Request) -> Response:
        """GET /console/api/state."""
        inspection, parameters = await self._asked(request, "stream", "version")
        stream, version = _text(parameters, "stream"), _version(parameters, "version")
        parameters.check()
        return _answer(await state_at(inspection, stream, version))

    async def difference(self, request: Request) -> Response:
        """GET /console/api/diff."""
        inspection, parameters = await self._asked(request, "stream", "from", "to")
        stream, first, last = _text(parameters, "stream"), _version(parameters, "from"), _version(parameters, "to")
        parameters.check()
        if first is None or last is None:
            raise ValidationFailed([Fault("From and to must both be given", "from", "required")])
        return _answer(await difference(inspection, stream, first, last))

    async def explain(self, request: Request) -> Response:
        """GET /console/api/explain."""
        inspection, parameters = await self._asked(request, "stream", "version")
        stream, version = _text(parameters, "stream"), _version(parameters, "version")
        parameters.check()
        return _answer(await explain(inspection, stream, version))

    async def rows(self, request: Request) -> Response:
        """GET /console/api/rows."""
        inspection, parameters = await self._asked(request, "stream")
        stream = _text(parameters, "stream")
        parameters.check()
        return _answer(Rows(await rows(inspection, stream)))

    async def event(self, request: Request) -> Response:
        """GET /console/api/event, by its position or its id; by both, if they are of one event."""
        inspection, parameters = await self._asked(request, "position", "id")
        position = parameters.whole("position", "Position", default=None, least=1, most=LARGEST)
        id = parameters.read("id", "Id", "a UUID", _uuid)
        parameters.check()
        found = await in_context(inspection, position=position, id=id)
        if found is None or position not in (None, found.event.position):
            raise Problem(404, "event-unknown", "There is no such event")
        return _answer(found)

    async def correlation(self, request: Request) -> Response:
        """GET /console/api/correlation."""
        inspection, parameters = await self._asked(request, "id", "after", "limit")
        id, limit = parameters.read("id", "Id", "a UUID", _uuid), _limit(parameters)
        after = parameters.whole("after", "After", default=0, least=0, most=LARGEST)
        parameters.check()
        if id is None:
            raise ValidationFailed([Fault("Id is missing", "id", "required")])
        return _answer(await correlation(inspection, id, after=after, limit=limit))

    async def search(self, request: Request) -> Response:
        """GET /console/api/search."""
        inspection, parameters = await self._asked(request, "text")
        text = _text(parameters, "text")
        parameters.check()
        return _answer(Found(await find(inspection, text)))

    async def model(self, request: Request) -> Response:
        """GET /console/api/model."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        drawn = await drawing(inspection)
        return _answer(DrawnModel(drawn, mermaid(drawn)))

    async def audit(self, request: Request) -> Response:
        """GET /console/api/audit."""
        inspection, parameters = await self._asked(request, "before", "limit")
        before, limit = _before(parameters), _limit(parameters)
        parameters.check()
        return _answer(await actions(inspection.store, before=before, limit=limit, personal=inspection.personal))

    # --- commands ---------------------------------------------------------------------------------------------------

    async def commands(self, request: Request) -> Response:
        """GET /console/api/commands."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        return _answer(Forms(forms(inspection)))

    async def attempt(self, request: Request) -> Response:
        """POST /console/api/commands/try: nothing is appended, but a refusal may tell of what is personal."""
        _, inspection, asked = await self._body(request, Try, Role.PAYLOADS)
        return _answer(await try_command(inspection, asked.command, asked.fields, version=asked.version))

    async def send(self, request: Request) -> Response:
        """POST /console/api/commands/send. It is tried before: a refusal is told in the domain's words."""
        visitor, inspection, asked = await self._body(request, SendCommand, Role.OPERATE)
        return _answer(await self.sent(visitor, inspection, asked))

    async def sent(self, visitor: Visitor, inspection: Inspection, asked: SendCommand) -> Sent:
        """What became of a command that a visitor sends. Raises a Problem where the domain refuses it."""
        _, command = command_of(inspection, asked.command, asked.fields)
        if self._commands is None:
            raise ModelMissing
        key = asked.key or str(uuid4())
        idempotency = Idempotency(key, fingerprint("COMMAND", asked.command, repr(command).encode(errors="replace")))
        if await inspection.store.recall(key) is None:
            refusal = (await try_command(inspection, asked.command, asked.fields)).refusal
            if refusal is not None and refusal.faults:
                details = [fault.message for fault in refusal.faults]
                raise Problem(422, "command-invalid", "Validation failed", details=details, errors=refusal.faults)
            if refusal is not None:
                raise Problem(409, "command-refused", refusal.text, refusal=refusal.type)
        said = Metadata.new(actor=visitor.name, idempotency=idempotency)
        receipt: Any = await self._commands.execute(command, said)
        known = receipt if isinstance(receipt, Receipt) else None
        return Sent(
            command=asked.command,
            stream=None if known is None else known.stream,
            version=None if known is None else known.version,
            position=None if known is None else known.position,
            repeated=known is not None and known.repeated,
            message_id=said.message_id,
            key=key,
        )

    async def export(self, request: Request) -> Response:
        """POST /console/api/export: what is personal is in it, so it needs the role to see that."""
        _, inspection, asked = await self._body(request, Export, Role.PAYLOADS)
        command = None if asked.command is None else (asked.command, asked.fields)
        return _answer(Exported(await export(inspection, asked.stream, version=asked.version, command=command)))

    # --- what they share --------------------------------------------------------------------------------------------

    async def _asked(self, request: Request, *known: str) -> tuple[Inspection, Parameters]:
        """What a visitor looks into, and by which parameters. Raises a Problem for who may not see it."""
        visitor = await self._access.permit_program(request, Role.SEE)
        return self._seen_by(visitor), Parameters(request, known)

    async def _body(self, request: Request, kind: type[S], role: Role) -> tuple[Visitor, Inspection, S]:
        """Who asks for something, what it looks into, and what it asks. Raises a Problem, ValidationFailed."""
        body = await read_body(request, limit=MAX_BODY)
        visitor = await self._access.permit_program(request, role)
        Parameters(request, ()).check()
        read = read_json(request, body)
        if isinstance(read, dict):
            members = cast("dict[str, object]", read)
            read = {name: whole_number(value) for name, value in members.items()}
        try:
            return visitor, self._seen_by(visitor), msgspec.convert(read, kind)
        except msgspec.ValidationError as error:
            raise ValidationFailed([Fault(str(error), "", "type")]) from None

    def _seen_by(self, visitor: Visitor) -> Inspection:
        known = self._inspection
        return Inspection(known.store, known.model, known.views, personal=visitor.may(Role.PAYLOADS))


def _answer(answer: Struct) -> Response:
    return json_response(encode(answer), headers={"Cache-Control": "no-store"})


def _limit(parameters: Parameters) -> int:
    return parameters.whole("limit", "Limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)


def _before(parameters: Parameters) -> int | None:
    return parameters.whole("before", "Before", default=None, least=0, most=LARGEST)


def _version(parameters: Parameters, name: str) -> int | None:
    return parameters.whole(name, name.capitalize(), default=None, least=0, most=LARGEST)


def _name(parameters: Parameters, name: str) -> str | None:
    """A text that can name something in a store."""
    return parameters.read(name, name.capitalize(), "a text without NUL", lambda each: None if "\0" in each else each)


def _text(parameters: Parameters, name: str) -> str:
    """A text that must be there, and that can name something in a store."""
    found = _name(parameters, name)
    if parameters.text(name) is None:
        parameters.check()
        raise ValidationFailed([Fault(f"{name.capitalize()} is missing", name, "required")])
    return found or ""


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
