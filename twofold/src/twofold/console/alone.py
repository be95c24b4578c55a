"""The console of a store, served by itself, whatever application wrote it."""

from __future__ import annotations

import logging
import secrets

from twofold.cli.addresses import free_address
from twofold.cli.applications import Program
from twofold.cli.terminal import AskedWrongly
from twofold.console.access import Access
from twofold.console.logins import read_logins
from twofold.console.site import console, routes
from twofold.console.visits import PREFIX
from twofold.http.application import Application, Route
from twofold.http.exchange import Request, Response
from twofold.http.pages import health
from twofold.http.serve import is_loopback, serve
from twofold.logs import log_to_stderr

log = logging.getLogger("twofold.console")

STOP_SECONDS = 5.0


async def serve_alone(program: Program, store: str, *, host: str, port: int, logins: str) -> None:
    """Serve the console of the store that a URL names, with the code that the program knows, until SIGTERM or SIGINT.

    Raises StoreRefused, LoginsRefused, and AskedWrongly where nobody could use it.
    """
    log_to_stderr()
    known = read_logins(logins) if logins else ()
    access = Access(loopback=is_loopback(host), logins=known, secret=secrets.token_bytes(32))
    if access.off:
        raise AskedWrongly(f"others can reach {host}: give a file of logins with --logins, or listen on 127.0.0.1")
    address = free_address(host, port)
    model = program.model()
    async with program.opening(store) as views:
        made = console(views, access, title="Twofold" if model is None else model.name, model=model)

        async def home(_request: Request) -> Response:
            return Response(status=307, headers={"Location": PREFIX.removeprefix("/")})

        application = Application([*routes(made), Route("GET", "/", home), *health(views.store.check)])
        log.info("the console is at http://%s:%d%s", f"[{host}]" if ":" in host else host, port, PREFIX)
        await serve(
            application, host=address, port=port, stop_seconds=STOP_SECONDS, access_log=False, on_stop=made.close
        )
