"""Money: decimals in a currency, exact on the way in, in store and on the way out. No float, no silent rounding.

An amount always carries the digits of its currency (`9.80`), so equal amounts are equal texts. Limits keep every
amount within 15 digits, which a JavaScript number holds exactly, and every sum within 64 bits of minor units.
"""

from __future__ import annotations

from decimal import Decimal

LARGEST = Decimal("999999999.99")
"""The largest price and the largest order total, in any currency."""

# ISO 4217: how many digits follow the point. Currencies that are not here have two.
_NONE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
_THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_QUANTA = tuple(Decimal(1).scaleb(-digits) for digits in range(4))  # the smallest amount, by the number of digits
_DIGITS = {**dict.fromkeys(_NONE, 0), **dict.fromkeys(_THREE, 3)}


def digits(currency: str) -> int:
    """How many digits follow the point in this currency."""
    return _DIGITS.get(currency, 2)


def exact(amount: Decimal, currency: str) -> Decimal | None:
    """The amount with the digits of its currency; None if it has more of them than the currency knows."""
    written = rounded(amount, currency)
    return written if written == amount else None


def rounded(amount: Decimal, currency: str) -> Decimal:
    """The amount with the digits of its currency. Of one that is `exact`, nothing is lost."""
    return amount.quantize(_QUANTA[digits(currency)])


def minor_units(amount: Decimal, currency: str) -> int:
    """The amount in the currency's smallest unit: 9.80 USD are 980."""
    return int(amount.scaleb(digits(currency)))


def from_minor_units(units: int, currency: str) -> Decimal:
    """The amount of so many of the currency's smallest units."""
    return Decimal(units).scaleb(-digits(currency))
