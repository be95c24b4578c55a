"""What stands in a SQLite file, read by the standard library in a process of its own.

    python naive_sqlite.py <path> <query>...

It prints the rows of each query, all of one moment, as JSON. A process of its own, because closing a file drops every
lock that a process has on it: also those of a store that is open in it with another copy of SQLite.
"""

import json
import sqlite3
import sys
from contextlib import closing


def main(path: str, *queries: str) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.execute("begin")
        found = [connection.execute(query).fetchall() for query in queries]
    sys.stdout.write(json.dumps(found, default=bytes.decode))


if __name__ == "__main__":
    main(*sys.argv[1:])
