"""`python -m bench.child JSON`: one round of one side, in this process; prints the figure as JSON."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvloop

from bench.comparing import Place, Unavailable


def main() -> None:
    """Call the function that the argument names."""
    asked = json.loads(sys.argv[1])
    core = os.environ.get("BENCH_CORE")
    if core is not None:
        os.sched_setaffinity(0, {int(core)})
    module, _, name = asked["function"].partition(":")
    answer: dict[str, Any]
    try:
        function: Any = getattr(importlib.import_module(module), name)
        place = Place(Path(asked["folder"]), asked["postgres"])
        if inspect.iscoroutinefunction(function):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                answer = {"figure": runner.run(function(place, **asked["options"]))}
        else:
            answer = {"figure": function(place, **asked["options"])}
    except Unavailable as error:
        answer = {"unavailable": str(error)}
    except ModuleNotFoundError as error:
        answer = {"unavailable": f"{error.name} is not installed: pip install --group bench"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
