"""Reach each of some addresses: a refusal is an answer, too, and it says that both ends know each other again."""

from __future__ import annotations

import socket
import sys

PORT = 9  # discard: nobody listens


def answers(address: str) -> bool:
    with socket.socket() as sock:
        sock.settimeout(0.5)
        try:
            sock.connect((address, PORT))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


for each in sys.argv[1:]:
    while not answers(each):
        pass
