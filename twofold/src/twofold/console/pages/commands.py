"""Commands: a form from the type of each, tried before it is sent, sent under a key, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from twofold.console.logins import Role
from twofold.console.visits import Page, Visit
from twofold.errors import CommandUnknown, TwofoldError, ValidationFailed
from twofold.events import Receipt
from twofold.http.exchange import Response
from twofold.http.problems import Problem, problem_of
from twofold.http.requests import Parameters, fingerprint
from twofold.inspecting.forms import CommandForm, FieldKind, filled_in, forms
from twofold.inspecting.trying import Trial, command_of, try_command
from twofold.messages import Idempotency, Metadata

LONGEST_KEY = 255


def pages() -> Sequence[Page]:
    """The list, the form of each, and what is done with it."""
    return [
        Page("GET", "/commands", show_all),
        Page("GET", "/commands/form", show_form),
        Page("POST", "/commands/try", attempt, role=Role.PAYLOADS),
        Page("POST", "/commands/send", send, role=Role.OPERATE),
    ]


async def show_all(visit: Visit) -> Response:
    """GET /commands."""
    Parameters(visit.request, ()).check()
    return visit.page("commands.html", forms=forms(visit.inspection), known=visit.inspection.model is not None)


async def show_form(visit: Visit) -> Response:
    """GET /commands/form?command=&stream=: empty, or about the thing of a stream."""
    parameters = Parameters(visit.request, ("command", "stream"))
    form = _form(visit, parameters.text("command") or "")
    stream = parameters.text("stream") or ""
    parameters.check()
    texts = {field.name: _default(field.default) for field in form.fields}
    first = next((field for field in form.fields if field.required and field.kind is FieldKind.TEXT), None)
    if first is not None and stream.startswith(f"{form.category}-"):
        texts[first.name] = stream.removeprefix(f"{form.category}-")
    return await _page(visit, form, texts, key=str(uuid4()))


def _default(value: object) -> str:
    return "" if value is None else str(value)


def _form(visit: Visit, name: str) -> CommandForm:
    """The form of a command. Raises CommandUnknown."""
    every = forms(visit.inspection)
    for form in every:
        if form.command == name:
            return form
    raise CommandUnknown(name, [form.command for form in every])


def _texts(visit: Visit, form: CommandForm) -> dict[str, str]:
    """What was filled in."""
    return {field.name: visit.form.text(f"field-{field.name}") for field in form.fields}


async def attempt(visit: Visit) -> Response:
    """POST /commands/try: what the command would do; nothing is appended."""
    form = _form(visit, visit.form.text("command"))
    texts = _texts(visit, form)
    try:
        trial = await try_command(visit.inspection, form.command, filled_in(form, texts))
    except TwofoldError as error:
        return await _page(visit, form, texts, key=visit.form.text("key"), refused=_sentences(visit, error))
    return await _page(visit, form, texts, key=visit.form.text("key"), trial=trial)


async def send(visit: Visit) -> Response:
    """POST /commands/send: under the key of the form, so that sending it twice does it once."""
    form = _form(visit, visit.form.text("command"))
    texts, key = _texts(visit, form), visit.form.text("key")
    bus = visit.console.commands
    if bus is None:
        raise Problem(409, "commands-missing", "This process has no code that takes commands")
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Problem(400, "validation", f"Key must be 1 to {LONGEST_KEY} printable ASCII characters")
    try:
        fields = filled_in(form, texts)
        _, command = command_of(visit.inspection, form.command, fields)
        said = repr(sorted(texts.items())).encode()
        idempotency = Idempotency(key, fingerprint("COMMAND", form.command, said))
        known = await visit.console.views.store.recall(key)
        metadata = Metadata.new(actor=visit.who.name, idempotency=idempotency)
        receipt = known.answer(idempotency) if known is not None else await bus.execute(command, metadata)
    except TwofoldError as error:
        return await _page(visit, form, texts, key=key, refused=_sentences(visit, error))
    if not isinstance(receipt, Receipt):
        return await _page(visit, form, texts, key=key, answer=str(receipt))
    return await _page(visit, form, texts, key=key, receipt=receipt)


def _sentences(visit: Visit, error: TwofoldError) -> list[str]:
    """Why it was refused. An error that nobody has a sentence for is the service's own, and is raised."""
    if isinstance(error, ValidationFailed):
        return [fault.message for fault in error.faults]
    problem = problem_of(error, visit.console.explain)
    if problem.status >= 500:
        raise error
    return [problem.error]


async def _page(
    visit: Visit,
    form: CommandForm,
    texts: Mapping[str, str],
    *,
    key: str,
    trial: Trial | None = None,
    refused: Sequence[str] = (),
    receipt: Receipt | None = None,
    answer: str | None = None,
) -> Response:
    outcome: Mapping[str, Any] = {"trial": trial, "refused": refused, "receipt": receipt, "answer": answer}
    sends = visit.console.commands is not None
    return visit.page("command.html", form=form, texts=texts, key=key, sends=sends, **outcome)
