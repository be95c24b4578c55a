"""How the pages write amounts, times, and texts in addresses: the filters of their templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote


def money(amount: Decimal, currency: str) -> str:
    """An amount with its currency, every digit as it is: `1,234.50 USD`, never broken into two lines."""
    return f"{amount:,f}\N{NO-BREAK SPACE}{currency}"


def moment(at: datetime) -> str:
    """A time in UTC to the second, and that it is in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


FILTERS: Mapping[str, Callable[..., object]] = {"money": money, "moment": moment, "segment": segment}
"""The names that templates have for them."""
