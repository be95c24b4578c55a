"""Answers in JSON, and commands answered once for each idempotency key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from twofold.errors import Conflict, RequestRefused, TwofoldError
from twofold.events import Receipt
from twofold.http.exchange import Response
from twofold.http.problems import Explain, problem_of, stored_problem
from twofold.messages import Idempotency, Metadata
from twofold.store import IdempotencyStore

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Encodes an answer: decimals as JSON numbers, exactly as they are."""

REPLAYED = "Idempotent-Replayed"
"""The header that tells an answer of an earlier request: an import counts what was there already."""


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of encoded JSON."""
    return Response(body, status, headers, "application/json")


async def answer_once(
    store: IdempotencyStore,
    idempotency: Idempotency | None,
    execute: Callable[[Metadata], Awaitable[Receipt]],
    render: Callable[[Receipt], Awaitable[Response]],
    explain: Explain,
) -> Response:
    """Execute a command and render its receipt; with a key, the same request gets the same answer for ever.

    Receipts are kept in the transaction of the events. What the domain refuses is kept too: a refusal depends on the
    state, which moves on. A request that is not valid is not kept: it is as invalid tomorrow. Nor are conflicts and
    failures of the service: they are to be tried again.
    """
    if idempotency is None:
        return await render(await execute(Metadata.new()))

    async def answer(receipt: Receipt) -> Response:
        response = await render(receipt)
        if receipt.repeated:
            response.headers[REPLAYED] = "true"
        return response

    known = await store.recall(idempotency.key)
    try:
        receipt = known.answer(idempotency) if known else await execute(Metadata.new(idempotency=idempotency))
    except RequestRefused as refused:
        response = stored_problem(refused.refusal)
        response.headers[REPLAYED] = "true"
        return response
    except TwofoldError as error:
        problem = problem_of(error, explain)
        if problem.status not in (404, 409, 412) or isinstance(error, Conflict):
            raise
        kept = await store.refuse(idempotency, problem.body())
        return stored_problem(kept.refusal) if kept.refusal is not None else await answer(kept.answer(idempotency))
    return await answer(receipt)
