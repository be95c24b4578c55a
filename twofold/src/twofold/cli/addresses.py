"""Where a command listens: an address that is free, asked for before anything is opened or made.

The server shares its port (SO_REUSEPORT): a second service on one port would start without a word, and each would get
some of the requests.
"""

from __future__ import annotations

import os
import socket

from twofold.cli.terminal import AskedWrongly


def free_address(host: str, port: int) -> str:
    """The IP address of the host, if its port is free. Raises AskedWrongly."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, place = min(found, key=lambda one: one[0] != socket.AF_INET)  # localhost is 127.0.0.1 first
        socket.create_server((str(place[0]), port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise AskedWrongly(f"cannot listen on {host}, port {port}: {reason}") from error
    return str(place[0])
