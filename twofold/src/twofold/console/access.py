"""Who may look, and who may change: one set of rules for pages, live streams, the console's API and /projections.

Where a service listens on loopback and has no logins, whoever is on this machine may do all. That must not become
"whoever can make a browser on this machine send a request": so the request must name this machine as its host (or a
site could point its own name at 127.0.0.1), must not come through a proxy, and a change must not come from another
site's page. Where there are logins, a session or a token says who it is. Everywhere else nobody may do anything.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple

from twofold.console.attempts import Attempts
from twofold.console.logins import Login, Role
from twofold.console.passwords import NOBODYS
from twofold.console.sessions import SESSION_SECONDS, Signer
from twofold.http.exchange import Request
from twofold.http.html import check_near, check_same_site, check_token, read_cookie
from twofold.http.problems import Problem

COOKIE = "twofold-session"
HASHED_AT_ONCE = 2  # passwords: each takes 32 MiB and a core
HASHED_WAITING = 20  # more are told to try again
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header, no secret

_BEARER = re.compile(r"bearer +([^\s:]{1,100}):(\S{1,1000})", re.IGNORECASE)


class Visitor(NamedTuple):
    """Who is there, as an audit names it, and what it may do."""

    name: str
    role: Role
    by_session: bool = False

    def may(self, role: Role) -> bool:
        """Whether it has this role."""
        return self.role >= role


class Access:
    """The rules, for one service."""

    def __init__(self, *, loopback: bool, logins: Sequence[Login] = (), secret: bytes) -> None:
        """`loopback`: only this machine can reach the service. `secret` is shared by all processes of the service."""
        self.open = loopback and not logins
        self._logins = {login.name: login for login in logins}
        self._signer = Signer(secret)
        self._attempts = Attempts()
        self._hashing = asyncio.Semaphore(HASHED_AT_ONCE)
        self._waiting = 0
        self._known: dict[bytes, str] = {}  # tokens that were right, and whose: not hashed for each request
        self._asking: dict[bytes, asyncio.Task[Login]] = {}  # those that are being looked at

    @property
    def off(self) -> bool:
        """Whether nobody can do anything: others can reach the service, and there are no logins."""
        return not self.open and not self._logins

    async def permit(self, request: Request, role: Role) -> Visitor:
        """Who asks, if it may. What changes something must not come from another site's page.

        Raises a Problem: 401 where nobody is logged in, 403 where the role is missing or the request is another
        site's, 429 and 503 where passwords are tried too fast.
        """
        visitor = await self._visitor(request)
        if not visitor.may(role):
            needed = role.name.lower()
            raise Problem(403, "role-missing", f"{visitor.name} may not do this: it needs the role {needed}")
        if _changes(request):
            check_same_site(request)
        return visitor

    async def permit_program(self, request: Request, role: Role) -> Visitor:
        """As `permit`, for requests in JSON: a change under a session brings its form token in X-CSRF-Token."""
        visitor = await self.permit(request, role)
        if visitor.by_session and _changes(request):
            check_token(request, request.headers.get(TOKEN_HEADER))
        return visitor

    async def _visitor(self, request: Request) -> Visitor:
        if self.open:
            check_near(request)
            return Visitor("loopback", Role.OPERATE)
        if self.off:
            raise Problem(403, "operators-only", "This is served only on loopback, or to those who log in")
        if "authorization" in request.headers:
            return await self._bearer(request.headers.get("authorization"))
        session = self._signer.session(read_cookie(request, COOKIE))
        login = self._logins.get(session.name) if session is not None else None
        if session is None or login is None or not self._signer.is_of(session, login):
            raise _unknown("Log in first")
        return Visitor(login.name, login.role, by_session=True)

    async def _bearer(self, header: str) -> Visitor:
        """The visitor that a token NAME:PASSWORD names. No page of another site can make a browser send one."""
        found = _BEARER.fullmatch(header.strip())
        if found is None:
            raise _unknown("The header must be `Authorization: Bearer NAME:PASSWORD`")
        digest = self._signer.digest(f"{found[1]}:{found[2]}")
        name = self._known.get(digest)
        login = self._logins[name] if name is not None else await self._of_token(digest, found[1], found[2])
        self._known[digest] = login.name
        return Visitor(login.name, login.role)

    async def _of_token(self, digest: bytes, name: str, password: str) -> Login:
        """The login of a token that is not known yet: requests that bring it at once are one attempt."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self.login(name, password))
            asking.add_done_callback(lambda _: self._asking.pop(digest))
        return await asyncio.shield(asking)  # who leaves takes the answer from nobody

    async def login(self, name: str, password: str) -> Login:
        """The login of this name, if that is its password. Raises a Problem: 401, 429, 503."""
        wait = self._attempts.seconds(name)
        if wait > 0:
            headers = {"Retry-After": str(int(wait) + 1)}
            raise Problem(429, "too-many-attempts", f"Too many attempts; wait {int(wait) + 1} s", headers=headers)
        if self._waiting >= HASHED_WAITING:
            raise Problem(503, "busy", "Too many log in just now; try again", headers={"Retry-After": "2"})
        self._attempts.failed(name)  # before it is known, so that many at once count as many
        known = self._logins.get(name)
        self._waiting += 1
        try:
            async with self._hashing:
                # An unknown name takes as long as a known one, or the time would tell which names there are.
                kept = known.password if known is not None else NOBODYS
                right = await asyncio.to_thread(kept.matches, password)
        finally:
            self._waiting -= 1
        if known is None or not right:
            raise _unknown("No such name, or another password")
        self._attempts.succeeded(name)
        return known

    def session_cookie(self, request: Request, login: Login | None, path: str) -> str:
        """The header that keeps a session in a browser for what is below a path, or ends it.

        Behind https it is not sent by http.
        """
        value = self._signer.begun(login) if login is not None else ""
        secure = "; Secure" if request.headers.get("origin").startswith("https:") else ""
        seconds = SESSION_SECONDS if login is not None else 0
        return f"{COOKIE}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _changes(request: Request) -> bool:
    return request.method not in ("GET", "HEAD")


def _unknown(text: str) -> Problem:
    return Problem(401, "login-needed", text, headers={"WWW-Authenticate": 'Bearer realm="console"'})
