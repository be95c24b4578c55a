"""What a request says, read within limits: its JSON body, its parameters, its conditions, its idempotency key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

import msgspec

from twofold.deadlines import Deadline
from twofold.errors import Fault, ValidationFailed
from twofold.http.exchange import ClientDisconnected, Request
from twofold.http.problems import Problem
from twofold.messages import Idempotency

S = TypeVar("S", bound=StrEnum)
T = TypeVar("T")
D = TypeVar("D", int, None)

BODY_SECONDS = 30.0  # how long a client may take to send a body
# Of a body that is too large, so much is read all the same: a client that is still sending does not hear why it should
# stop, and loses the answer when the connection is closed on it.
DRAIN_BYTES = 16_777_216
DRAIN_SECONDS = 2.0
LONGEST_KEY = 255  # characters of an idempotency key
LONGEST_PARAMETER = 500  # characters of a query parameter
MAX_FAULTS = 20  # of a query string that are named; more say nothing new

_CLOSING = {"Connection": "close"}  # what is left of the body would be taken for the next request
_JSON = re.compile(r"application/([\w.+-]+\+)?json", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:  # an exponent that no decimal has room for
        return Decimal("Infinity")


_decode = msgspec.json.Decoder(float_hook=_decimal).decode


async def read_body(request: Request, *, limit: int) -> bytes:
    """The body, of at most `limit` bytes. Raises a Problem: 413, or 408 for a client that takes too long."""
    announced = request.headers.get("content-length")
    size_announced = int(announced) if announced.isdecimal() else 0
    if size_announced > limit and "expect" in request.headers:
        raise _too_large(limit)  # the client asked before it sends
    body, more = b"", True
    try:
        if size_announced <= limit:
            with Deadline(BODY_SECONDS):
                while more and len(body) <= limit:
                    chunk, more = await request.receive()
                    body += chunk
            if len(body) <= limit:
                return body
        await _drain(request, len(body), more=more)
    except TimeoutError:
        raise Problem(408, "timeout", "The body did not arrive in time", headers=_CLOSING) from None
    except ClientDisconnected:
        raise Problem(400, "disconnected", "The body broke off", headers=_CLOSING) from None
    raise _too_large(limit)


def _too_large(limit: int) -> Problem:
    # Nobody keeps it in a variable: the error would hold the frame, the frame the error, and both the request,
    # whose connection stays open until the garbage collector comes by.
    return Problem(413, "too-large", f"The body must have at most {limit} bytes", headers=_CLOSING)


async def _drain(request: Request, size: int, *, more: bool) -> None:
    """Read what a client is still sending, for a while."""
    with suppress(TimeoutError), Deadline(DRAIN_SECONDS):
        while more and size <= DRAIN_BYTES:
            chunk, more = await request.receive()
            size += len(chunk)


def read_json(request: Request, body: bytes, *, optional: bool = False) -> object:
    """The JSON of a body; numbers with a point or an exponent are decimals. An `optional` body may be empty: `{}`.

    Raises a Problem: 415 for another content type, 400 for what is not JSON.
    """
    return {} if not body and optional else parse_json(check_json(request, body))


def check_json(request: Request, body: bytes) -> bytes:
    """The body, if the request says that it is JSON. Raises a Problem: 415 for another content type."""
    content_type = request.headers.get("content-type")
    encoding = request.headers.get("content-encoding")
    if content_type != "application/json" or encoding:  # else it is as nearly all say it
        content_type, encoding = content_type.partition(";")[0].strip(), encoding.strip().lower()
        if not _JSON.fullmatch(content_type) or encoding not in ("", "identity"):
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            raise Problem(415, "media-type", "The body must be application/json", headers=headers)
    return body


def parse_json(text: bytes) -> object:
    """A JSON text; numbers with a point or an exponent are decimals. Raises a Problem for what is not JSON."""
    try:
        return _decode(text)
    except RecursionError:
        raise Problem(400, "malformed", "The JSON is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Problem(400, "malformed", f"The body is not JSON: {error}") from None


def whole_number(value: object) -> object:
    """A member of a body; a decimal that is whole, as 7.0 is in JSON, is an integer."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 20 and value == int(value):
        return int(value)
    return value


def read_idempotency(request: Request, body: bytes) -> Idempotency | None:
    """The request's Idempotency-Key (IETF draft -07, quoted or raw), with the fingerprint of the request."""
    raw = request.headers.lines("idempotency-key")
    if not raw:
        return None
    key = raw[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    if len(raw) > 1 or not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        text = f"Idempotency-Key must be one of 1 to {LONGEST_KEY} printable ASCII characters"
        raise ValidationFailed([Fault(text, "Idempotency-Key", "header")])
    conditions = _lines(request, "if-match") or ""
    return Idempotency(key, fingerprint(request.method, request.path, body, conditions))


def fingerprint(method: str, path: str, body: bytes, conditions: str = "") -> str:
    """What sums up a request's content: two requests with one key are the same if it is equal."""
    return hashlib.sha256("\0".join((method, path, conditions, "")).encode() + body).hexdigest()


def read_if_match(request: Request) -> frozenset[int] | None:
    """The versions that If-Match allows; None if it is not there or allows any. A tag that is no version matches none.

    Raises ValidationFailed for a header that is not a list of entity tags.
    """
    header = _lines(request, "if-match")
    if header is None or header.strip() == "*":
        return None
    tags = _tags(header, "If-Match")
    return frozenset(int(tag) for weak, tag in tags if not weak and re.fullmatch(r"[0-9]{1,18}", tag))


def matches_none_of(request: Request, etag: str) -> bool:
    """Whether If-None-Match lets a GET be answered in full, and not with 304."""
    header = _lines(request, "if-none-match")
    if header is None:
        return True
    if header.strip() == "*":
        return False
    return all(f'"{tag}"' != etag for _, tag in _tags(header, "If-None-Match"))


def _lines(request: Request, name: str) -> str | None:
    """A header that may stand on several lines, which are one list (RFC 9110, 5.3)."""
    lines = request.headers.lines(name)
    return ", ".join(lines) if lines else None


def _tags(header: str, name: str) -> list[tuple[str, str]]:
    parts = [part.strip() for part in header.split(",")]
    found = [_ETAG.fullmatch(part) for part in parts if part]
    tags = [(match[1] or "", match[2]) for match in found if match is not None]
    if not tags or len(tags) < len(found):
        raise ValidationFailed([Fault(f'{name} must be * or a list of entity tags like "3"', name, "header")])
    return tags


def entity_tag(version: int) -> str:
    """The ETag of a version of a stream."""
    return f'"{version}"'


class Parameters:
    """The parameters of a query string. Each read notes its fault; `check` raises all of them at once."""

    def __init__(self, request: Request, known: Sequence[str]) -> None:
        self._values: dict[str, str] = {}
        self._faults: list[Fault] = []
        for name, value in request.query:
            if name not in known:
                self._fault(f"Unknown parameter: {name[:50]}", name[:50], "unknown_field")
            elif name in self._values:
                self._fault(f"Parameter {name} is given twice", name, "repeated")
            elif len(value) > LONGEST_PARAMETER:
                self._fault(f"Parameter {name} must have at most {LONGEST_PARAMETER} characters", name, "too_long")
            else:
                self._values[name] = value

    def text(self, name: str) -> str | None:
        """A text; None if it is missing or empty."""
        return self._values.get(name) or None

    def whole(self, name: str, label: str, *, default: D, least: int, most: int) -> int | D:
        """A whole number within bounds."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,18}", value):
            self._fault(f"{label} must be a whole number", name, "type")
        elif int(value) < least:
            self._fault(f"{label} must be at least {least}", name, "too_small")
        elif int(value) > most:
            self._fault(f"{label} must be at most {most}", name, "too_large")
        else:
            return int(value)
        return default

    def amount(self, name: str, label: str) -> Decimal | None:
        """A decimal, not negative."""
        return self._read(name, label, "a number", lambda text: Decimal(text) if _NUMBER.fullmatch(text) else None)

    def choice(self, name: str, label: str, choices: type[S]) -> S | None:
        """One of a few words."""
        value = self.text(name)
        if value is not None and value not in tuple(choices):
            self._fault(f"{label} must be one of: {', '.join(choices)}", name, "unknown")
            return None
        return None if value is None else choices(value)

    def read(self, name: str, label: str, kind: str, parse: Callable[[str], T | None]) -> T | None:
        """What `parse` makes of the text; a fault says that it must be of this kind where that is None."""
        return self._read(name, label, kind, parse)

    def _read(self, name: str, label: str, kind: str, parse: Callable[[str], T | None]) -> T | None:
        value = self.text(name)
        parsed = None if value is None else parse(value)
        if value is not None and parsed is None:
            self._fault(f"{label} must be {kind}", name, "type")
        return parsed

    def check(self) -> None:
        """Raise ValidationFailed if anything was at fault."""
        if self._faults:
            raise ValidationFailed(self._faults)

    def _fault(self, message: str, path: str, code: str) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(message, path, code))
