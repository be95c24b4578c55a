"""The pages of the console, one module each."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from twofold.console.pages import entrance, overview, parked, projections

PAGES: Sequence[ModuleType] = (overview, projections, parked, entrance)
"""All of them. Each has a function `pages`, which answers what it serves."""
