"""Ports for servers that a test starts itself, and that are still free when the server binds them.

The system gives its own out from 32768 on (Linux; elsewhere from 49152), so none of these goes to a stranger meanwhile.
Each process has a block to itself for as long as it lives: it holds the block's first port.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from threading import Lock

_BLOCKS = range(10_000, 32_000, 500)


def _held(port: int) -> socket.socket:
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def _free() -> Iterator[int]:
    for first in _BLOCKS:
        with suppress(OSError), _held(first):
            for port in cycle(range(first + 1, first + _BLOCKS.step)):
                with suppress(OSError):
                    _held(port).close()
                    yield port
    raise RuntimeError("other processes hold every block of ports")


_ports, _one_at_a_time = _free(), Lock()


def free_port() -> int:
    """One that this process has not given out lately."""
    with _one_at_a_time:
        return next(_ports)
