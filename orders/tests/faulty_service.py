"""The service with a fault: its view of orders cannot fold those of one customer, as long as a file is there.

`FAULT_FILE` names the file, and the customer stands in it. To remove it mends the code.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import twofold.letters as letters_module
from orders.details import OrderDetails
from orders.serve import serve_here
from orders.settings import Settings

right = OrderDetails.evolve


def wrong(projection: Any, view: Any, recorded: Any) -> Any:
    """The fold, with its fault."""
    row = right(projection, view, recorded)
    fault = Path(os.environ["FAULT_FILE"])
    if row is not None and fault.exists() and row.customer_id == fault.read_text():
        raise ValueError("no carrier goes there")
    return row


if __name__ == "__main__":
    patch = pytest.MonkeyPatch()
    patch.setattr(letters_module, "RETRY_SECONDS", ())  # no letter is tried by itself
    patch.setattr(OrderDetails, "evolve", wrong)
    sys.exit(serve_here(Settings.load()))
