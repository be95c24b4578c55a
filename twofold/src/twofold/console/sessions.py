"""Sessions without a memory: what a cookie says is signed, so any process that has the secret can read it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from twofold.console.logins import Login

SESSION_SECONDS = 12 * 3600
_JSON: Callable[[bytes], tuple[str, int, str]] = msgspec.json.Decoder(tuple[str, int, str]).decode


class Session(NamedTuple):
    """Who has logged in, until when, in seconds since 1970, and by which password: a new one ends the session."""

    name: str
    expires: int
    password: str


class Signer:
    """Signs what a browser keeps for us."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def begun(self, login: Login) -> str:
        """The cookie of a session that begins now."""
        session = Session(login.name, int(time.time()) + SESSION_SECONDS, self._password_of(login))
        content = msgspec.json.encode(session)
        return base64.urlsafe_b64encode(self._signature("session", content) + content).decode().rstrip("=")

    def session(self, cookie: str) -> Session | None:
        """The session that a cookie says; None if we did not sign it, or its time is over."""
        try:
            signed = base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        signature, content = signed[:32], signed[32:]
        if not hmac.compare_digest(signature, self._signature("session", content)):
            return None
        session = Session(*_JSON(content))
        return session if session.expires > time.time() else None

    def is_of(self, session: Session, login: Login) -> bool:
        """Whether a session was begun with the password that the login has today."""
        return hmac.compare_digest(session.password, self._password_of(login))

    def _password_of(self, login: Login) -> str:
        return self.digest(login.password.text()).hex()

    def digest(self, text: str) -> bytes:
        """A secret of others as we may keep it in memory to know it again."""
        return self._signature("known", text.encode(errors="surrogatepass"))

    def _signature(self, purpose: str, content: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b"\0" + content, hashlib.sha256)
