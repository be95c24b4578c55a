"""Read your own writes by HTTP: a token for each write, a wait for the views, and a word where an answer is stale.

Whoever knows nothing of tokens reads what it wrote all the same: the answer to a command waits, a bounded time, for
the application's views. `Prefer` (RFC 7240) sets another bound (`wait`), or refuses stale answers (`handling=strict`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from twofold.deadlines import Deadline
from twofold.errors import Fault, TwofoldError, ValidationFailed
from twofold.http.exchange import Request
from twofold.http.problems import Problem
from twofold.views import Views
from twofold.watermarks import Token, Watermarks

TOKEN = "Consistency-Token"  # noqa: S105 - the name of a header, no secret
CONSISTENCY = "Consistency"
LONGEST_WAIT = 30  # seconds, however many a client prefers
PATIENCE = 1.0  # seconds beyond a wait until a database that does not answer is given up

# Possessive (`++`): what was taken is not given back, so that no header takes more than one pass.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_VALUE = rf'(?:"((?:[^"\\]|\\.)*+)"|({_WORD}))'
_PREFERENCE = re.compile(rf"\s*+({_WORD})\s*+(?:=\s*+{_VALUE}\s*+)?+(?:;[^,]*+)?+(?:,|$)|[^,]*+(?:,|$)")


class Preferences(NamedTuple):
    """What of a request's `Prefer` counts here."""

    wait: int | None = None
    strict: bool = False


def read_preferences(request: Request) -> Preferences:
    """The request's preferences. One that cannot be read is ignored, as RFC 7240 says; of several the first counts."""
    wait: int | None = None
    handling: str | None = None
    lines = request.headers.lines("prefer")
    for name, value in _preferences(", ".join(lines)) if lines else ():
        if name == "wait" and wait is None and re.fullmatch("[0-9]{1,9}", value):
            wait = min(int(value), LONGEST_WAIT)
        elif name == "handling" and handling is None and value in ("strict", "lenient"):
            handling = value
    return Preferences(wait, handling == "strict")


def _preferences(header: str) -> Iterator[tuple[str, str]]:
    for found in _PREFERENCE.finditer(header):
        name, quoted, word = found.groups()
        if name is not None:
            yield name.lower(), (word if quoted is None else re.sub(r"\\(.)", r"\1", quoted)) or ""


class Consistency:
    """Waits for views as requests ask for it, and says in headers what came of it."""

    def __init__(self, views: Views, watermarks: Watermarks, seconds: float) -> None:
        """`seconds` is how long an answer waits for views unless the request prefers otherwise."""
        self._store = views.store
        self._subscribed = tuple(view.name for view in views.subscribed)
        self._watermarks = watermarks
        self._seconds = seconds

    async def written(self, request: Request, position: int) -> Mapping[str, str]:
        """The headers of the answer to a command: it has succeeded, whatever the views do."""
        headers = {TOKEN: Token(self._store.id, position).text()}
        if not self._subscribed and "prefer" not in request.headers:  # nothing to wait for, nothing to say of it
            return headers
        preferred = read_preferences(request)
        try:
            behind = await self._wait(self._subscribed, position, preferred)
        except (TwofoldError, TimeoutError):  # the database is in trouble now, but the command is done
            headers[CONSISTENCY] = "unknown"
        else:
            if behind:
                headers[CONSISTENCY] = _stale(behind)
        return {**headers, **_applied(preferred.wait)}

    async def reading(self, request: Request, *names: str) -> Mapping[str, str]:
        """Wait until these views have what the request's token stands for; the headers that say what came of it.

        Without a token nothing is waited for, nor looked at. Raises ValidationFailed for a token that is none, and a
        Problem (503) where only a stale answer could be given and the client refuses those.
        """
        tokens = request.headers.lines(_TOKEN)
        if not tokens:
            return {}
        token = Token.of(tokens[0].strip()) if len(tokens) == 1 else None
        if token is None:
            raise ValidationFailed([Fault(f"{TOKEN} must be one that an answer gave", TOKEN, "header")])
        preferred = read_preferences(request)
        if token.store != self._store.id:  # positions of two logs do not compare
            if preferred.strict:
                raise Problem(503, "consistency-unknown", f"The {TOKEN} was given by another store")
            return {CONSISTENCY: "unknown"}
        try:
            behind = await self._wait(names, token.position, preferred)
        except TimeoutError:
            raise Problem(503, "busy", "The service cannot tell how far its views are", headers=_LATER) from None
        if behind and preferred.strict:
            raise Problem(503, "stale", "The views are behind what was asked for", headers=_LATER, behind=behind)
        applied = _applied(preferred.wait, "handling=strict" if preferred.strict else None)
        return {CONSISTENCY: _stale(behind), **applied} if behind else applied

    async def _wait(self, names: Sequence[str], position: int, preferred: Preferences) -> int:
        if not any(name in self._subscribed for name in names):  # inline views have all that an answer told of
            return 0
        seconds = self._seconds if preferred.wait is None else preferred.wait
        with Deadline(seconds + PATIENCE):
            return await self._watermarks.wait(names, position, seconds)


_TOKEN = TOKEN.lower()
_LATER = {"Retry-After": "1"}


def _stale(behind: int) -> str:
    return f"stale; behind={behind}"


def _applied(wait: int | None, *more: str | None) -> Mapping[str, str]:
    said = [f"wait={wait}" if wait is not None else None, *more]
    applied = ", ".join(word for word in said if word is not None)
    return {"Preference-Applied": applied} if applied else {}
