"""The service at a terminal: serve it, fill it, look into it, look after it.

Each command imports what it needs when it is run, so that `orders serve` and `--help` do not wait for the rest.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from twofold.cli.terminal import AfterOption, FollowFlag, JsonFlag, LimitOption, application, run

from orders.settings import DEFAULT_CURRENCY, DEFAULT_HOST, DEFAULT_PORT, DEFAULT_STORE, SettingRefused, Settings

DEFAULTS = Settings()
SERVICE = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"

app = application("The order service.")

StoreOption = Annotated[str, typer.Option(envvar="TWOFOLD_STORE", metavar="URL", help="The store: sqlite:///path.")]
OrderArgument = Annotated[str, typer.Argument(metavar="ID", help="The order's id.")]
