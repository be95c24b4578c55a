"""One PostgreSQL server as a process that was started here: made, started, stopped, killed, started again."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from twofold.testing.postgres_programs import (
    PostgresUnavailable,
    Programs,
    Runner,
    environment,
    find_programs,
    reachable,
)

WATCHDOG = Path(__file__).with_name("postgres_watchdog.py")
PATIENCE = 60.0

# What a server says while the one before it is on its way out: its lock file, or the memory that its workers share.
PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
PORT_TAKEN = "could not create any TCP/IP sockets"


class PostgresProcess:
    """A server with its data in `folder/data` and its log in `folder/log`. `begin` makes one that runs."""

    def __init__(self, folder: Path, programs: Programs, port: int | None, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.port = port or free_port()
        self._port_given = port is not None
        self._programs = programs
        self._settings = settings
        self._runner = Runner.here()
        self._temporary = False
        self._watchdog: subprocess.Popen[str] | None = None
        self._pid = 0
        self._starter = os.getpid()

    @classmethod
    def begin(cls, folder: Path | None, port: int | None, settings: Mapping[str, str], programs: Path | None) -> Self:
        """A server that runs, with new data or those that the folder has."""
        place = Path(tempfile.mkdtemp(prefix="twofold-postgres-")) if folder is None else folder.absolute()
        try:
            kept = place / "data" / "PG_VERSION"
            major = int(kept.read_text("ascii")) if kept.exists() else None
            server = cls(place, find_programs(programs, major=major), port, settings)
            server._temporary = folder is None
            server._prepare()
            atexit.register(server.close)
            server.start()
        except BaseException:
            if folder is None:
                shutil.rmtree(place, ignore_errors=True)
            raise
        return server

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._pid

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        deadline = time.monotonic() + PATIENCE
        while said := self._try_to_start(deadline):
            if PORT_TAKEN in said and not self._port_given:
                self.port = free_port()
            elif not any(reason in said for reason in PASSING) or time.monotonic() > deadline:
                raise PostgresUnavailable(f"the server in {self.folder} did not start:\n{said}")
            time.sleep(0.1)
        self._port_given = True  # from now on it is known by it

    def stop(self) -> None:
        """Shut it down in the fast way, and at once if that takes too long."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it on the spot."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it, and remove its data if they are temporary."""
        if os.getpid() != self._starter:
            return  # a fork of the process that started it is at its end
        self.stop()
        atexit.unregister(self.close)
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self) -> None:
        """Make what is not there yet: the folder, programs that can be run, and the data."""
        if not self.folder.exists() or self._temporary:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o711)  # the server may be another user, and must get to its data
        self._programs = reachable(self._programs, self._runner, self.folder / "programs")
        data, unfinished = self.folder / "data", self.folder / "data.new"
        if data.exists():
            return
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._runner.own(unfinished)
        initdb = [str(self._programs.folder / "initdb"), "--pgdata", str(unfinished), "--username=postgres"]
        options = ["--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        try:
            self._runner.run([*initdb, *options, "--locale=C.UTF-8"])
        except PostgresUnavailable as error:
            if "invalid locale" not in str(error):
                raise
            self._runner.run([*initdb, *options, "--locale=C"])
        unfinished.rename(data)  # an initdb that is cut off leaves nothing that looks like a database

    def _try_to_start(self, deadline: float) -> str:
        """Start it; what it said if it ended instead of taking connections."""
        assert self._watchdog is None, "the server runs already"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._settings,
        }
        server = [str(self._programs.folder / "postgres"), "-D", str(self.folder / "data")]
        server += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        runner = ["-" if number is None else str(number) for number in self._runner]
        removed = str(self.folder) if self._temporary else "-"
        with self.log.open("ab") as log:
            begun = log.tell()
            self._watchdog = subprocess.Popen(  # noqa: S603 - the programs are PostgreSQL's own
                [sys.executable, "-IS", str(WATCHDOG), *runner, removed, *server],
                env=environment(),
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C at a terminal is for the tests, which stop the server after them
                text=True,
            )
        watchdog = self._watchdog
        assert watchdog.stdout
        if pid := watchdog.stdout.readline():
            self._pid = int(pid)
            while watchdog.poll() is None and time.monotonic() < deadline:
                if self._is_ready():
                    return ""
                time.sleep(0.01)
            self.kill()
        else:  # it could not even be run
            watchdog.wait()
            self._let_go(watchdog)
        return self.log.read_bytes()[begun:].decode(errors="replace") or "it said nothing"

    def _is_ready(self) -> bool:
        """Whether it takes connections; it says so in its lock file, as pg_ctl reads it."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and int(lines[0]) == self._pid and lines[7].strip() == "ready"

    def _end(self, number: signal.Signals) -> None:
        """Send it a signal and wait until it is gone. Its parent, the watchdog, is gone then too."""
        watchdog = self._watchdog
        if watchdog is None:
            return
        while watchdog.poll() is None:
            try:
                os.kill(self._pid, number)
                watchdog.wait(PATIENCE)
            except ProcessLookupError:
                watchdog.wait()  # the server is gone, and its parent about to follow
            except subprocess.TimeoutExpired:
                number = signal.SIGQUIT
        self._let_go(watchdog)

    def _let_go(self, watchdog: subprocess.Popen[str]) -> None:
        with watchdog:  # closes the pipes
            self._watchdog = None


def free_port(ports: range = range(20_000, 32_000)) -> int:
    """One of these ports of the loopback address, on which nobody listens.

    They lie below those that outgoing connections are given, so that none of them has taken it when a server starts
    again.
    """
    while True:
        port = secrets.choice(ports)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
