"""Several processes behind one port: started, watched, started anew where one dies, stopped together.

Each process binds the port for itself with SO_REUSEPORT, and Linux shares new connections out between those that
listen. So nobody hands connections on, and one that dies takes only its own with it: the rest serve what comes.

The parent holds no store and serves nothing. A child hears of its parent's end, even by SIGKILL, from a pipe.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress

log = logging.getLogger("twofold.http")

BACK_OFF_SECONDS = (0.1, 0.5, 2.0, 5.0, 15.0)  # before a process that has died is started again
SOUND_SECONDS = 30.0  # who lived so long has started well
PROCESS = "TWOFOLD_PROCESS"  # the variable that tells a process its number
LATE_SECONDS = 5.0  # beyond the time for a graceful stop, until a process is killed


def supported() -> bool:
    """Whether this system shares one port out between several processes. Others that know the option do not."""
    return sys.platform == "linux"


@contextmanager
def reserved_port(host: str, port: int) -> Generator[int]:
    """Hold a port of an IP address for children of this user; the number is that of a free one where 0 is asked for.

    Nothing listens here, so the kernel gives no connection to this socket.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
        number: int = held.getsockname()[1]
        yield number


async def supervise(
    command: Sequence[str], environment: Mapping[str, str], *, processes: int, stop_seconds: float
) -> int:
    """Keep so many processes of a command running until SIGTERM or SIGINT, which is passed on; answers the exit code.

    It is 0 if all of them stopped gracefully. One that ends with a code of its own soon after its first start cannot
    run at all: then all are stopped, and its code is the answer. The command must call `stop_with_parent`.

    The variable TWOFOLD_PROCESS tells each its number, from 1 on; one that is started anew has that of the one before.
    """
    supervisor = _Supervisor(command, environment, stop_seconds)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    codes = await asyncio.gather(*(supervisor.keep(number) for number in range(1, processes + 1)))
    graceful = {0, -signal.SIGTERM}  # told to stop before it could hear of it, one had accepted nothing
    return supervisor.refusal or int(not graceful.issuperset(codes))


def stop_with_parent(seconds: float) -> None:
    """Stop this process gracefully when the parent is gone, however it went; after so many seconds, at once.

    The parent holds the other end of the standard input. A thread waits for its end, so that neither a start that
    takes long nor an event loop that hangs keeps this process alive.
    """

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=wait, name="twofold-parent", daemon=True).start()


class _Supervisor:
    def __init__(self, command: Sequence[str], environment: Mapping[str, str], stop_seconds: float) -> None:
        self.refusal: int | None = None
        self._command = command
        self._environment = environment
        self._stop_seconds = stop_seconds
        self._children: set[Process] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Pass a stop on. Said a second time, the children do not wait for what they accepted."""
        self._stopping.set()
        for child in self._children:
            with suppress(ProcessLookupError):
                child.terminate()

    async def keep(self, number: int) -> int:
        """Run one process, again and again, until all are to stop; the last exit code, 0 where none ran."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run(number)
            lived = time.monotonic() - began
            if self._stopping.is_set():
                return code
            if code > 0 and failures == 0 and lived < SOUND_SECONDS:
                self.refusal = code
                self.stop()
                return code
            failures = 1 if lived >= SOUND_SECONDS else failures + 1
            seconds = BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS)) - 1]
            log.error("process %d ended (%s) and is started again in %g s", number, _described(code), seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
        return 0

    async def _run(self, number: int) -> int:
        """Run a process to its end; its exit code, below zero for a signal."""
        child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,  # nothing is written: it tells the child when we are gone
            env={**self._environment, PROCESS: str(number)},
            start_new_session=True,  # a Ctrl-C at the terminal comes to us only, and is passed on once
        )
        self._children.add(child)
        if self._stopping.is_set():
            child.terminate()
        waiting, stopping = asyncio.create_task(child.wait()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({waiting}, timeout=self._stop_seconds + LATE_SECONDS)
            if not waiting.done():
                log.error("a process does not stop, and is killed")
                child.kill()
            return await waiting
        finally:
            stopping.cancel()
            self._children.discard(child)


def _described(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
