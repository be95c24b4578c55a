"""A disk that syncs more slowly than the one that is there, for both sides of each comparison.

What group commit is worth depends on what a sync takes, which is 50 microseconds on one disk and several milliseconds
on another. So figures of two machines do not compare, unless their disks are made to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "disk" / "slow_sync.c"


def slow_down(microseconds: int, folder: Path) -> None:
    """Make every sync, in this process's children, take so much longer. Exits where that cannot be done.

    `folder` must stay as long as they run.
    """
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        sys.exit("to slow a disk down takes Linux and a C compiler (cc)")
    library = folder / "slow_sync.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    for each in (folder, library):
        each.chmod(0o755)  # servers that refuse root run as somebody else
    os.environ["LD_PRELOAD"] = str(library)
    os.environ["BENCH_SYNC_MICROSECONDS"] = str(microseconds)
