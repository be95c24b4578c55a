"""The pages of the console, one module each."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from twofold.console.pages import (
    audit,
    commands,
    correlation,
    entrance,
    event,
    live,
    model,
    overview,
    parked,
    projections,
    search,
    stepper,
    stream,
    streams,
)

PAGES: Sequence[ModuleType] = (
    overview,
    search,
    streams,
    stream,
    event,
    correlation,
    live,
    projections,
    stepper,
    parked,
    commands,
    model,
    audit,
    entrance,
)
"""All of them. Each has a function `pages`, which answers what it serves."""
