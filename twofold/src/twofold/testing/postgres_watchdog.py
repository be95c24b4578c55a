"""Runs a PostgreSQL server for as long as somebody holds the other end of standard input.

A test process that is killed cannot stop the server that it started. So this one stands between them, in a session of
its own: it is the server's parent, and it reads a pipe whose other end only the test process has. When that process is
gone, however it went, the read ends, and the server is shut down. It is a script that needs nothing but Python:

    python -IS postgres_watchdog.py USER GROUP FOLDER COMMAND...

USER and GROUP are numbers, or `-` to keep those of the watchdog. FOLDER is removed when the starter is gone; `-` keeps
what there is. The first line printed is the server's process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

PATIENCE = 20.0


def main(user: str, group: str, folder: str, *command: str) -> int:
    """Run the command until it ends, or until standard input does; its exit code."""
    server = subprocess.Popen(  # noqa: S603 - the command is the starter's
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        user=None if user == "-" else int(user),
        group=None if group == "-" else int(group),
        extra_groups=None if group == "-" else [],
    )
    abandoned = threading.Event()

    def guard() -> None:
        # Not sys.stdin: its lock would be held by this thread when the interpreter ends.
        while os.read(0, 1):
            pass
        abandoned.set()
        server.send_signal(signal.SIGINT)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)

    threading.Thread(target=guard, daemon=True).start()
    print(server.pid, flush=True)  # noqa: T201 - the starter reads it
    code = server.wait()
    if abandoned.is_set() and folder != "-":
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
