"""Passwords and tokens as they are kept: a scrypt hash, from which nobody gets them back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from typing import NamedTuple

# As OWASP's password storage cheat sheet has it: 32 MiB, three times; about a fifth of a second of one core.
COST, BLOCK, PARALLEL = 2**15, 8, 3
LONGEST = 1000  # characters of a password: more would only keep the hash busy
_HASH = re.compile(r"scrypt\$([0-9]{1,8})\$([0-9]{1,2})\$([0-9]{1,2})\$([\w+/=]{8,200})\$([\w+/=]{8,200})")


class PasswordHash(NamedTuple):
    """What is kept of a password."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    hash: bytes

    @classmethod
    def of(cls, password: str) -> PasswordHash:
        """The hash of a password, with a salt of its own."""
        unhashed = cls(COST, BLOCK, PARALLEL, os.urandom(16), b"")
        return unhashed._replace(hash=unhashed.hashed(password))

    @classmethod
    def read(cls, text: str) -> PasswordHash | None:
        """The hash that `text` wrote; None if it is none."""
        found = _HASH.fullmatch(text)
        if found is None:
            return None
        cost, block, parallel = int(found[1]), int(found[2]), int(found[3])
        if cost < 2 or cost & (cost - 1) or cost > 2**20 or not 1 <= block <= 32 or not 1 <= parallel <= 16:
            return None
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in (found[4], found[5]))
        except binascii.Error:
            return None
        return cls(cost, block, parallel, salt, digest)

    def text(self) -> str:
        """The hash as a line of settings has it."""
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.hash))
        return f"scrypt${self.cost}${self.block}${self.parallel}${salt}${digest}"

    def hashed(self, password: str) -> bytes:
        """What this password comes to with our salt. It takes its time: call it beside the event loop."""
        memory = 128 * self.block * (self.cost + self.parallel + 2)
        return hashlib.scrypt(
            password.encode(errors="surrogatepass"),
            salt=self.salt,
            n=self.cost,
            r=self.block,
            p=self.parallel,
            maxmem=memory,
            dklen=len(self.hash) or 32,
        )

    def matches(self, password: str) -> bool:
        """Whether it is the password. It takes its time: call it beside the event loop."""
        return hmac.compare_digest(self.hashed(password[:LONGEST]), self.hash)


NOBODYS = PasswordHash(COST, BLOCK, PARALLEL, b"nobody has this salt", bytes(32))
"""A hash that no password has, to look at where there is no other."""
