"""schemathesis against the service's own description: no 500, no answer that it does not describe, no lie in it.

The tool runs as a process of its own, with all of its checks; schemathesis.toml and schemathesis_hooks.py say what is
loosened and why.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from servers import start

CONSOLE = "^/console/api/"
HERE = Path(__file__).parent


def attack(tmp_path: Path, *only: str, seconds: int, seed: int) -> int:
    """Let it try for so long; afterwards the service is well and its views equal the fold of its log."""
    store, log = f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "service.log"
    environment = {**os.environ, "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"}
    with start(store, log) as server:
        command = [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{server.url}/openapi.json"),
            *("--checks", "all", "--mode", "all", "--phases", "examples,coverage,fuzzing,stateful"),
            *only,
            *("--max-time", str(seconds), "--seed", str(seed), "--continue-on-failure", "--request-timeout", "20"),
        ]
        run = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=tmp_path, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        created: int = httpx.get(f"{server.url}/dashboard").json()["totalOrders"]
        assert "Traceback" not in server.output
        assert server.stop() == 0
    verified = subprocess.run([sys.executable, "-m", "orders", "verify", "--store", store], check=False)
    assert verified.returncode == 0
    return created


@pytest.mark.timeout(240)
def test_the_description_is_true(tmp_path: Path) -> None:
    created = attack(tmp_path, "--exclude-path-regex", CONSOLE, seconds=100, seed=1)
    assert created > 20, "hardly an order was valid: nothing was shown"


@pytest.mark.timeout(240)
def test_the_description_of_looking_into_the_log_is_true(tmp_path: Path) -> None:
    attack(tmp_path, "--include-path-regex", CONSOLE, seconds=30, seed=1)


@pytest.mark.soak
def test_the_description_is_true_for_long(tmp_path: Path) -> None:
    seed = secrets.randbelow(2**32)
    print(f"--seed {seed}")  # noqa: T201  # shown when it fails: the way to see it again
    attack(tmp_path, seconds=900, seed=seed)
