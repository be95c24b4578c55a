"""Who may log in, and what each may do: a file with a line for each, the passwords hashed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from twofold.console.passwords import PasswordHash
from twofold.errors import TwofoldError

MOST = 1000  # logins: what asks for more has a directory of its users, and a proxy that knows it
_NAME = re.compile(r"[\w.@+-]{1,100}")


class Role(IntEnum):
    """What somebody may do: each role may do what those before it may."""

    SEE = 1
    PAYLOADS = 2
    OPERATE = 3


class Login(NamedTuple):
    """Somebody who may log in."""

    name: str
    role: Role
    password: PasswordHash

    def line(self) -> str:
        """The login as a line of the file."""
        return f"{self.name} {self.role.name.lower()} {self.password.text()}"


class LoginsRefused(TwofoldError):
    """The file of logins cannot be used."""


def check_name(name: str) -> None:
    """Raises LoginsRefused for a name that a line cannot have."""
    if not _NAME.fullmatch(name):
        raise LoginsRefused("a name has 1 to 100 letters, digits and any of . @ + - _")


def new_login(name: str, role: Role, password: str) -> Login:
    """A login with this password. Raises LoginsRefused for a name that a line cannot have."""
    check_name(name)
    return Login(name, role, PasswordHash.of(password))


def read_logins(path: str) -> Sequence[Login]:
    """The logins in a file: `NAME ROLE HASH` on each line; empty lines and those that begin with # mean nothing.

    Raises LoginsRefused, with the number of the line and without what stands there.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise LoginsRefused(f"the logins cannot be read from {path}: {reason}") from error
    logins: dict[str, Login] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            login = _login(line.split(), f"line {number} of {path}")
            if login.name in logins:
                raise LoginsRefused(f"line {number} of {path} has the name of another line")
            logins[login.name] = login
    if not 1 <= len(logins) <= MOST:
        raise LoginsRefused(f"{path} must have 1 to {MOST} logins, not {len(logins)}")
    return tuple(logins.values())


def _login(words: Sequence[str], where: str) -> Login:
    if len(words) != 3:
        raise LoginsRefused(f"{where} must be NAME ROLE HASH")
    name, role, text = words
    password = PasswordHash.read(text)
    if not _NAME.fullmatch(name):
        raise LoginsRefused(f"{where} has a name that is none")
    if role.upper() not in Role.__members__:
        raise LoginsRefused(f"{where} has no role of {', '.join(known.name.lower() for known in Role)}")
    if password is None:
        raise LoginsRefused(f"{where} has no hash that `twofold console hash-password` made")
    return Login(name, Role[role.upper()], password)
