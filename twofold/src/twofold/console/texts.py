"""Values as people read them: numbers, times, JSON; and stored text made harmless to whoever looks at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
from markupsafe import Markup

LONGEST = 20_000  # characters of a payload that a page shows; the rest is counted

# Control characters, and those that have no width or turn the direction of what follows: shown by their number, so
# that stored text can neither hide nor move what stands beside it.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


_encode = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode


def shown(text: object, most: int = LONGEST) -> str:
    """A stored text as a page shows it: hidden characters made visible, its end cut off where it is very long."""
    whole = str(text)
    cut = whole if len(whole) <= most else f"{whole[:most]}… and {amount(len(whole) - most)} more characters"
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)


def pretty(value: object) -> str:
    """A value, or the bytes of JSON, as JSON over several lines; what is none as text."""
    try:
        content = value if isinstance(value, bytes) else _encode(value)
        return msgspec.json.format(content, indent=2).decode(errors="replace")
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def compact(value: object) -> str:
    """A value as JSON on one line."""
    try:
        return _encode(value).decode(errors="replace")
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
        return str(value)


def amount(number: float) -> str:
    """A number with its thousands apart; one that is not whole with two digits behind the point."""
    return f"{number:,.2f}" if number % 1 else f"{number:,.0f}"


_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"), (0.000_001, "µs"))


def duration(seconds: float) -> str:
    """A length of time in the unit that fits."""
    for length, unit in _UNITS:
        if seconds >= length:
            count = seconds / length
            return f"{count:.1f} {unit}" if count < 10 and round(count, 1) % 1 else f"{count:,.0f} {unit}"
    return "0 s"


def ago(at: datetime) -> str:
    """How long ago that was."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 1 else "just now"


def moment(at: datetime) -> Markup:
    """A time to the millisecond, UTC; how long ago it was on pointing at it."""
    utc = at.astimezone(UTC)
    iso = utc.isoformat(timespec="milliseconds").removesuffix("+00:00")
    text = iso.replace("T", " ")
    return Markup('<time datetime="{}Z" title="{}">{}</time>').format(iso, f"{utc:%A} {text} UTC, {ago(at)}", text)


FILTERS: Mapping[str, Callable[..., object]] = {
    "ago": ago,
    "amount": amount,
    "compact": compact,
    "duration": duration,
    "moment": moment,
    "pretty": pretty,
    "shown": shown,
}
"""What templates can do with a value."""
