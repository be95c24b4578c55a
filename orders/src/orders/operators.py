"""The service for those who look after it: who may, and the console that they are shown."""

from __future__ import annotations

import secrets

from orders.app import MODEL, OrderService
from orders.http import explain
from orders.settings import Settings
from twofold.console.access import Access
from twofold.console.logins import read_logins
from twofold.console.site import console
from twofold.console.visits import Console
from twofold.http.serve import is_loopback


def operators(service: OrderService, settings: Settings) -> Console:
    """The console over a service that is open. Raises LoginsRefused."""
    access = Access(
        loopback=is_loopback(settings.host),
        logins=read_logins(settings.console_logins) if settings.console_logins else (),
        secret=(settings.console_secret or secrets.token_urlsafe(32)).encode(),
    )
    return console(
        service.views,
        access,
        title="Orders",
        model=MODEL,
        commands=service.commands,
        metrics=service.metrics,
        explain=explain,
    )


def is_served(console: Console, settings: Settings) -> bool:
    """Whether the console's pages are served: unless the settings say so, wherever somebody may see them."""
    return not console.access.off if settings.console is None else settings.console
