"""What no schema says, told to schemathesis (test_http_schema.py): the decimals of prices, the largest total."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, cast

import schemathesis

from orders import money, validation


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]  # its annotation leaves out what a hook takes
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Make an order cheap whose only faults are the decimals of its prices, or its total."""
    body = cast("dict[str, Any]", case.body) if isinstance(case.body, dict) else {}
    untold = (f"Order total must be at most {money.LARGEST}", "decimals in USD")
    found = faults(body)
    if found and all(fault.endswith(untold) for fault in found):
        for item in body["items"]:
            item.update(quantity=1, price=0.01)


def faults(body: dict[str, Any]) -> list[str]:
    """What the service would say of the body, which is JSON as Python reads it, with floats."""
    exact = json.loads(json.dumps(body), parse_float=Decimal)
    return [fault.message for fault in validation.create_order(exact, "USD")]
